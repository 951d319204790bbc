from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from torch_imf.data import modalities

if TYPE_CHECKING:
    from torch_imf.datasets.content import Content


@dataclass(frozen=True)
class Summary:
    r"""How much of what there is in a dataset.

    Args:
        name (str): The name of the dataset.
        num_nodes (int): The number of entities.
        num_relations (int): The number of relations, without inverses.
        num_facts (dict[str, int]): The number of facts of each split.
        coverage (dict[str, int]): The number of entities that have a modality.
            Those whose text is no more than a name count, unless the encoder
            finds nothing in it.
        channels (dict[str, int]): The size of the features of each modality.
        encoders (dict[str, str]): The encoder of each modality in words.
        warning (str, optional): What is not there that was published.
            (default: :obj:`None`)
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
    def of(cls, dataset: "Content") -> "Summary":
        r"""Returns the summary of a dataset."""
        data = dataset._data
        x_dict, mask_dict = modalities(data)
        base = data.edge_type < data.num_relations  # Without inverses, as relations are.
        settings = [f"'{x}'" for x in (dataset.version, dataset.split) if x is not None]
        return cls(
            name=f"{dataset.__class__.__name__} ({', '.join(settings)})",
            num_nodes=data.num_nodes,
            num_relations=data.num_relations,
            num_facts={
                split: int(data[f"{split}_mask"][base].sum()) for split in ("train", "val", "test")
            },
            coverage={name: int(mask.sum()) for name, mask in mask_dict.items()},
            channels={name: x.size(-1) for name, x in x_dict.items()},
            encoders=dict(data.get("encoders", {})),
            warning=dataset.incomplete,
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
