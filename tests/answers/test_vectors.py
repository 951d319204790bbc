import copy

import numpy as np
import pytest
import torch

from torch_imf import Ensemble, fit_view_weights
from torch_imf.answers import embeddings, write_embeddings
from torch_imf.nn import KGE, TypePrior


@pytest.fixture
def model(fake, build):
    return build(fake)


def rows(path):
    return [line.split("\t") for line in path.read_text().splitlines()]


def test_embeddings(fake, build, model):
    nodes, rels = embeddings(model)
    assert list(nodes) == list(rels) == model.views and "fused" in nodes
    assert nodes["fused"].size(0) == fake.num_nodes and rels["text"].size(0) == fake.num_relations
    # A score is made of them:
    model = build(fake, KGE, scorer="distmult")
    nodes, rels = embeddings(model)
    (view,) = nodes
    expected = (nodes[view][0] * rels[view][1]) @ nodes[view].t()
    assert torch.allclose(
        model.predict(torch.tensor([0]), torch.tensor([1]))[0], expected, atol=1e-5
    )
    both = Ensemble([model, build(fake, KGE), TypePrior().fit(fake)])
    assert list(embeddings(both)[0]) == ["struct", "struct 2"]


def test_npy_and_names(fake, model, tmp_path):
    fake = copy.copy(fake)
    fake.node_types = [["a", "b"]] * fake.num_nodes
    files = write_embeddings(model, fake, tmp_path, views=["text", "fused"])
    assert len(files) == 6 == len({*tmp_path.iterdir()})
    found = np.load(tmp_path / "entities-fused.npy")
    assert np.array_equal(found, embeddings(model)[0]["fused"].numpy())
    table = rows(tmp_path / "entities.tsv")
    assert table[0] == ["id", "name", "types"] and table[4] == [
        fake.node_ids[3],
        fake.node_names[3],
        "a;b",
    ]
    assert [x for x, *_ in rows(tmp_path / "relations.tsv")[1:]] == fake.rel_ids


def test_word2vec_and_parquet(fake, model, tmp_path):
    from pyarrow.parquet import read_table

    expected = embeddings(model)[0]["struct"]
    write_embeddings(model, fake, tmp_path, "word2vec", ["struct"])
    first, *lines = (tmp_path / "entities-struct.txt").read_text().splitlines()
    assert first == f"{fake.num_nodes} {expected.size(1)}"
    words = [line.split(" ") for line in lines]
    assert [x[0] for x in words] == [x.replace(" ", "_") for x in fake.node_ids]
    assert torch.allclose(torch.tensor([[*map(float, x[1:])] for x in words]), expected, rtol=1e-4)
    write_embeddings(model, fake, tmp_path, "parquet")
    table = read_table(tmp_path / "entities.parquet")
    assert table["id"].to_pylist() == fake.node_ids and table.column_names[2:] == model.views
    assert torch.equal(torch.tensor(table["struct"].to_pylist()), expected)


def test_faiss(fake, model, tmp_path):
    faiss = pytest.importorskip("faiss")
    write_embeddings(model, fake, tmp_path, "faiss")
    index = faiss.read_index(str(tmp_path / "entities-fused.faiss"))
    x = torch.nn.functional.normalize(embeddings(model)[0]["fused"])
    score, found = index.search(x.numpy(), 2)
    assert found[:, 0].tolist() == list(range(fake.num_nodes)) and np.allclose(score[:, 0], 1)


def test_tensorboard(fake, model, tmp_path):
    pytest.importorskip("tensorboard")
    Image = pytest.importorskip("PIL.Image")
    (tmp_path / "images").mkdir()
    Image.new("RGB", (50, 40), (255, 0, 0)).save(tmp_path / "images" / f"{fake.node_ids[5]}.png")
    args = "tensorboard", ["struct"], str(tmp_path / "images")
    (config,) = write_embeddings(model, fake, tmp_path / "board", *args)
    text = open(config).read()
    assert "entities-struct" in text and "sprite" in text
    (folder,) = (tmp_path / "board").rglob("*entities-struct*")
    x = np.loadtxt(folder / "tensors.tsv")
    assert np.allclose(x, embeddings(model)[0]["struct"].numpy(), atol=1e-5)
    assert rows(folder / "metadata.tsv")[6][0] == fake.node_ids[5]
    sprite = np.asarray(Image.open(folder / "sprite.png").convert("RGB"))
    size = sprite.shape[0] // 13  # Of 13 x 13 pictures.
    assert sprite[size // 2, 5 * size + size // 2].tolist() == [255, 0, 0]
    assert sprite[size // 2, size // 2].tolist() == [204, 204, 204]


def test_errors(fake, model, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="Invalid 'to' argument .got 'xml', choose of"):
        write_embeddings(model, fake, tmp_path, "xml")
    with pytest.raises(ValueError, match="argument is for the format 'tensorboard' .got 'npy'"):
        write_embeddings(model, fake, tmp_path, images="images")
    with pytest.raises(ValueError, match="no embeddings of 'rules', but of .'struct'"):
        write_embeddings(fit_view_weights(model, fake), fake, tmp_path, views=["rules"])
    monkeypatch.setattr("torch_imf.io.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'pip install "torch_imf\[faiss\]"'):
        write_embeddings(model, fake, tmp_path, "faiss")
    assert not any(tmp_path.iterdir())
