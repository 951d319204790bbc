import hashlib
import os
import warnings

import numpy as np
import pytest
import torch

from torch_imf.datasets import KGDataset
from torch_imf.datasets.base import Record
from torch_imf.encoders import FeatureFile, NumericEncoder
from torch_imf.io.download import RawFile

INDEX = b"entity\timage\n/m/a\tSet/images/1.png\n/m/a\tSet/images/a #2.png\nCC\tSet/images/3.png\n"


class Recorder:
    """An encoder that keeps what it is called with."""

    def __init__(self, name=""):
        self.name = name
        self.calls = []

    def __call__(self, *inputs):
        self.calls.append(inputs)
        return torch.ones(3, 2)

    def __repr__(self):
        return f"Recorder({self.name})"


class Small(KGDataset):
    """Three entities, the last one of which goes by another name as well."""

    def read(self) -> Record:
        splits = [torch.tensor([[0], [0], [1]])] * 3
        return Record(splits, ["/m/a", "/m/b", "/m/c"], ["r"], ["A", "B", "C"])

    def read_texts(self, data):
        return [f"{name}." if name != "B" else None for name in data.node_names]

    def read_literals(self):
        nodes = ["m.a", "CC", "/m/z", "/m/a", "elsewhere"]
        return nodes, ["height", "born", "born", "born", "height"], [1.5, 1900.0, 0.0, -43.5, 1.0]

    def read_aliases(self):
        return [("/m/c", "CC"), ("/m/z", "ZZ")]


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A mirror of three images, an index of them, and ready features."""
    folder = tmp_path / "mirror" / "Set"
    (folder / "images").mkdir(parents=True)
    for name in ["1", "a #2", "3"]:
        (folder / "images" / f"{name}.png").write_bytes(name.encode())
    (folder / "derived").mkdir()
    (folder / "derived" / "index.tsv").write_bytes(INDEX)
    np.savez(folder / "derived" / "visual.npz", entity=["m.a", "ZZ", "no"], feature=np.ones((3, 2)))
    features = (folder / "derived" / "visual.npz").read_bytes()
    files = {
        "images": [[RawFile("Set/derived/index.tsv", hashlib.sha256(INDEX).hexdigest())]],
        "visual": [[RawFile("Set/derived/visual.npz", hashlib.sha256(features).hexdigest())]],
    }
    monkeypatch.setattr(Small, "files", files)
    monkeypatch.setenv("TORCH_IMF_MIRROR", str(tmp_path / "mirror"))
    return folder


def only(**encoders):
    return dict.fromkeys(["text", "visual", "numeric"]) | encoders


def test_names_are_read_once_if_at_all(mirror, tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(Small, "read_aliases", lambda self: calls.append(self) or [("/m/c", "CC")])
    Small(str(tmp_path / "a"), **only(text=Recorder()))
    assert len(calls) == 0
    features = FeatureFile(str(mirror / "derived" / "visual.npz"), strict=False)
    encoders = only(text=features, visual=features, numeric=Recorder())
    Small(str(tmp_path / "b"), **encoders)
    assert len(calls) == 1


def test_inputs_of_encoders():
    text, numeric = Recorder("text"), Recorder("numeric")
    dataset = Small(**only(text=text, numeric=numeric))
    assert text.calls == [(["A.", None, "C."],)]
    ((index, attributes, values, num_nodes),) = numeric.calls
    assert index.tolist() == [0, 2, 0]
    assert attributes == ["height", "born", "born"]
    assert values.tolist() == [1.5, 1900, -43.5] and values.dtype == torch.double
    assert num_nodes == 3

    data = dataset[0]
    assert data.text_mask.tolist() == data.numeric_mask.tolist() == [True, False, True]
    assert data.x_text.tolist() == data.x_numeric.tolist() == [[1, 1], [0, 0], [1, 1]]
    assert data.encoders == {"text": "Recorder(text)", "numeric": "Recorder(numeric)"}
    assert dataset.texts() == ["A.", None, "C."]
    assert all(map(torch.equal, dataset.literals()[::2], (index, values)))


def test_literals_of_no_entity(monkeypatch):
    monkeypatch.setattr(Small, "read_literals", lambda self: (["x"], ["height"], [1.0]))
    assert Small(**only()).literals()[0].tolist() == []
    with pytest.raises(ValueError, match="numeric encoder .* found nothing .*'numeric=None'"):
        Small(**only(numeric=NumericEncoder()))


def test_no_images(tmp_path):
    message = r"There are no images of 'Small'. .* as 'images', named by entity \(as in 'm.a.jpg'"
    text = Recorder()
    with pytest.raises(ValueError, match=message):
        Small(str(tmp_path), **only(text=text, visual=Recorder()))
    assert text.calls == [] and os.listdir(tmp_path / "processed") == []  # Found before encoding.


def test_images_in_the_folder_of_raw_files(tmp_path, mirror):
    folder = tmp_path / "data" / "raw" / "images"
    (folder / "CC").mkdir(parents=True)
    (folder / "CC" / "1.png").write_bytes(b"")
    visual = Recorder()
    dataset = Small(str(tmp_path / "data"), **only(visual=visual))
    images = [None, None, [str(folder / "CC" / "1.png")]]  # Rather than those of the mirror.
    assert visual.calls == [(images,)]
    assert dataset[0].visual_mask.tolist() == [False, False, True]
    assert dataset.images() == images
    assert not (tmp_path / "data" / "raw" / "mirror").exists()


def test_images_of_a_mirror(tmp_path, mirror, monkeypatch):
    visual, raw = Recorder(), tmp_path / "data" / "raw"
    dataset = Small(str(tmp_path / "data"), **only(visual=visual))
    folder = f"{raw}/mirror/Set/images"
    images = [[f"{folder}/1.png", f"{folder}/a #2.png"], None, [f"{folder}/3.png"]]
    assert visual.calls == [(images,)]
    assert open(images[0][1]).read() == "a #2"
    assert (raw / "derived" / "index.tsv").read_bytes() == INDEX

    # What is there is not fetched again:
    monkeypatch.delenv("TORCH_IMF_MIRROR")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert dataset.images() == images
        Small(str(tmp_path / "data"), **only(visual=visual), force_reload=True)
    assert len(visual.calls) == 2

    os.remove(images[0][1])
    with pytest.raises(RuntimeError) as error:
        dataset.images()
    assert str(error.value).startswith("The image 'Set/images/a #2.png' is not in '")
    assert "the mirror that TORCH_IMF_MIRROR is to name (got None)" in str(error.value)

    monkeypatch.setenv("TORCH_IMF_MIRROR", str(tmp_path / "mirror"))
    os.remove(mirror / "images" / "a #2.png")
    with pytest.raises(RuntimeError, match="'Set/images/a #2.png' is not in .*fetched"):
        dataset.images()
    assert sorted(os.listdir(folder)) == ["1.png", "3.png"]


def test_ready_features(tmp_path, mirror, monkeypatch):
    root = str(tmp_path / "data")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # Also those of no entity are fine.
        dataset = Small(root, text=None, numeric=None)
    assert isinstance(dataset.encoders["visual"], FeatureFile)
    assert dataset[0].x_visual.tolist() == [[1, 1], [0, 0], [0, 0]]
    assert dataset[0].visual_mask.tolist() == [True, False, False]

    (mirror / "derived" / "visual.npz").unlink()
    monkeypatch.delenv("TORCH_IMF_MIRROR")  # They are here, but not in another folder.
    assert "x_visual" in Small(root, text=None, numeric=None, force_reload=True)[0]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        dataset = Small(str(tmp_path / "other"), text=None, numeric=None)
    assert "x_visual" not in dataset[0] and dataset.encoders["visual"] is None


@pytest.mark.parametrize("content", [None, b"half"])
def test_ready_features_that_the_mirror_lacks(tmp_path, mirror, content):
    path, root = mirror / "derived" / "visual.npz", str(tmp_path / "data")
    whole = path.read_bytes()
    path.unlink() if content is None else path.write_bytes(content)
    with pytest.warns(UserWarning, match="The dataset is used without images: .*visual.npz"):
        dataset = Small(root, text=None, numeric=None)
    assert "x_visual" not in dataset[0]

    path.write_bytes(whole)  # Found as soon as they are there.
    assert "x_visual" in Small(root, text=None, numeric=None)[0]


def test_check_modality(monkeypatch):
    dataset = Small(**only())
    monkeypatch.setattr(Small, "modalities", ())
    for modality, call, content in [
        ("text", dataset.texts, "texts"),
        ("visual", dataset.images, "images"),
        ("numeric", dataset.literals, "numeric literals"),
    ]:
        message = f"'Small' has no {content}. As '{modality}', pass None or a file of features"
        for function in [call, lambda name=modality: Small(**only(**{name: Recorder()}))]:
            with pytest.raises(ValueError, match=message):
                function()
    assert not any(key.startswith("x_") for key in Small()[0].keys())  # 'auto' leaves them out.


@pytest.mark.parametrize("modality", ["text", "visual", "numeric"])
def test_files_of_features_need_nothing_else(tmp_path, monkeypatch, modality):
    monkeypatch.setattr(Small, "modalities", ())
    np.savez(tmp_path / "x.npz", entity=["CC", "m.a"], feature=np.array([[1.0, 2], [3, 4]]))
    data = Small(**only(**{modality: str(tmp_path / "x.npz")}))[0]
    assert data[f"x_{modality}"].tolist() == [[3, 4], [0, 0], [1, 2]]
    assert data[f"{modality}_mask"].tolist() == [True, False, True]
    assert data.encoders[modality].startswith("FeatureFile('x.npz', sha256=")
