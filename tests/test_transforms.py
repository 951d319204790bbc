import pytest
import torch
from torch_geometric.data import Data

from torch_imf.transforms import AddInverse, DropModality


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


def test_drop_modality():
    mask = torch.arange(20) < 10
    data = Data(num_nodes=20, x_text=torch.ones(20, 3) * mask[:, None], text_mask=mask)
    transform = DropModality("text", 0.3, seed=1)
    assert str(transform) == "DropModality('text', ratio=0.3, seed=1)"
    out = transform(data)
    assert int(out.text_mask.sum()) == 7
    assert not (out.text_mask & ~mask).any()
    assert torch.equal(out.x_text.any(dim=1), out.text_mask)
    assert torch.equal(out.text_mask, transform(data).text_mask)
    assert int(data.text_mask.sum()) == 10

    assert not DropModality("text", 1.0)(data).text_mask.any()
    out = DropModality("text", 0.5)(Data(num_nodes=4, x_text=torch.ones(4, 1)))
    assert int(out.text_mask.sum()) == 2


def test_drop_modality_errors():
    with pytest.raises(ValueError, match="'ratio' needs to be in"):
        DropModality("text", 1.5)
    with pytest.raises(ValueError, match="holds no modality 'audio'"):
        DropModality("audio", 0.5)(Data(num_nodes=2, x_text=torch.ones(2, 1)))
