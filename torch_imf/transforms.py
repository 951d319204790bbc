import torch
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from torch_imf.data.graph import MASKS, has_inverse, modality_mask
from torch_imf.data.index import check_range

__all__ = ["AddInverse", "DropModality"]


@functional_transform("add_inverse")
class AddInverse(BaseTransform):
    r"""Adds the inverse triple :math:`(t, r + |\mathcal{R}|, h)` of every triple :math:`(h, r, t)`
    (functional name: :obj:`add_inverse`), so that predicting heads becomes predicting tails.

    Split masks and other attributes called :obj:`edge_*` are repeated: an inverse is in the split
    of its triple. :obj:`data.num_relations` keeps counting base relations.

    Raises:
        ValueError: If the graph already holds inverse triples, or relations out of range.
    """

    def forward(self, data: Data) -> Data:
        if has_inverse(data):
            raise ValueError(
                f"The graph already holds inverse triples (a relation type of "
                f"{int(data.edge_type.max())} with {data.num_relations} base relations)"
            )
        check_range("edge_type", data.edge_type, data.num_relations)
        names = [key for key in data.keys() if key.startswith("edge_") or key in MASKS]
        inverse = {"edge_index": data.edge_index.flip(0)}
        inverse["edge_type"] = data.edge_type + data.num_relations
        for name in names:
            dim = 1 if name == "edge_index" else 0
            data[name] = torch.cat([data[name], inverse.get(name, data[name])], dim=dim)
        return data


@functional_transform("drop_modality")
class DropModality(BaseTransform):
    r"""Takes a modality away from a random share of the entities that have it (functional name:
    :obj:`drop_modality`), as in missing-modality experiments: their mask becomes :obj:`False`,
    their features zero.

    Args:
        name (str): The modality, *e.g.*, :obj:`"visual"`.
        ratio (float): The share of entities in :obj:`[0, 1]` to drop it from.
        seed (int, optional): The seed of the draw. (default: :obj:`0`)

    Raises:
        ValueError: If the ratio is outside :obj:`[0, 1]` or the graph does not hold the modality.
    """

    def __init__(self, name: str, ratio: float, seed: int = 0) -> None:
        if not 0 <= ratio <= 1:
            raise ValueError(f"'ratio' needs to be in [0, 1] (got {ratio})")
        self.name = name
        self.ratio = ratio
        self.seed = seed

    def forward(self, data: Data) -> Data:
        if f"x_{self.name}" not in data:
            known = sorted(key[2:] for key in data.keys() if key.startswith("x_"))
            raise ValueError(f"The graph holds no modality '{self.name}' (got {known})")
        x, mask = data[f"x_{self.name}"], modality_mask(data, self.name)
        generator = torch.Generator().manual_seed(self.seed)
        index = mask.nonzero().view(-1)
        perm = torch.randperm(index.numel(), generator=generator).to(index.device)
        index = index[perm[: round(self.ratio * index.numel())]]
        data[f"{self.name}_mask"] = mask.index_fill(0, index, False)
        data[f"x_{self.name}"] = x.index_fill(0, index, 0.0)
        return data

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.name!r}, ratio={self.ratio}, seed={self.seed})"
