import hashlib
import io
import json
import os
import tarfile
import time
import warnings

import numpy as np
import pytest
import torch
from torch_geometric.testing import withPackage

from torch_imf.datasets import FB15K237, fb15k237, mobilenet
from torch_imf.datasets.graph import validate
from torch_imf.encoders import NumericEncoder, PixelEncoder, TfidfEncoder

TRIPLES = {
    "train.txt": "/m/a\t/film/actor\t/m/b\r\n/m/c\t/film/genre\t/m/a\r\n",
    "valid.txt": "/m/b\t/film/actor\t/m/a\r\n",
    "test.txt": "/m/c\t/film/actor\t/m/d\r\n",
}


def write(folder, file, content):
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return hashlib.sha256(content).hexdigest()


def content_of(file, triples):
    buffer = io.BytesIO()
    if file.endswith(".tar.gz"):
        with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
            for name, text in triples.items():
                info = tarfile.TarInfo(name)
                info.size = len(text)
                archive.addfile(info, io.BytesIO(text.encode()))
    elif file.endswith(".npz"):
        entity = ["/m/b"] if "rsme" in file else ["/m/a", "/m/z"]
        np.savez(buffer, entity=entity, feature=np.ones((len(entity), 4), dtype=np.float16))
    elif file.endswith(".json"):
        texts = {"/m/a": {"label": "A", "description": "first"}}
        texts["/m/b"] = {"label": "Bé", "description": None}
        buffer.write(json.dumps(texts, ensure_ascii=False).encode())
    elif file.endswith("mid2name.txt"):
        buffer.write(b"/m/a\tAh\n/m/b\tBe\n/m/c\tMr_C\n/m/d\tMr_D\n")
    elif file.endswith("text-new.txt"):
        buffer.write(b'/m/a\tA -- A is "1\\".\n/m/b\tB -- B is two.\n/m/c\tC\n/m/d\tD -- No.\n')
    else:
        buffer.write(b"/m/a\t<height>\t1.5\n/m/c\t<height>\t1.9\n/m/z\t<born>\t1900\n")
    return buffer.getvalue()


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Replaces the files of FB15K-237 by a mirror of tiny ones."""

    def make(triples=None):
        for module, name in [
            (fb15k237, "FACTS"),
            (fb15k237, "SENTENCES"),
            (fb15k237, "LITERALS"),
            (mobilenet, "FEATURES"),
        ]:
            files = {}
            for file in getattr(module, name):
                content = content_of(file, triples or TRIPLES)
                files[file] = (None, write(tmp_path / "mirror", file, content))
            monkeypatch.setattr(module, name, files)

    monkeypatch.setenv("TORCH_IMF_MIRROR", str(tmp_path / "mirror"))
    make()
    return make


class Texts:
    def __call__(self, texts):
        self.texts = texts
        return torch.ones(len(texts), 2)

    def __repr__(self):
        return "Texts()"


def test_fb15k237_small(small, tmp_path):
    encoder = Texts()
    dataset = FB15K237(str(tmp_path / "data"), text=encoder)
    data = dataset[0]
    assert data.node_ids == ["/m/a", "/m/b", "/m/c", "/m/d"]
    assert data.node_names == ["A", "Bé", "Mr C", "Mr D"]
    assert data.rel_names == ["/film/actor", "/film/genre"]
    assert data.edge_index.tolist() == [[0, 2, 1, 2], [1, 0, 0, 3]]
    assert data.edge_type.tolist() == [0, 1, 0, 0]
    assert encoder.texts == ['A. first. A is "1".', "Bé. B is two.", "Mr C", "Mr D. No."]
    assert data.visual_mask.tolist() == [True, True, False, False]
    assert data.x_visual.sum(dim=-1).tolist() == [4, 4, 0, 0]
    assert data.numeric_mask.tolist() == [True, False, True, False]
    assert data.x_numeric.size() == (4, 2)
    assert "text=Texts-" in dataset.processed_paths[0]
    assert "visual=MobileNetFeatures-" in dataset.processed_paths[0]
    assert "numeric=NumericEncoder-" in dataset.processed_paths[0]


def test_fb15k237_leaves_modalities_out(small, tmp_path, monkeypatch):
    root = str(tmp_path / "data")
    dataset = FB15K237(root, text=None, visual=None, numeric=None)
    assert str(dataset) == "FB15K237(4, num_relations=2)"
    assert not any(key.startswith("x_") for key in dataset[0].keys())
    assert len(os.listdir(tmp_path / "data" / "raw")) == 3

    with pytest.raises(ValueError, match=r"Invalid 'numeric' argument \(got 'mean'\)"):
        FB15K237(root, numeric="mean")

    monkeypatch.delenv("TORCH_IMF_MIRROR")  # Without a mirror, there are no images.
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "x_visual" not in FB15K237(root, text=None, numeric=None)[0]


def test_fb15k237_damaged_features(small, tmp_path):
    file = next(iter(mobilenet.FEATURES))
    write(tmp_path / "mirror", file, b"half")
    with pytest.warns(UserWarning, match="without images: Dataset not found.*has the SHA-256"):
        data = FB15K237(str(tmp_path / "data"), text=None, numeric=None)[0]
    assert "x_visual" not in data


@withPackage("PIL")
def test_fb15k237_images(small, tmp_path):
    from PIL import Image

    root = str(tmp_path / "data")
    encoder = Texts()
    with pytest.raises(ValueError, match="no images for the visual encoder PixelEncoder"):
        FB15K237(root, text=encoder, visual=PixelEncoder(1, 1))
    assert not hasattr(encoder, "texts")  # Found out before the texts were encoded.

    os.makedirs(os.path.join(root, "raw", "images"))
    Image.new("RGB", (4, 4), (255, 0, 0)).save(os.path.join(root, "raw", "images", "m.c.png"))
    data = FB15K237(root, text=None, visual=PixelEncoder(1, 1))[0]
    assert data.x_visual.tolist() == [[0, 0, 0], [0, 0, 0], [1, -1, -1], [0, 0, 0]]
    assert data.visual_mask.tolist() == [False, False, True, False]

    # Several images of one entity, and files that hold none:
    folder = os.path.join(root, "raw", "images", "m.a")
    os.makedirs(folder)
    for name, colour in {"1.png": (0, 0, 255), "2.png": (255, 0, 255)}.items():
        Image.new("RGB", (4, 4), colour).save(os.path.join(folder, name))
    open(os.path.join(folder, "3.png"), "w").close()
    open(os.path.join(root, "raw", "images", "m.b.png"), "w").close()
    with pytest.warns(UserWarning, match="3.png"):
        data = FB15K237(root, text=None, visual=PixelEncoder(1, 1), force_reload=True)[0]
    assert data.x_visual.tolist() == [[0, -1, 1], [0, 0, 0], [1, -1, -1], [0, 0, 0]]
    assert data.visual_mask.tolist() == [True, False, True, False]


@pytest.mark.parametrize(
    "triples, message",
    [
        ({"train.txt": "/m/a\t/r\n"}, r"FB15k-237.tar.gz:train.txt', line 1: expected 3 fields"),
        ({"test.txt": ""}, "split of 'test_mask' is empty"),
    ],
)
def test_fb15k237_malformed(small, tmp_path, triples, message):
    small(TRIPLES | triples)
    encoder = Texts()
    with pytest.raises(ValueError, match=message):
        FB15K237(str(tmp_path / "data"), text=encoder)
    assert not hasattr(encoder, "texts")


def test_fb15k237_without_network(tmp_path, monkeypatch):
    def refuse(*args, **kwargs):
        raise OSError("no network")

    monkeypatch.delenv("TORCH_IMF_MIRROR", raising=False)
    monkeypatch.setattr("urllib.request.urlopen", refuse)
    with pytest.raises(RuntimeError) as error:
        FB15K237(str(tmp_path), text=None)
    assert "Dataset not found. Please download 'FB15k-237.tar.gz' from 'https://" in str(
        error.value
    )
    assert f"and move it to '{tmp_path}/raw'" in str(error.value)
    assert os.listdir(tmp_path / "raw") == []


@pytest.mark.mirror
@withPackage("sklearn")
def test_fb15k237_mirror(tmp_path):
    root = str(tmp_path)
    dataset = FB15K237(root, text=TfidfEncoder())
    start = time.perf_counter()
    dataset = FB15K237(root, text=TfidfEncoder())
    assert time.perf_counter() - start < 1.0
    assert str(dataset).startswith(
        f"FB15K237(14541, num_relations=237, text={TfidfEncoder()}, visual=MobileNetFeatures("
    )
    assert str(dataset).endswith(f"numeric={NumericEncoder()})")

    data = dataset[0]
    validate(data)
    masks = [data.train_mask, data.val_mask, data.test_mask]
    assert [int(mask.sum()) for mask in masks] == [272115, 17535, 20466]
    facts = torch.cat([data.edge_index, data.edge_type.view(1, -1)])
    assert facts.unique(dim=1).size(1) == data.num_edges
    assert data.text_mask.all()
    assert int(data.visual_mask.sum()) == 280
    assert int(data.numeric_mask.sum()) == 12402
    assert data.x_numeric.abs().max() < 10

    # Entities and relations are numbered as in OpenKE and IMF:
    folder = os.path.join(os.environ["TORCH_IMF_MIRROR"], "FB15K-237", "IMF")
    if os.path.isdir(folder):
        for file, names in {"entity2id": data.node_ids, "relation2id": data.rel_names}.items():
            lines = open(os.path.join(folder, f"{file}.txt")).read().splitlines()
            assert lines == [f"{name} {i}" for i, name in enumerate(names)]
