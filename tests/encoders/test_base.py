import numpy as np
import pytest
import torch

from torch_imf import registry
from torch_imf.datasets import Countries
from torch_imf.datasets.base import tag
from torch_imf.encoders import Encoder, NumericEncoder, PixelEncoder, TfidfEncoder, base
from torch_imf.encoders.base import default_device, record_of

TEXTS = ["a rock band", None, "a large river", "a small river in a deep valley"]
NUMBERS = (torch.tensor([0, 1, 1]), ["a", "a", "b"], torch.tensor([1.0, 2.0, 3.0]), 3)


def test_registry():
    names = {"FeatureFile", "NumericEncoder", "PixelEncoder", "TextEncoder", "TfidfEncoder"}
    assert set(registry.class_names("encoder")) == {*names, "ConcatEncoder", "VisualEncoder"}
    encoder = registry.resolve("encoder", "pixel", height=2, width=3)
    assert encoder.init_args == {"height": 2, "width": 3}


@pytest.mark.parametrize(
    "encoder, inputs",
    [(TfidfEncoder(3), (TEXTS,)), (NumericEncoder(), NUMBERS), (PixelEncoder(1, 1), ([None],))],
)
def test_state(encoder, inputs, tmp_path):
    fresh = type(encoder)(**encoder.init_args)
    if encoder.state:
        with pytest.raises(ValueError, match="has not seen anything yet, call 'fit' first"):
            fresh.transform(*inputs)
    x, _ = encoder(*inputs)
    np.savez(tmp_path / "state.npz", **encoder.state_dict())  # Plain arrays.
    with np.load(tmp_path / "state.npz", allow_pickle=False) as state:
        fresh.load_state_dict(state)
    assert torch.equal(fresh.transform(*inputs)[0], x)
    with pytest.raises(ValueError, match=r"needs the arrays \[.*\] \(got \['a'\]\)"):
        fresh.load_state_dict({"a": np.ones(1)})


class Plain(Encoder):
    packages = ("torch", "torch-geometric")

    def __init__(self, size=1, weights=None, batch_size=3):
        self.size, self.weights, self.batch_size = size, weights, batch_size

    def transform(self, texts):
        return torch.ones(len(texts), self.size), torch.ones(len(texts), dtype=torch.bool)


def test_files_keep_their_names_when_packages_are_upgraded(tmp_path, monkeypatch):
    names, records = [], []
    for version in ("1.0", "2.0+cpu"):
        monkeypatch.setattr(base, "version", lambda _, version=version: version)
        names.append(tag(Plain(2)))
        dataset = Countries(str(tmp_path), text=Plain(2), visual=None, numeric=None)
        records.append(dataset[0].encoders["text"])
    assert names[0] == names[1] == tag(Plain(2, batch_size=7)) != tag(Plain(3))
    # The file of the first is still used, and says what it was made with:
    assert records == ["Plain(size=2) with torch 1.0, torch-geometric 1.0"] * 2
    assert record_of(Plain(2)) == "Plain(size=2) with torch 2.0, torch-geometric 2.0"
    assert record_of(len) == repr(len)


def test_default_device():
    assert default_device("cpu") == torch.device("cpu")
    assert (default_device(None).type == "cpu") is not torch.accelerator.is_available()
