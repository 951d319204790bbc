import torch
from torch_geometric.data import Data
from torch_geometric.data.datapipes import functional_transform
from torch_geometric.transforms import BaseTransform


@functional_transform("add_inverse")
class AddInverse(BaseTransform):
    r"""Adds the inverse triple :math:`(t, r + |\mathcal{R}|, h)` of every
    triple :math:`(h, r, t)` (functional name: :obj:`add_inverse`), so that
    predicting heads becomes predicting tails.

    Other edge-level attributes, such as split masks, are repeated: an inverse
    is in the split of its triple. :obj:`data.num_relations` keeps counting
    base relations.

    Raises:
        ValueError: If the graph already holds inverse triples.
    """

    def forward(self, data: Data) -> Data:
        if has_inverse(data):
            raise ValueError(
                f"The graph already holds inverse triples (a relation type of "
                f"{int(data.edge_type.max())} with {data.num_relations} base relations)"
            )
        edge_attrs = [key for key in data.keys() if data.is_edge_attr(key)]
        for key in edge_attrs:
            value = data[key]
            if key == "edge_index":
                data[key] = torch.cat([value, value.flip(0)], dim=1)
            elif key == "edge_type":
                data[key] = torch.cat([value, value + data.num_relations])
            else:
                data[key] = torch.cat([value, value])
        return data


def has_inverse(data: Data) -> bool:
    r"""Tells whether :class:`AddInverse` has been applied to :obj:`data`."""
    return data.edge_type.numel() > 0 and int(data.edge_type.max()) >= data.num_relations
