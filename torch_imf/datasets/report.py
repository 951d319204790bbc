import os.path as osp
from dataclasses import dataclass, field

from torch_geometric.data import Data

from torch_imf.data import audit, modalities
from torch_imf.data.audit import Audit

LEFT_OUT = {
    "repeated": "repeated",
    "literals": "about literals rather than entities",
    "unknown": "of entities in no fact",
}
NUM_NAMED = 3  # Relation pairs of each kind that are named.


@dataclass(frozen=True)
class Summary:
    r"""How much of what there is in a dataset.

    Args:
        name (str): The name of the dataset.
        num_nodes (int): The number of entities.
        num_relations (int): The number of relations, without inverses.
        num_facts (dict[str, int]): The number of facts of each split.
        coverage (dict[str, int]): The number of entities that have a modality. Those whose text is
            no more than a name count, unless the encoder finds nothing in it.
        channels (dict[str, int]): The size of the features of each modality.
        encoders (dict[str, str]): The encoder of each modality in words.
        warning (str, optional): What is not there that was published. (default: :obj:`None`)
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
        return cls(
            name=name,
            num_nodes=data.num_nodes,
            num_relations=data.num_relations,
            num_facts={
                split: int(data[f"{split}_mask"][base].sum()) for split in ("train", "val", "test")
            },
            coverage={name: int(mask.sum()) for name, mask in mask_dict.items()},
            channels={name: x.size(-1) for name, x in x_dict.items()},
            encoders=dict(data.get("encoders", {})),
            warning=warning,
        )

    def __str__(self) -> str:
        facts = ", ".join(f"{size:,} {split}" for split, size in self.num_facts.items())
        lines = [
            f"{self.name}: {self.num_nodes:,} entities, {self.num_relations:,} relations",
            f"  facts    {facts}",
        ]
        for name, count in self.coverage.items():
            encoder = self.encoders.get(name, "ready features")
            lines.append(
                f"  {name:<8} {count:,} entities ({count / self.num_nodes:.1%}), "
                f"{self.channels[name]} channels, {encoder}"
            )
        if self.warning is not None:
            lines.append(f"  WARNING  {self.warning}")
        return "\n".join(lines)


@dataclass(frozen=True)
class Report:
    r"""What is in a graph and what to know before a model is trained on it; :obj:`print` shows it
    on a screen.

    Args:
        summary (Summary): How much of what there is.
        audit (Audit): Repetitions and leaks in the splits, all of which :obj:`print(report.audit)`
            shows.
        sources (dict[str, dict[str, int]]): For each file, its number of :obj:`"rows"` and how many
            of them were left out, and why.
    """

    summary: Summary
    audit: Audit
    sources: dict[str, dict[str, int]]

    @classmethod
    def of(cls, data: Data, summary: Summary) -> "Report":
        r"""Returns the report on a graph."""
        return cls(summary, audit(data), data.get("sources", {}))

    def __str__(self) -> str:
        lines = [str(self.summary), "Files"]
        for path, counts in self.sources.items():
            left_out = [f"{counts[k]:,} {why}" for k, why in LEFT_OUT.items() if counts.get(k)]
            note = f", left out: {', '.join(left_out)}" if left_out else ""
            lines.append(f"  {osp.basename(path)}: {counts['rows']:,} rows{note}")
        lines += ["Splits", *(f"  {line}" for line in self.findings())]
        return "\n".join(lines)

    def findings(self) -> list[str]:
        r"""Returns a line for each thing to know about the splits: leaks, entities and relations
        that training lacks, and facts that follow from others.
        """
        found = self.audit
        out = list(found.problems)
        repair = "Pass 'scheme=\"clean\"' to repair this."
        out.append("No fact is in two splits." if found.is_clean else repair)
        unseen = [
            f"{split.unseen_node_rows:,} of {split.rows:,} {name} facts have an entity that "
            f"training lacks, {split.unseen_relation_rows:,} a relation."
            for name, split in found.splits.items()
            if name != "train" and (split.unseen_node_rows or split.unseen_relation_rows)
        ]
        out += unseen or ["All entities and relations of val and test are in train."]
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
