import csv
import os
import re
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pytest
import torch
from torch_geometric.testing import withPackage

from torch_imf.datasets import Countries
from torch_imf.datasets.base import validate
from torch_imf.datasets.countries import FOLDER
from torch_imf.encoders import NumericEncoder, PixelEncoder, TfidfEncoder


@withPackage("sklearn")
def test_countries(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_IMF_MIRROR", str(tmp_path / "nowhere"))
    monkeypatch.chdir(tmp_path)

    dataset = Countries()
    data = dataset[0]
    validate(data)
    assert str(dataset) == (
        f"Countries({data.num_nodes}, num_relations={data.num_relations}, "
        f"text={TfidfEncoder(channels=512)}, visual={PixelEncoder()}, numeric={NumericEncoder()})"
    )
    assert os.listdir(tmp_path) == []

    countries = torch.tensor([node.startswith("country:") for node in data.node_ids])
    cities = data.edge_index[1, data.edge_type == data.rel_ids.index("capital")].unique()
    assert int(countries.sum()) > 190
    assert torch.equal(data.visual_mask, countries)
    assert torch.equal(data.numeric_mask, countries.index_fill(0, cities, True))
    assert data.text_mask.all()
    assert data.x_text.size() == (data.num_nodes, 512)
    assert data.x_visual.size() == (data.num_nodes, 3 * 16 * 24)
    assert data.x_visual[countries].unique(dim=0).size(0) > 185
    assert data.x_numeric.size() == (data.num_nodes, 8)

    # Every entity is seen in training, and no fact is there twice:
    assert data.edge_index[:, data.train_mask].unique().numel() == data.num_nodes
    facts = torch.cat([data.edge_index, data.edge_type.view(1, -1)])
    assert facts.unique(dim=1).size(1) == data.num_edges

    france = data.node_ids.index("country:fr")
    paris = data.node_ids.index("city:paris")
    assert data.node_names[france] == "France"
    assert ((data.edge_index == torch.tensor([[france], [paris]])).all(dim=0)).any()
    index, attributes, values = dataset.literals()
    literals = zip(index.tolist(), attributes, values.tolist(), strict=True)
    assert (paris, "latitude", 48.9) in literals
    assert dataset.texts()[france].startswith("France. ")
    assert dataset.images()[france].size() == (3, 24, 36)
    assert dataset.images()[paris] is None


def test_countries_stats():
    dataset = Countries(text=None, visual=None)
    data = dataset[0]
    masks = [data.train_mask, data.val_mask, data.test_mask]
    described = sum(
        len(text) > len(name) for text, name in zip(dataset.texts(), data.node_names, strict=True)
    )
    images = sum(image is not None for image in dataset.images())
    sizes = [data.num_nodes, data.num_relations, *(int(mask.sum()) for mask in masks)]
    sizes += [described, int(data.numeric_mask.sum()), images]
    assert list(Countries.stats[None]) == sizes


def test_countries_root(tmp_path):
    data = Countries(str(tmp_path), text=None)[0]
    (file,) = (name for name in os.listdir(tmp_path / "processed") if name.startswith("data_"))
    assert file.startswith("data_original_") and "text=none" in file
    assert torch.equal(Countries(str(tmp_path), text=None)[0].x_visual, data.x_visual)
    assert "x_text" not in data

    data = Countries(str(tmp_path), text=None, visual=PixelEncoder(2, 3))[0]
    assert data.x_visual.size(1) == 18
    with pytest.raises(ValueError, match=r"Invalid 'visual' argument \(got 'vgg'\)"):
        Countries(str(tmp_path), visual="vgg")


@withPackage("PIL")
def test_countries_images(tmp_path):
    from PIL import Image

    kwargs = {"text": None, "visual": PixelEncoder(1, 1), "numeric": None}
    Image.new("RGB", (4, 4), (255, 0, 0)).save(tmp_path / "fr.png")
    dataset = Countries(images=str(tmp_path), **kwargs)
    assert dataset[0].visual_mask.nonzero().tolist() == [[dataset[0].node_ids.index("country:fr")]]
    drawn = Countries(str(tmp_path / "data"), **kwargs)
    other = Countries(str(tmp_path / "data"), images=str(tmp_path), **kwargs)
    assert other.processed_paths != drawn.processed_paths
    assert int(other[0].visual_mask.sum()) == 1 and int(drawn[0].visual_mask.sum()) == 197


def flags():
    dataset = Countries(text=None, visual=None, numeric=None)
    pairs = zip(dataset[0].node_ids, dataset.images(), strict=True)
    return {node.removeprefix("country:"): flag for node, flag in pairs if flag is not None}


def test_flags():
    drawn = flags()
    france = torch.full((3, 24, 36), 255, dtype=torch.uint8)
    france[:, :, :12] = torch.tensor([0, 35, 149], dtype=torch.uint8).view(3, 1, 1)
    france[:, :, 24:] = torch.tensor([237, 41, 57], dtype=torch.uint8).view(3, 1, 1)
    assert torch.equal(drawn["fr"], france)
    distinct = torch.stack(list(drawn.values())).unique(dim=0)
    assert len(distinct) == len(drawn)


def rows(name):
    with open(Path(FOLDER, f"{name}.tsv"), encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


ENTITIES = {row["id"]: row for row in rows("entities")}
SPLIT = {(row["head"], row["relation"], row["tail"]): row["split"] for row in rows("triples")}


def fold(text):
    text = unicodedata.normalize("NFKD", text.replace("ł", "l"))
    return re.sub(r"[ʻ’'\u0300-\u036f]", "", text).casefold()


def pairs(relation):
    return {(head, tail) for head, rel, tail in SPLIT if rel == relation}


def test_entities():
    assert len(ENTITIES) == len(rows("entities"))
    assert len({row["name"] for row in ENTITIES.values()}) == len(ENTITIES)
    for node in ENTITIES:
        assert re.fullmatch(r"[a-z]+:[a-z0-9-]+", node)
    assert ENTITIES.keys() == {node for head, _, tail in SPLIT for node in (head, tail)}


def test_split():
    assert len(SPLIT) == len(rows("triples"))
    train = {node for fact, split in SPLIT.items() if split == "train" for node in fact[::2]}
    assert train == ENTITIES.keys()
    for (head, relation, tail), split in SPLIT.items():
        if relation == "borders":
            assert head != tail and SPLIT[tail, relation, head] == split

    relations = defaultdict(set)
    for (_, relation, _), split in SPLIT.items():
        relations[split].add(relation)
    assert relations["train"] - relations["val"] == {"part_of", "language_family"}
    assert relations["val"] == relations["test"]
    count = Counter(SPLIT.values())
    assert all(0.09 < count[split] / len(SPLIT) < 0.11 for split in ["val", "test"])

    order = [(["train", "val", "test"].index(s), r, h, t) for (h, r, t), s in SPLIT.items()]
    assert order == sorted(order)


def test_no_text_spells_out_a_fact():
    linked = defaultdict(set)
    for head, _, tail in SPLIT:
        linked[head].add(tail)
        linked[tail].add(head)
    for node, others in linked.items():
        text = fold(ENTITIES[node]["text"])
        for other in others:
            # "South America (subregion)" is named by "South America", and a
            # plural or genitive names it too:
            name = re.escape(fold(ENTITIES[other]["name"].split(" (")[0]))
            assert not re.search(rf"(?<!\w){name}s?(?!\w)", text), (node, other)


def test_encoders_remember(tmp_path):
    # Also where the processed file is reused.
    first = Countries(str(tmp_path))
    again = Countries(str(tmp_path))
    texts = ["A country in Europe.", None]
    for name in ("text", "numeric"):
        state = again.encoders[name].state_dict()
        for key, x in first.encoders[name].state_dict().items():
            assert np.array_equal(x, state[key], equal_nan=x.dtype.kind == "f")
    x, mask = again.encoders["text"].transform(texts)
    assert torch.equal(x, first.encoders["text"].transform(texts)[0]) and mask.tolist() == [
        True,
        False,
    ]
