from torch_imf.answers import embeddings
from torch_imf.datasets import MultimodalKG
from torch_imf.hub import from_pretrained, pretrained_graph
from torch_imf.io.rdf import read_rdf


def test_embeddings(saved, read, fails, tmp_path):
    import numpy as np

    files = read("export", saved, tmp_path / "a", "--views", "struct")["files"]
    assert [x.rpartition("/")[2] for x in files] == [
        "entities-struct.npy",
        "relations-struct.npy",
        "entities.tsv",
        "relations.tsv",
    ]
    model = from_pretrained(saved / "model")
    assert np.array_equal(np.load(files[0]), embeddings(model)[0]["struct"].numpy())
    message = fails("export", saved, tmp_path / "a")
    assert message == f"'{tmp_path / 'a'}' is not empty, name another folder"
    assert "of embeddings, and 'neo4j' has none" in fails(
        "export", saved, tmp_path / "b", "--to", "neo4j", "--views", "struct"
    )
    message = fails("export", saved, tmp_path / "b", "--images", tmp_path)
    assert message == "The '--images' argument is for the format 'tensorboard' (got 'npy')"


def test_facts(saved, call, fails, tmp_path, monkeypatch):
    expected = pretrained_graph(saved / "model")
    for to in ("pykeen", "graphml"):
        call("export", saved, tmp_path / to, "--to", to)
        source = tmp_path / to / ("" if to == "pykeen" else "graph.graphml")
        data = MultimodalKG.from_files(source)[0]
        assert sorted(data.node_ids) == sorted(expected.node_ids)
        assert data.num_edges == expected.num_edges and data.num_relations == 9
    assert "neo4j/nodes.csv\n" in call("export", saved, tmp_path / "neo4j", "--to", "neo4j")
    expected.node_names[0] = "a\x01"
    monkeypatch.setattr("torch_imf.pretrained_graph", lambda folder: expected)
    message = fails("export", saved, tmp_path / "d", "--to", "graphml")
    assert message == r"'a\x01' holds a control character, which GraphML cannot"


def test_missing_facts_as_rdf(saved, call, tmp_path):
    path = tmp_path / "facts.ttl"
    assert call("complete", saved, "-k", 7, "--out", path) == f"7 facts in '{path}'\n"
    found = [rel.rpartition("#")[2] for _, rel, _ in read_rdf(str(path))]
    assert found.count("subject") == 7
