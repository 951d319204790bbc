import os

import pytest
import torch
from torch_geometric.testing import withPackage

from torch_imf.datasets import Countries
from torch_imf.datasets.graph import validate
from torch_imf.encoders import PixelEncoder, TfidfEncoder


@withPackage("sklearn")
def test_countries(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCH_IMF_MIRROR", str(tmp_path / "nowhere"))
    monkeypatch.chdir(tmp_path)

    dataset = Countries()
    data = dataset[0]
    validate(data)
    assert str(dataset) == (
        f"Countries({data.num_nodes}, num_relations={data.num_relations}, "
        f"text={TfidfEncoder(channels=512)}, visual={PixelEncoder()})"
    )
    assert os.listdir(tmp_path) == []

    countries = torch.tensor([node.startswith("country:") for node in data.node_ids])
    assert int(countries.sum()) > 190
    assert torch.equal(data.visual_mask, countries)
    assert data.text_mask.all()
    assert data.x_text.size() == (data.num_nodes, 512)
    assert data.x_visual.size() == (data.num_nodes, 3 * 16 * 24)
    assert data.x_visual[countries].unique(dim=0).size(0) > 185
    assert "x_numeric" not in data

    # Every entity is seen in training, and no fact is there twice:
    assert data.edge_index[:, data.train_mask].unique().numel() == data.num_nodes
    facts = torch.cat([data.edge_index, data.edge_type.view(1, -1)])
    assert facts.unique(dim=1).size(1) == data.num_edges

    france = data.node_ids.index("country:fr")
    paris = data.node_ids.index("city:paris")
    assert data.node_names[france] == "France"
    assert ((data.edge_index == torch.tensor([[france], [paris]])).all(dim=0)).any()


def test_countries_docstring():
    data = Countries(text=None, visual=None)[0]
    masks = [data.train_mask, data.val_mask, data.test_mask]
    sizes = [data.num_nodes, data.num_relations, *(int(mask.sum()) for mask in masks)]
    assert Countries.__doc__ is not None
    stats = Countries.__doc__.split("* - ")[-1]
    stats = [int(word.replace(",", "")) for word in stats.split() if word != "-"]
    assert stats[:5] == sizes


def test_countries_root(tmp_path):
    data = Countries(str(tmp_path), text=None)[0]
    files = os.listdir(tmp_path / "processed")
    assert any(file.startswith("data_original-") and "text=none" in file for file in files)
    assert torch.equal(Countries(str(tmp_path), text=None)[0].x_visual, data.x_visual)
    assert "x_text" not in data

    data = Countries(str(tmp_path), text=None, visual=PixelEncoder(2, 3))[0]
    assert data.x_visual.size(1) == 18
    with pytest.raises(ValueError, match=r"Invalid 'visual' argument \(got 'vgg'\)"):
        Countries(str(tmp_path), visual="vgg")
