import os

import pytest
import torch
from torch_geometric.testing import withPackage

from torch_imf.data import audit
from torch_imf.datasets import Countries
from torch_imf.datasets.base import validate
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


def test_countries_clean():
    kwargs = {"text": None, "visual": None, "numeric": None}
    original, clean = Countries(**kwargs), Countries(scheme="clean", **kwargs)
    assert audit(original[0]).is_clean
    for name in ("edge_index", "edge_type", "train_mask", "val_mask", "test_mask"):
        assert torch.equal(clean[0][name], original[0][name])
    assert str(clean) == "Countries(725, num_relations=9, scheme='clean')"
    with pytest.raises(ValueError, match=r"Invalid 'scheme' argument \(got 'dedup'\)"):
        Countries(scheme="dedup")
    with pytest.raises(ValueError, match=r"Invalid 'version' argument .*leave it out"):
        Countries(version="imf")


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
    # Proportions are squeezed away, so that Chad and Romania as well as Indonesia and Monaco
    # differ by the shades of their colours only; all the others differ by more.
    x = torch.stack(list(drawn.values())).flatten(1).double() / france.numel() ** 0.5
    distance, names = torch.cdist(x, x).fill_diagonal_(torch.inf), list(drawn)
    near = {(names[i], names[j]) for i, j in (distance < 16).nonzero().tolist() if i < j}
    assert near == {("ro", "td")} and distance.min() > 14  # Root mean square, of 255.
