import os.path as osp
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch_imf.data import audit
from torch_imf.data.audit import Audit
from torch_imf.datasets.summary import Summary

if TYPE_CHECKING:
    from torch_imf.datasets.content import Content

LEFT_OUT = {
    "repeated": "repeated",
    "literals": "about literals rather than entities",
    "unknown": "of entities in no fact",
}
NUM_NAMED = 3  # Relation pairs of each kind that are named.


@dataclass(frozen=True)
class Report:
    r"""What is in a graph and what to know before a model is trained on it;
    :obj:`print` shows it on a screen.

    Args:
        summary (Summary): How much of what there is.
        audit (Audit): Repetitions and leaks in the splits, all of which
            :obj:`print(report.audit)` shows.
        sources (dict[str, dict[str, int]]): For each file, its number of
            :obj:`"rows"` and how many of them were left out, and why.
    """

    summary: Summary
    audit: Audit
    sources: dict[str, dict[str, int]]

    @classmethod
    def of(cls, dataset: "Content") -> "Report":
        r"""Returns the report on a dataset."""
        data = dataset._data
        return cls(dataset.summary(), audit(data), data.get("sources", {}))

    def __str__(self) -> str:
        lines = [str(self.summary), "Files"]
        for path, counts in self.sources.items():
            left_out = [f"{counts[k]:,} {why}" for k, why in LEFT_OUT.items() if counts.get(k)]
            note = f", left out: {', '.join(left_out)}" if left_out else ""
            lines.append(f"  {osp.basename(path)}: {counts['rows']:,} rows{note}")
        lines += ["Splits", *(f"  {line}" for line in self.findings())]
        return "\n".join(lines)

    def findings(self) -> list[str]:
        r"""Returns a line for each thing to know about the splits: leaks,
        entities and relations that training lacks, and facts that follow from
        others.
        """
        found = self.audit
        out = list(found.problems)
        repair = "Pass 'clean=True' to repair this."
        out.append("No fact is in two splits." if found.is_clean else repair)
        unseen = False
        for name, split in found.splits.items():
            if name != "train" and (split.unseen_node_rows or split.unseen_relation_rows):
                unseen = True
                out.append(
                    f"{split.unseen_node_rows:,} of {split.rows:,} {name} facts have an entity "
                    f"that training lacks, {split.unseen_relation_rows:,} a relation."
                )
        if not unseen:
            out.append("All entities and relations of val and test are in train.")

        size = found.splits["test"].facts
        out.append(
            f"{found.test_implied['any']:,} of {size:,} test facts follow from train by inverse, "
            f"duplicate or symmetric relations" + ("." if not any(found.pairs.values()) else ":")
        )
        for kind, pairs in found.pairs.items():
            for pair in pairs[:NUM_NAMED]:
                names = dict.fromkeys(found.rel_names[rel] for rel in (pair.rel, pair.other))
                out.append(f"  {kind}: {' | '.join(names)} ({pair.share:.0%})")
            if len(pairs) > NUM_NAMED:
                out.append(f"  {kind}: {len(pairs) - NUM_NAMED:,} more")
        return out
