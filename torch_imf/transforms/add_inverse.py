import torch
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform

from torch_imf.data.graph import MASKS, has_inverse
from torch_imf.data.index import check_range


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
