import math

import pytest
import torch

from torch_imf.datasets.graph import build_graph, validate


def graph():
    splits = [
        torch.tensor([[0, 1], [0, 1], [1, 2]]),
        torch.tensor([[2], [0], [0]]),
        torch.tensor([[1], [1], [0]]),
    ]
    data = build_graph(splits, ["a", "b", "c"], ["A", "B", "B"], ["r", "s"], ["R", "S"])
    data.x_text = torch.tensor([[1.0, 2.0], [0.0, 0.0], [3.0, 4.0]])
    data.text_mask = torch.tensor([True, False, True])
    return data


def test_build_graph():
    data = graph()
    validate(data)
    assert data.edge_index.tolist() == [[0, 1, 2, 1], [1, 2, 0, 0]]
    assert data.edge_type.tolist() == [0, 1, 0, 1]
    assert data.train_mask.tolist() == [True, True, False, False]
    assert data.val_mask.tolist() == [False, False, True, False]
    assert data.test_mask.tolist() == [False, False, False, True]
    assert data.num_nodes == 3
    assert data.num_relations == 2
    assert data.node_ids == ["a", "b", "c"]
    assert data.node_names == ["A", "B", "B"]
    assert data.rel_ids == ["r", "s"]
    assert data.rel_names == ["R", "S"]
    assert data.edge_type.is_contiguous()

    train = data.edge_subgraph(data.train_mask)
    assert train.num_edges == 2
    assert train.num_nodes == 3
    assert train.node_names == ["A", "B", "B"]

    empty = torch.empty(3, 0, dtype=torch.long)
    some = torch.tensor([[0], [0], [0]])
    assert build_graph([some] * 3, ["a"], ["A"], ["r"]).rel_names == ["r"]
    with pytest.raises(ValueError, match="split of 'val_mask' is empty"):
        validate(build_graph([some, empty, some], ["a"], ["a"], ["r"]))


@pytest.mark.parametrize(
    "key, value, message",
    [
        ("edge_index", torch.zeros(3, 4, dtype=torch.long), r"long tensor of shape \[2, E\]"),
        ("edge_index", torch.zeros(2, 4), "got torch.float32"),
        ("edge_index", torch.tensor([[0, 1, 9, 1], [1, 2, 0, 0]]), r"'edge_index' .*first: 9"),
        ("edge_index", torch.tensor([[0, 1, 2, 1], [1, -1, 0, 0]]), r"'edge_index' .*first: -1"),
        ("edge_type", torch.zeros(3, dtype=torch.long), r"'edge_type' .* of shape \[4\]"),
        ("edge_type", torch.tensor([0, 1, 2, 1]), "out of range for 2 relations in 1 places"),
        ("train_mask", torch.zeros(4, dtype=torch.bool), "split of 'train_mask' is empty"),
        ("train_mask", torch.ones(4), "'train_mask' needs to be a torch.bool"),
        ("train_mask", torch.ones(4, dtype=torch.bool), "Fact 2 is in 2 splits"),
        ("train_mask", torch.tensor([True, False, False, False]), "Fact 1 is in 0 splits"),
        ("node_ids", ["a", "b"], r"'node_ids' needs 3 entries \(got 2\)"),
        ("node_ids", ["a", "b", "a"], "an identifier twice"),
        ("node_names", ["A"], "'node_names' needs 3 entries"),
        ("rel_ids", ["r"], "'rel_ids' needs 2 entries"),
        ("rel_ids", ["r", "r"], "'rel_ids' holds an identifier twice"),
        ("rel_names", ["r"], "'rel_names' needs 2 entries"),
        ("x_text", torch.ones(2, 4), "'text'"),
        ("x_text", torch.tensor([[1.0], [0.0], [math.nan]]), "'text'.* NaN.* 1 rows"),
        ("x_text", torch.tensor([[1.0], [0.0], [math.inf]]), "'text'.* 1 rows"),
        ("x_text", torch.ones(3, 1), "'x_text' is not zero in 1 masked rows"),
        ("x_text", torch.ones(3, 1, dtype=torch.double), "of type float32"),
        ("text_mask", torch.ones(2, dtype=torch.bool), "'text'"),
    ],
)
def test_validate(key, value, message):
    data = graph()
    data[key] = value
    with pytest.raises(ValueError, match=message):
        validate(data)


def test_validate_needs_masks():
    data = graph()
    del data.text_mask
    with pytest.raises(ValueError, match="'x_text' has no 'text_mask'"):
        validate(data)
    del data.x_text, data.val_mask
    with pytest.raises(ValueError, match=r"The graph lacks \['val_mask'\]"):
        validate(data)
