import os
import warnings
from pathlib import Path

import pytest
import torch
from torch_geometric.testing import withPackage

from torch_imf.datasets import FB15K237
from torch_imf.encoders import PixelEncoder

TRIPLES = {
    "train.txt": "/m/a\t/film/actor\t/m/b\r\n/m/c\t/film/genre\t/m/a\r\n",
    "valid.txt": "/m/b\t/film/actor\t/m/a\r\n",
    "test.txt": "/m/c\t/film/actor\t/m/d\r\n",
}
FILES = {
    "FB15K-237/ConvE/FB15k-237.tar.gz": TRIPLES,
    "FB15K/kg-bert/FB15k_mid2name.txt": "/m/a\tAh\n/m/b\tBe\n/m/c\tMr_C\n/m/d\tMr_D\n/m/z\tZ\n",
    "FB15K/MMKB/FB15K_NumericalTriples.txt": (
        "/m/a\t<height>\t1.5\n/m/c\t<height>\t1.9\n/m/z\t<height>\t2\n/m/c\t<born>\t1900-7-1\n"
    ),
    "FB15K/MMKB/FB15K_ImageIndex.txt": "/m/c\tFBIMG1\n/m/a\tFBIMG2\n/m/z\tFBIMG3\n",
    "FB15K/derived/visual_mobilenetv2.npz": {"/m/a": [1, 1, 1, 1], "/m/z": [2, 2, 2, 2]},
    "FB15K/derived/visual_mobilenetv2_rsme_samples.npz": {"/m/b": [3, 3, 3, 3]},
    "FB15K/derived/entity2image.tsv": "entity\timage\n/m/d\tflags/d.png\n/m/z\tflags/z.png\n",
}


class Texts:
    def __call__(self, texts):
        self.texts = texts
        return torch.ones(len(texts), 2)

    def __repr__(self):
        return "Texts()"


@pytest.fixture(autouse=True)
def files(small):
    small.put(FB15K237, FILES | small.TEXTS)


def test_fb15k237(root):
    encoder = Texts()
    dataset = FB15K237(root, text=encoder)
    data = dataset[0]
    assert data.node_ids == ["/m/a", "/m/b", "/m/c", "/m/d"]
    assert data.node_names == dataset.node_names == ["A", "Bé", "Mr C", "Mr D"]
    assert data.rel_ids == data.rel_names == ["/film/actor", "/film/genre"]
    assert data.edge_index.tolist() == [[0, 2, 1, 2], [1, 0, 0, 3]]
    assert data.edge_type.tolist() == [0, 1, 0, 0]
    assert data.train_mask.tolist() == [True, True, False, False]
    assert data.val_mask.tolist() == [False, False, True, False]

    assert encoder.texts == ['A. first. A is "1".', "Bé. B is two.", "Mr C", "Mr D. No."]
    assert dataset.texts() == encoder.texts
    assert data.text_mask.all()
    assert data.visual_mask.tolist() == [True, True, False, False]
    assert data.x_visual.sum(dim=-1).tolist() == [4, 12, 0, 0]
    assert data.numeric_mask.tolist() == [True, False, True, False]
    assert not data.x_numeric[[1, 3]].any()

    index, attributes, values = dataset.literals()
    assert index.tolist() == [0, 2, 2]
    assert attributes == ["<height>", "<height>", "<born>"]
    assert values.tolist() == [1.5, 1.9, 1900.5]

    name = os.path.basename(dataset.processed_paths[0])
    assert name.startswith("data_standard_original_text=Texts-")
    assert "visual=FeatureFile-" in name and "numeric=NumericEncoder-" in name
    assert str(dataset).startswith(
        "FB15K237(4, num_relations=2, text=Texts(), visual=FeatureFile('visual_mobilenetv2.npz', "
    )
    assert str(dataset.summary()).startswith(
        "FB15K237 ('standard', 'original'): 4 entities, 2 relations"
    )


def test_fb15k237_leaves_modalities_out(root, monkeypatch):
    dataset = FB15K237(root, text=None, visual=None, numeric=None)
    assert str(dataset) == "FB15K237(4, num_relations=2)"
    assert not any(key.startswith("x_") or key.endswith("encoders") for key in dataset[0].keys())
    assert dataset.raw_file_names == [
        "ConvE/FB15k-237.tar.gz",
        "kg-bert/FB15k_mid2name.txt",
        "villmow/entity2wikidata.json",
    ]
    assert sorted(os.listdir(dataset.raw_dir)) == ["ConvE", "kg-bert", "villmow"]

    monkeypatch.delenv("TORCH_IMF_MIRROR")  # Without a mirror, there are no images.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = FB15K237(root, text=None, numeric=None)[0]
    assert "x_visual" not in data


def test_fb15k237_features_of_mmkb(root, write_h5):
    path = write_h5("FB15K_ImageData.h5", {f"FBIMG{i}": [[i, i]] for i in (1, 2, 3)})
    data = FB15K237(root, text=None, visual=path, numeric=None)[0]
    assert data.x_visual.tolist() == [[2, 2], [0, 0], [1, 1], [0, 0]]
    assert data.visual_mask.tolist() == [True, False, True, False]

    path = write_h5("other.h5", {"FBIMG1": [[1, 1]], "FBIMG9": [[1, 1]]})
    with pytest.raises(ValueError, match=r"1 of its 2 names belong to no entity .*FBIMG9"):
        FB15K237(root, text=None, visual=path, numeric=None)


@withPackage("PIL")
def test_fb15k237_images(small, root):
    from PIL import Image

    def save(path, *colours):
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4), colours).save(path)

    red = [1, -1, -1]
    for node in "dz":
        save(small.folder / "flags" / f"{node}.png", 255, 0, 0)
    encoder = Texts()
    dataset = FB15K237(root, text=encoder, visual=PixelEncoder(1, 1), numeric=None)
    assert dataset[0].x_visual.tolist() == [[0, 0, 0], [0, 0, 0], [0, 0, 0], red]
    assert dataset[0].visual_mask.tolist() == [False, False, False, True]
    assert dataset.images() == [None] * 3 + [[dataset.raw.path("mirror/flags/d.png")]]

    folder = dataset.raw.path("images")
    for name in ("m.c.png", "m.a/1.png", "FBIMG3.png"):  # The last is of another entity of FB15K.
        save(Path(folder, name), 255, 0, 0)
    data = FB15K237(root, text=None, visual=PixelEncoder(1, 1), numeric=None)[0]
    assert data.x_visual.tolist() == [red, [0, 0, 0], red, [0, 0, 0]]
