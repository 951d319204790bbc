import json
import math
import re

import numpy as np
import pytest
import torch

from torch_imf.pretrained.graph import graph_facts, graph_names, graph_sizes, make_graph, to_json


def test_graph(fake):
    facts, names = graph_facts(fake), graph_names(fake)
    assert facts["edge_index"].dtype == torch.int and facts["val_mask"].dtype == torch.bool
    data = make_graph(fake.num_nodes, fake.num_relations, facts, names)
    assert torch.equal(data.edge_index, fake.edge_index) and data.node_names == fake.node_names
    assert sum(graph_sizes(data).values()) == fake.num_edges
    assert graph_sizes(fake)["val"] == int(fake.val_mask.sum())
    del names["rel_names"]
    assert "rel_names" not in make_graph(fake.num_nodes, fake.num_relations, facts, names)


def test_errors(fake):
    facts, names = graph_facts(fake), graph_names(fake)
    sizes = fake.num_nodes, fake.num_relations
    with pytest.raises(ValueError, match="'node_names' needs to hold 150 strings .got 1 values"):
        make_graph(*sizes, facts, {**names, "node_names": ["a"]})
    with pytest.raises(ValueError, match="'rel_names' needs to hold 5 strings"):
        make_graph(*sizes, facts, {**names, "rel_names": [1, 2, 3, 4, 5]})
    with pytest.raises(ValueError, match="'x_text'"):
        make_graph(*sizes, facts, {**names, "x_text": names["node_ids"]})
    with pytest.raises(ValueError, match="It holds"):
        make_graph(*sizes, {"edge_index": facts["edge_index"]}, names)


def test_to_json():
    assert to_json({"name": "Österreich"}, "data").decode() == '{\n "name": "Österreich"\n}\n'
    values = {
        "tensor": torch.tensor(0.5),
        "numbers": (torch.arange(2), np.zeros((1, 1))),
        "numpy": [np.float32(0.25), np.int64(3), np.bool_(True), np.str_("a")],
        "head": {0: None, 0.5: True, np.int64(1): "one"},
    }
    assert json.loads(to_json(values, "metrics")) == {
        "tensor": 0.5,
        "numbers": [[0, 1], [[0.0]]],
        "numpy": [0.25, 3, True, "a"],
        "head": {"0": None, "0.5": True, "1": "one"},
    }


@pytest.mark.parametrize(
    "value, message",
    [
        ({"head": {"mrr": math.nan}}, "'metrics['head']['mrr']' is nan, which cannot be kept"),
        ({"mr": torch.tensor(math.inf)}, "'metrics['mr']' is inf"),
        ({"mr": np.float32(-math.inf)}, "'metrics['mr']' is -inf"),
        ({"mr": torch.tensor([[1.0, math.nan]])}, "'metrics['mr'][0][1]' is nan"),
        ({"mr": [1, 2j]}, "'metrics['mr'][1]' needs to be a plain number or string"),
        ({"mr": {1}}, "'metrics['mr']' needs to be a plain number or string"),
        ({(0, 1): 2}, "The key of 'metrics[(0, 1)]' needs to be a string"),
        ({"a": {None: 2}}, "The key of 'metrics['a'][None]' needs to be a string"),
        ({"1": 1, 1: 2}, "The key of 'metrics[1]' is there twice"),
        ({"a": "\ud800"}, "'metrics' holds a string that is no valid text"),
    ],
)
def test_values_that_are_refused(value, message):
    with pytest.raises(ValueError, match=re.escape(message)):
        to_json(value, "metrics")
