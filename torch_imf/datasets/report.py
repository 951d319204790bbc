import os.path as osp
from dataclasses import dataclass, field

from torch_geometric.data import Data

from torch_imf.data import modalities
from torch_imf.data.audit import Audit

LEFT_OUT = {
    "repeated": "repeated",
    "literals": "about literals rather than entities",
    "unknown": "of entities in no fact",
}
NUM_NAMED = 3  # Relation pairs of each kind that are named.


@dataclass(frozen=True)
class Summary:
    r"""How much of what there is in a dataset: facts of each split, and for each modality, the
    number of entities that have it (:obj:`coverage`), the size of its features (:obj:`channels`)
    and its encoder in words. An entity whose text is no more than a name counts, unless the encoder
    finds nothing in it. The :obj:`warning` says what is not there that was published.
    """

    name: str
    num_nodes: int
    num_relations: int
    num_facts: dict[str, int]
    coverage: dict[str, int] = field(default_factory=dict)
    channels: dict[str, int] = field(default_factory=dict)
    encoders: dict[str, str] = field(default_factory=dict)
    warning: str | None = None

    @classmethod
    def of(cls, data: Data, name: str, warning: str | None = None) -> "Summary":
        r"""Returns the summary of a graph."""
        x_dict, mask_dict = modalities(data)
        base = data.edge_type < data.num_relations  # Without inverses, as relations are.
        sizes = {x: int(data[f"{x}_mask"][base].sum()) for x in ("train", "val", "test")}
        coverage = {name: int(mask.sum()) for name, mask in mask_dict.items()}
        channels = {name: x.size(-1) for name, x in x_dict.items()}
        encoders = dict(data.get("encoders", {}))
        size = (data.num_nodes, data.num_relations)
        return cls(name, *size, sizes, coverage, channels, encoders, warning)

    def __str__(self) -> str:
        facts = ", ".join(f"{size:,} {split}" for split, size in self.num_facts.items())
        lines = [
            f"{self.name}: {self.num_nodes:,} entities, {self.num_relations:,} relations",
            f"  facts    {facts}",
        ]
        for name, count in self.coverage.items():
            share, channels = count / self.num_nodes, self.channels[name]
            encoder = self.encoders.get(name, "ready features")
            lines.append(
                f"  {name:<8} {count:,} entities ({share:.1%}), {channels} channels, {encoder}"
            )
        return "\n".join(lines + [f"  WARNING  {self.warning}"] * (self.warning is not None))


@dataclass(frozen=True)
class Report:
    r"""What is in a graph and what to know before a model is trained on it: its summary, the
    repetitions and leaks of its splits (all of which :obj:`print(report.audit)` shows), and for
    each file, its number of :obj:`"rows"` and how many of them were left out, and why.
    """

    summary: Summary
    audit: Audit
    sources: dict[str, dict[str, int]]

    def __str__(self) -> str:
        lines = [str(self.summary), "Files"]
        for path, counts in self.sources.items():
            left_out = ", ".join(f"{counts[k]:,} {x}" for k, x in LEFT_OUT.items() if counts.get(k))
            note = f", left out: {left_out}" if left_out else ""
            lines.append(f"  {osp.basename(path)}: {counts['rows']:,} rows{note}")
        return "\n".join([*lines, "Splits", *(f"  {line}" for line in self.findings())])

    def findings(self) -> list[str]:
        r"""Returns a line for each thing to know about the splits: leaks, entities and relations
        that training lacks, and facts that follow from others.
        """
        found = self.audit
        repair = "Pass 'scheme=\"clean\"' to repair this."
        out = [*found.problems, "No fact is in two splits." if found.is_clean else repair]
        unseen = [
            f"{split.unseen_node_rows:,} of {split.rows:,} {name} facts have an entity that "
            f"training lacks, {split.unseen_relation_rows:,} a relation."
            for name, split in found.splits.items()
            if name != "train" and (split.unseen_node_rows or split.unseen_relation_rows)
        ]
        out += unseen or ["All entities and relations of val and test are in train."]
        implied, size = found.test_implied["any"], found.splits["test"].facts
        by = "by inverse, duplicate or symmetric relations" + (
            ":" if any(found.pairs.values()) else "."
        )
        out.append(f"{implied:,} of {size:,} test facts follow from train {by}")
        for kind, pairs in found.pairs.items():
            for pair in pairs[:NUM_NAMED]:
                names = dict.fromkeys(found.rel_names[rel] for rel in (pair.rel, pair.other))
                out.append(f"  {kind}: {' | '.join(names)} ({pair.share:.0%})")
            if len(pairs) > NUM_NAMED:
                out.append(f"  {kind}: {len(pairs) - NUM_NAMED:,} more")
        return out
