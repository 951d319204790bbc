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
    with pytest.raises(ValueError, match="'metrics' needs to be made of plain"):
        to_json({"mrr": torch.zeros(1)}, "metrics")
    assert to_json({"name": "Österreich"}, "data").decode() == '{\n "name": "Österreich"\n}\n'
