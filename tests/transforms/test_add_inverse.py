import pytest
import torch
from torch_geometric.data import Data

from torch_imf.transforms import AddInverse


def test_add_inverse():
    data = Data(
        edge_index=torch.tensor([[0, 1], [2, 3]]),
        edge_type=torch.tensor([0, 1]),
        train_mask=torch.tensor([True, False]),
        num_nodes=4,
        num_relations=2,
    )
    transform = AddInverse()
    assert str(transform) == "AddInverse()"
    out = transform(data)
    assert out.edge_index.tolist() == [[0, 1, 2, 3], [2, 3, 0, 1]]
    assert out.edge_type.tolist() == [0, 1, 2, 3]
    assert out.train_mask.tolist() == [True, False, True, False]
    assert out.num_relations == 2
    assert data.edge_index.size(1) == 2  # The input stays as it is.

    data.edge_weight = torch.tensor([0.1, 0.2])
    data.num_nodes = 2  # As many as edges, when PyG takes masks for node attributes.
    data.edge_index = torch.tensor([[0, 1], [1, 0]])
    data.node_names = ["a", "b"]
    small = transform(data)
    assert small.train_mask.tolist() == [True, False, True, False]
    assert small.edge_weight.numel() == 4 and small.node_names == ["a", "b"]
    data.edge_type = torch.tensor([0, 5])
    with pytest.raises(ValueError, match="outside .0, 2"):
        transform(data)

    with pytest.raises(ValueError, match="already holds inverse triples"):
        transform(out)
