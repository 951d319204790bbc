import math

import numpy as np
import pytest
import torch

from torch_imf.datasets import KGDataset
from torch_imf.datasets.base import Record, validate
from torch_imf.datasets.encoder import resolve, run_encoder, tag
from torch_imf.encoders import FeatureFile, PixelEncoder
from torch_imf.transforms import AddInverse


class Encoder:
    def __init__(self, size):
        self.size = size

    def __call__(self, texts):
        return torch.ones(len(texts), self.size)

    def __repr__(self):
        return f"Encoder({self.size})"


def test_resolve(tmp_path):
    encoder = Encoder(2)

    def default(modality):
        return None if modality == "visual" else encoder

    assert resolve("text", encoder, default) is encoder
    assert resolve("text", None, default) is None
    assert resolve("text", "auto", default) is encoder
    assert resolve("visual", "auto", default) is None

    path = tmp_path / "features.npy"
    np.save(path, np.ones((2, 3)))
    for file in (path, str(path)):
        features = resolve("text", file, default)
        assert isinstance(features, FeatureFile) and features.paths == [str(path)]


PLAIN = object.__new__(type("Plain", (), {"__call__": print}))
GOT = r"Invalid 'text' argument \(got '?{}'?\), expected ".format
HINT = r"'auto', None, an encoder .* TextEncoder\('bert'\) .*: Cannot tell the format"


@pytest.mark.parametrize(
    "encoder,message",
    [
        ("bert", GOT("bert") + HINT),
        ("missing.npy", GOT("missing.npy") + ".* There is no file of features 'missing.npy'"),
        (3, GOT(3) + "an encoder to call or None"),
        (PixelEncoder, r"PixelEncoder.*, as in 'PixelEncoder\(\)'"),
        (lambda texts: None, "cannot be told from others"),
        (PLAIN, "cannot be told from others"),
    ],
)
def test_resolve_refuses(encoder, message):
    with pytest.raises(ValueError, match=message):
        resolve("text", encoder, lambda modality: None)


def test_tag():
    assert tag(None) == "none"
    assert tag(Encoder(2)).startswith("Encoder-")
    assert len(tag(Encoder(2))) == len("Encoder-") + 8
    assert tag(Encoder(2)) == tag(Encoder(2))
    assert tag(Encoder(2)) != tag(Encoder(3))


def test_run_encoder():
    x, mask = run_encoder("text", Encoder(2), [["a", "b"]], [True, False])
    assert x.tolist() == [[1, 1], [0, 0]]
    assert mask.tolist() == [True, False]

    def encoder(texts):
        x = torch.ones(len(texts), 2, dtype=torch.double, requires_grad=True)
        return x, torch.tensor([text != "" for text in texts])

    x, mask = run_encoder("text", encoder, [["a", "b", ""]], [True, False, True])
    assert x.tolist() == [[1, 1], [0, 0], [0, 0]]
    assert x.dtype == torch.float32
    assert not x.requires_grad
    assert mask.tolist() == [True, False, False]


@pytest.mark.parametrize(
    "out, message",
    [
        (torch.ones(3, 1), r"features of shape \[2, \*\].* \(got \['torch.float32 \[3, 1\]'"),
        (torch.ones(2), r"\(got \['torch.float32 \[2\]'"),
        (None, r"\(got \[None"),
        ((torch.ones(2, 1), torch.ones(2)), r"boolean mask of shape \[2\] .*torch.float32 \[2\]"),
        ((torch.ones(2, 1), torch.ones(3) > 0), r"torch.bool \[3\]"),
        ((torch.ones(2, 1), torch.ones(2) < 0), "found nothing .* of the 2 .*'text=None'"),
        ((torch.ones(2, 1), torch.tensor([False, True])), "found nothing"),
    ],
)
def test_run_encoder_bad_features(out, message):
    with pytest.raises(ValueError, match=message):
        run_encoder("text", lambda texts: out, [["a", None]], [True, False])


def test_features_are_finite():
    class Nan(Encoder):
        def __call__(self, texts):
            return torch.tensor([[1.0], [math.nan]])

    with pytest.raises(ValueError, match="'text' .*NaN"):
        MyDataset(text=Nan(1))


class MyDataset(KGDataset):
    """Two entities, the second of which has an image that cannot be read."""

    modalities = ("text", "visual")
    pictures = [torch.zeros(3, 2, 2, dtype=torch.uint8), "missing.png"]

    def default_encoder(self, modality):
        return None

    def read(self) -> Record:
        splits = [torch.tensor([[0], [0], [1]])] * 3
        return Record(splits, ["a", "b"], ["r"], ["A", "B"])

    def read_texts(self, data):
        return ["a", "b"]

    def read_images(self, names):
        return self.pictures


@pytest.mark.filterwarnings("ignore:1 images cannot be read")
def test_encoders_are_part_of_the_data(tmp_path):
    for _ in range(2):  # Built, then loaded.
        data = MyDataset(str(tmp_path), text=Encoder(3), visual=PixelEncoder(1, 1))[0]
        validate(data)
        assert data.encoders == {
            "text": "Encoder(3)",
            "visual": "PixelEncoder(height=1, width=1)",
        }
        assert data.visual_mask.tolist() == [True, False]
        assert data.x_visual.tolist() == [[-1, -1, -1], [0, 0, 0]]
        assert AddInverse()(data.clone()).encoders == data.encoders
        train = data.edge_subgraph(data.train_mask)
        assert train.num_edges == 1
        assert train.encoders == data.clone().to("cpu").encoders == data.encoders

    path = MyDataset(str(tmp_path), text=Encoder(3), visual=PixelEncoder(1, 1)).processed_paths[0]
    torch.load(path, weights_only=True)
    assert "encoders" not in MyDataset()[0]


@pytest.mark.filterwarnings("ignore:1 images cannot be read")
def test_nothing_is_kept_if_no_image_can_be_read(tmp_path, monkeypatch):
    monkeypatch.setattr(MyDataset, "pictures", [None, "missing.png"])
    with pytest.raises(ValueError, match="visual encoder PixelEncoder.*found nothing to encode"):
        MyDataset(str(tmp_path), visual=PixelEncoder())
    assert list((tmp_path / "processed").iterdir()) == []
