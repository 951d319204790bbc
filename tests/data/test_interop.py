import copy

import networkx as nx
import pytest
import torch
from torch_geometric.data import HeteroData

from torch_imf.data import (
    modalities,
    to_frame,
    to_graph,
    to_hetero,
    to_networkx,
    write_neo4j,
    write_triples,
)
from torch_imf.datasets import MultimodalKG
from torch_imf.io import TorchIMFWarning
from torch_imf.transforms import AddInverse


@pytest.fixture
def typed(fake):
    fake = copy.copy(fake)
    fake.node_types = [[], *(["Number", "Odd"] if i % 2 else ["Even"] for i in range(1, 150))]
    fake.node_names = [f"The {x}" for x in fake.node_ids]
    fake.rel_names = [f"is {x}" for x in fake.rel_ids]
    return fake


def rows(data):
    # What a graph says, whatever its order, and that of types.
    frame = to_frame(data)
    for end in ("head", "tail"):
        frame[f"{end}_types"] = frame[f"{end}_types"].map(lambda x: tuple(sorted(x.split(";"))))
    return sorted(map(tuple, frame[sorted(frame.columns)].to_numpy()))


@pytest.mark.parametrize("to", [to_frame, to_networkx])
def test_there_and_back(typed, to):
    data = MultimodalKG.from_files(to(AddInverse()(typed)))[0]
    assert rows(data) == rows(typed)


def test_hetero(typed):
    hetero = to_hetero(AddInverse()(typed))
    assert isinstance(hetero, HeteroData) and hetero.node_types == ["Even", "Number", "entity"]
    data = to_graph(hetero)
    assert rows(data) == rows(typed) and data.rel_ids == typed.rel_ids
    order = [typed.node_ids.index(x) for x in data.node_ids]
    for name, x in modalities(typed)[0].items():
        assert torch.equal(data[f"x_{name}"], x[order])
        assert torch.equal(data[f"{name}_mask"], typed[f"{name}_mask"][order])
    hetero["Number"].x_text = hetero["Number"].x_text[:, :3]
    with pytest.raises(ValueError, match="'x_text' are of two sizes, also in 'Number'"):
        to_graph(hetero)


def test_files(typed, tmp_path):
    write_triples(typed, tmp_path / "a")
    data = MultimodalKG.from_folder(tmp_path / "a")[0]
    ids = ["head_id", "relation_id", "split", "tail_id", "relation_name"]
    facts = sorted(map(tuple, to_frame(typed)[ids].to_numpy()))
    expected = sorted(map(tuple, to_frame(typed)[ids[:4]].to_numpy()))
    assert sorted(map(tuple, to_frame(data)[ids[:4]].to_numpy())) == expected
    (tmp_path / "d").mkdir()
    nx.write_graphml(to_networkx(typed), tmp_path / "d" / "graph.graphml")
    assert rows(MultimodalKG.from_folder(tmp_path / "d")[0]) == rows(typed)
    typed.node_names[3] = 'A "name", and;\nlines'
    write_neo4j(typed, tmp_path / "b")
    data = MultimodalKG.from_folder(tmp_path / "b", encoders={"text": None})[0]
    assert sorted(map(tuple, to_frame(data)[ids].to_numpy())) == facts
    about = zip(data.node_names, data.node_types, strict=True)
    found = dict(zip(data.node_ids, about, strict=True))
    expected = zip(typed.node_names, typed.node_types, strict=True)
    assert all(found[x] == y for x, y in zip(typed.node_ids, expected, strict=True) if x in found)
    typed.node_ids = ["a\tb", *typed.node_ids[1:]]
    with pytest.raises(ValueError, match=r"'a\\tb' holds a tab or a line break"):
        write_triples(typed, tmp_path / "c")


def test_keys_of_edges_are_relations(tmp_path):
    graph, plain = nx.MultiDiGraph(), nx.MultiDiGraph()
    for i in range(9):
        graph.add_edge(f"a{i}", f"a{(i + 1) % 9}", key="knows")
        graph.add_edge(f"a{i}", f"a{(i + 2) % 9}", key="likes")
        plain.add_edges_from([(f"a{i}", f"a{(i + 1) % 9}")] * 2)
    path = tmp_path / "graph.graphml"
    nx.write_graphml(graph, path)
    for source in (graph, path):
        assert {*MultimodalKG.from_files(source)[0].rel_names} == {"knows", "likes"}
    nx.write_graphml(plain, path)  # Whose keys NetworkX makes up.
    for source in (plain, path, nx.DiGraph()):
        with pytest.raises(ValueError, match="no edges that tell their relation. Give them"):
            MultimodalKG.from_files(source)
    with pytest.warns(TorchIMFWarning, match="undirected: the end that an edge names first"):
        MultimodalKG.from_files(graph.to_undirected())
    nx.set_node_attributes(graph, 7, "age")
    with pytest.warns(TorchIMFWarning, match=r"The attributes \['age'\] of nodes are left out"):
        MultimodalKG.from_files(graph)
