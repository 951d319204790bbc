from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Generator, Tensor
from torch_geometric.data import Data

from torch_imf.datasets.base import KGDataset, Record

# Modality -> (its relation, the number of classes, the size of its features).
MODALITIES = {
    "visual": ("has_colour", 8, 16),
    "text": ("has_topic", 6, 12),
    "numeric": ("has_size", 4, 8),
}
RING = 12  # Entities per ring.


class FakeMMKG(KGDataset):
    r"""A generated multimodal knowledge graph in which every relation is learnable, and every
    modality is needed to answer some queries.

    Most entities are *things*, arranged in rings of about a dozen. The other 18 are *classes*: 8
    colours, 6 topics and 4 sizes. There are five relations.

    * :obj:`next_to` leads from each thing to its successor on the ring. All of its facts are
      training facts.
    * :obj:`after` is its inverse. Its held-out facts follow from **structure** alone.
    * :obj:`has_colour` leads from each thing to one colour, drawn at random. Its held-out facts
      follow from :obj:`x_visual` alone: features are a prototype of the colour plus a little noise,
      and the features of a colour are its prototype.
    * :obj:`has_topic` and :obj:`has_size` likewise follow from :obj:`x_text` and :obj:`x_numeric`.

    Each modality is missing for a share of the things, whose fact about it is then a training fact,
    and for the classes of the other modalities. A model without it can only guess the class, with
    about one in eight, six and four to be right; one that has it can be right always. Of the facts
    that can be held out, 60 % are for training, 20 % for validation and 20 % for testing.

    Args:
        root (str, optional): The folder to keep the processed file in. Without it, the graph is
            built in memory. (default: :obj:`None`)
        num_nodes (int, optional): The number of entities, at least 60. (default: :obj:`150`)
        missing (float, optional): The share of things that lack a modality. (default: :obj:`0.2`)
        seed (int, optional): The seed of the generator. (default: :obj:`0`)
        transform, pre_transform, force_reload: As in :class:`KGDataset`.
    """

    aliases: ClassVar[dict] = {}
    modalities = ()

    def __init__(
        self,
        root: str | None = None,
        num_nodes: int = 150,
        missing: float = 0.2,
        seed: int = 0,
        transform: Callable | None = None,
        pre_transform: Callable | None = None,
        force_reload: bool = False,
    ) -> None:
        if num_nodes < 60:
            raise ValueError(f"'num_nodes' needs to be at least 60 (got {num_nodes})")
        if not 0 <= missing <= 0.5:
            raise ValueError(f"'missing' needs to be in [0, 0.5] (got {missing})")

        self.sizes = (num_nodes, missing, seed)
        rest = (None, transform, pre_transform, force_reload)
        super().__init__(root, None, "original", None, None, None, *rest)

    @property
    def revision(self) -> str:
        return "nodes={}_missing={}_seed={}".format(*self.sizes)

    def read(self) -> Record:
        num_nodes, missing, seed = self.sizes
        generator = torch.Generator().manual_seed(seed)
        num_things = num_nodes - sum(size for _, size, _ in MODALITIES.values())
        things = torch.arange(num_things)

        ring = things // RING
        last = (things + 1 == num_things) | (things % RING == RING - 1)
        successor = torch.where(last, ring * RING, things + 1)
        triples = [
            torch.stack([things, torch.full_like(things, 0), successor]),
            torch.stack([successor, torch.full_like(things, 1), things]),
        ]
        parts = [torch.zeros_like(things), divide(num_things, 0, generator)]

        names = [f"thing {i}" for i in range(num_things)]
        self.features: dict[str, Tensor] = {}
        for rel, (modality, (_, num_classes, channels)) in enumerate(MODALITIES.items(), start=2):
            # Things in random order: one per class that is always known, those
            # that have the modality, and at last those that lack it.
            order = torch.randperm(num_things, generator=generator)
            num_missing = int(missing * num_things)
            target = torch.empty_like(order)
            target[order] = torch.arange(num_things) % num_classes
            part = torch.zeros_like(order)
            has = order[: num_things - num_missing]
            part[has] = divide(has.numel(), num_classes, generator)
            triples.append(torch.stack([things, torch.full_like(things, rel), target + len(names)]))
            parts.append(part)

            prototype = torch.linalg.qr(torch.randn(channels, num_classes, generator=generator))[0]
            prototype = channels**0.5 * prototype.t()  # [num_classes, channels]
            noise = torch.randn(num_things, channels, generator=generator)
            x = torch.zeros(num_nodes, channels)
            x[has] = prototype[target[has]] + 0.3 * noise[has]
            x[len(names) : len(names) + num_classes] = prototype
            self.features[modality] = x
            names += [f"{MODALITIES[modality][0][4:]} {i}" for i in range(num_classes)]

        facts, part = torch.cat(triples, dim=1), torch.cat(parts)
        rel_names = ["next_to", "after", *(rel for rel, _, _ in MODALITIES.values())]
        return Record([facts[:, part == i] for i in range(3)], names, rel_names)

    def encode(self, data: Data) -> None:
        for modality, x in self.features.items():
            data[f"x_{modality}"] = x
            data[f"{modality}_mask"] = (x != 0).any(dim=-1)


def divide(size: int, num_known: int, generator: Generator) -> Tensor:
    r"""Returns the split of each of :obj:`size` facts (0, 1 or 2), the first :obj:`num_known` of
    which are training facts.
    """
    rank = torch.randperm(size - num_known, generator=generator)
    part = torch.zeros(size, dtype=torch.long)
    part[num_known:][rank >= 0.6 * rank.numel()] = 1
    part[num_known:][rank >= 0.8 * rank.numel()] = 2
    return part
