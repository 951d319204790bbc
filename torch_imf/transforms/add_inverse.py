import torch
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from torch_imf.data.graph import MASKS, check_range, has_inverse


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
        check_range("edge_type", data.edge_type, data.num_relations, "relations")
        names = [key for key in data.keys() if key.startswith("edge_") or key in MASKS]
        for name in names:
            value = data[name]
            if name == "edge_index":
                data[name] = torch.cat([value, value.flip(0)], dim=1)
            elif name == "edge_type":
                data[name] = torch.cat([value, value + data.num_relations])
            else:
                data[name] = torch.cat([value, value])
        return data
