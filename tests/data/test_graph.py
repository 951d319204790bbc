import copy

import pytest
import torch
from torch_geometric.data import Data

from torch_imf.data import modalities
from torch_imf.data.graph import (
    check_graph,
    facts_by_split,
    has_inverse,
    prepare,
    remember,
    warn_of_leaks,
    without_test,
)
from torch_imf.nn import KGE
from torch_imf.transforms import AddInverse


def graph(**kwargs):
    masks = {f"{split}_mask": torch.ones(3, dtype=torch.bool) for split in ("train", "val", "test")}
    edges = {
        "edge_index": torch.tensor([[0, 1, 2], [1, 2, 0]]),
        "edge_type": torch.tensor([0, 1, 1]),
    }
    return Data(**{**edges, **masks, "num_nodes": 3, "num_relations": 2, **kwargs})


def test_check_graph():
    for data in (graph(), AddInverse()(graph())):
        check_graph(data)
        assert has_inverse(data) == (data.num_edges == 6)


@pytest.mark.parametrize(
    "kwargs, match",
    [
        ({"num_relations": None}, r"lacks \['num_relations'\]"),
        ({"val_mask": None}, r"lacks \['val_mask'\]"),
        ({"edge_index": torch.zeros(2, 3)}, "'edge_index' needs to be a torch.int64 tensor"),
        ({"edge_type": torch.zeros(2, dtype=torch.long)}, r"'edge_type' needs .* of shape \[3\]"),
        ({"test_mask": torch.ones(3)}, "'test_mask' needs to be a torch.bool tensor"),
        ({"num_nodes": 2}, r"'edge_index' holds ids outside \[0, 2\) .got a range of \[0, 2\]"),
        ({"num_relations": 1}, r"'edge_type' holds ids outside \[0, 1\)"),
        ({"edge_type": torch.tensor([0, -1, 0])}, "'edge_type' holds ids outside"),
        ({"edge_index": [[0, 1, 2], [1, 2, 0]]}, r"'edge_index' needs .* tensor .*got a 'list'"),
        ({"num_relations": 2.0}, "'num_relations' needs to be a whole number .*got 2.0"),
        ({"node_names": ["a", 5, "c"]}, "'node_names' needs to hold 3 strings .*one is 5"),
        ({"rel_ids": ["r"]}, "'rel_ids' needs to hold 2 strings .got 1 values"),
        ({"rel_names": torch.ones(2)}, "'rel_names' needs .* .got Tensor"),
    ],
)
def test_check_graph_errors(kwargs, match):
    with pytest.raises(ValueError, match=match):
        check_graph(graph(**kwargs))


def test_prepare():
    data = graph(x_text=torch.randn(3, 2))
    out = prepare(KGE(3, 2, 4), data)
    assert out is not data and out.x_text is data.x_text
    assert torch.equal(out.edge_index, data.edge_index)
    assert prepare(torch.nn.Identity(), data).num_nodes == 3  # A model without sizes.
    with pytest.raises(ValueError, match="expects 4 entities, but the graph holds 3"):
        prepare(KGE(4, 2, 4), data)
    with pytest.raises(ValueError, match="expects 5 base relations, but the graph holds 2"):
        prepare(KGE(3, 5, 4), data)
    meta = prepare(KGE(3, 2, 4).to("meta"), data)
    assert meta.edge_index.is_meta and meta.test_mask.is_meta and not meta.x_text.is_meta


def test_modalities():
    mask = torch.tensor([True, False, True])
    data = Data(num_nodes=3, x_text=torch.randn(3, 4), x_audio=torch.randn(3, 2), text_mask=mask)
    x_dict, mask_dict = modalities(data)
    assert list(x_dict) == list(mask_dict) == ["audio", "text"]
    assert x_dict["text"] is data.x_text and mask_dict["text"] is mask
    assert mask_dict["audio"].all()
    assert modalities(Data(num_nodes=3)) == ({}, {})


@pytest.mark.parametrize(
    "kwargs, match",
    [
        ({"x_text": torch.randn(2, 4)}, r"'text' need to be floats of shape \[3, \*\]"),
        ({"x_text": torch.zeros(3)}, r"'text' need to be floats of shape \[3, \*\]"),
        ({"x_text": torch.zeros(3, 0)}, r"'text' need to be .* .got shape \[3, 0\]"),
        ({"x_text": torch.eye(3).to_sparse()}, "'text' need to be .* dense .* torch.sparse_coo"),
        ({"x_text": torch.eye(3, device="meta")}, "'text' need to be .* dense .* on 'meta'"),
        ({"x_text": [[0.0]] * 3}, "'text' need to be .* .got a 'list'"),
        ({"x_text": torch.tensor([[0.0], [torch.nan], [0.0]])}, r"values in 1 rows \(first: 1"),
        (
            {"x_text": torch.zeros(3, 4), "text_mask": torch.ones(3)},
            "'text' needs to be a torch.bool",
        ),
    ],
)
def test_modalities_errors(kwargs, match):
    with pytest.raises(ValueError, match=match):
        modalities(Data(num_nodes=3, **kwargs))


def named(**kwargs):
    names = {"node_ids": ["a", "b", "c"], "node_names": ["A", "B", "C"], "rel_ids": ["r", "s"]}
    return graph(**{**names, **kwargs})


@pytest.mark.parametrize(
    "kwargs, match",
    [
        ({}, None),
        ({"node_names": ["X", "Y", "Z"]}, None),  # The same entities, called otherwise.
        ({"node_ids": None, "node_names": None, "rel_ids": None}, None),  # Of any names.
        ({"node_ids": ["a", "c", "b"]}, "other entities, or in another order: their 'node_ids'"),
        ({"node_ids": ["a", "b", "d"]}, "other entities"),
        ({"rel_ids": ["s", "r"]}, "other relations, or in another order: their 'rel_ids'"),
        ({"node_ids": None, "node_names": ["A", "C", "B"]}, "their 'node_names'"),
    ],
)
def test_names_that_a_model_knows(kwargs, match):
    model = KGE(3, 2, 4)
    prepare(model, named(**kwargs))  # A model that has not been trained knows none.
    remember(model, named())
    for one in (model, copy.deepcopy(model)):
        if match is None:
            prepare(one, named(**kwargs))
            continue
        with pytest.raises(ValueError, match=match):
            prepare(one, named(**kwargs))


def test_models_of_graphs_without_names():
    model = KGE(3, 2, 4)
    remember(model, graph())
    prepare(model, named())
    remember(model, named())  # Trained on, it knows them, and they stay.
    remember(model, graph())
    with pytest.raises(ValueError, match="other entities"):
        prepare(model, named(node_ids=["c", "b", "a"]))


def test_what_is_no_graph():
    for data in ([graph()], "graph", KGE(3, 2, 4)):
        with pytest.raises(ValueError, match="needs to be a 'Data' .*'torch_imf.data.to_graph'"):
            prepare(KGE(3, 2, 4), data)
    with pytest.raises(ValueError, match="A model needs to be a module .got a 'Data'"):
        prepare(graph(), graph())


def test_facts_by_split():
    data = AddInverse()(graph(test_mask=torch.tensor([True, False, False])))
    data.train_mask, data.val_mask = data.test_mask, ~data.test_mask
    data.val_mask[2] = data.val_mask[5] = False
    found = {name: fact.t().tolist() for name, fact in facts_by_split(data).items()}
    first, second, third = [0, 0, 1], [1, 1, 2], [2, 1, 0]
    assert found["training facts"] == found["test facts"] == [first]
    assert found["validation facts"] == [second] and found["unsplit facts"] == [third]


def test_without_test():
    # As many names as edges, and the last entity in test facts only:
    data = graph(node_ids=["a", "b", "c"], edge_attr=torch.arange(3))
    data.train_mask = data.val_mask = torch.tensor([True, False, False])
    data.test_mask = torch.tensor([True, True, True])
    out = without_test(data)
    assert out.node_ids == data.node_ids and out.num_nodes == 3 and out.num_edges == 1
    assert out.edge_attr.tolist() == [0] and not out.test_mask.any() and data.num_edges == 3


def test_warn_of_leaks():
    train = torch.tensor([True, False, False])
    data = graph(train_mask=train, val_mask=~train, test_mask=~train)
    warn_of_leaks(AddInverse()(data.clone()), "validation", "test")
    data.edge_index[:, 2], data.edge_type[2] = data.edge_index[:, 0], data.edge_type[0]
    with pytest.warns(UserWarning, match="1 of 2 test facts are training facts as well"):
        warn_of_leaks(data, "test")
