import io
import math
import random
import warnings

import pytest
import torch

from torch_imf.datasets import FakeMMKG
from torch_imf.encoders import PixelEncoder
from torch_imf.encoders.cache import FeatureCache
from torch_imf.io.sealed import DTYPES, seal, unseal
from torch_imf.nn import KGE
from torch_imf.training.checkpoint import CheckpointError, TrainingState


def write(path, value):
    with open(path, "wb") as file:
        seal(value, file)
    return str(path)


def test_what_is_kept(tmp_path):
    value = {
        "names": ["é", "\udc80", ""],
        3: (None, True, 2**70, -1.5, math.inf),
        (1, "a"): {"x": torch.randn(3, 2).t(), "none": torch.empty(0, 4), "one": torch.tensor(2)},
    }
    found = unseal(write(tmp_path / "a", value))
    assert list(found) == list(value) and found["names"] == value["names"] and found[3] == value[3]
    for key, x in value[(1, "a")].items():
        assert torch.equal(found[(1, "a")][key], x) and found[(1, "a")][key].dtype == x.dtype
    tensors = [torch.ones(3).to(getattr(torch, name)) for name in DTYPES]
    for x, y in zip(tensors, unseal(write(tmp_path / "b", tensors)), strict=True):
        assert torch.equal(x, y) and x.dtype == y.dtype
    (tmp_path / "a").write_bytes(bytes(300))  # What was read stays.
    assert torch.equal(found[(1, "a")]["x"], value[(1, "a")]["x"])


@pytest.mark.parametrize("value", [{1, 2}, {"a": b"b"}, torch.eye(2).to_sparse(), [object()]])
def test_what_cannot_be_kept(value):
    with pytest.raises(ValueError, match="Only dense tensors, numbers, texts, and lists"):
        seal(value, io.BytesIO())


def test_it_is_plain_safetensors(tmp_path):
    from safetensors.torch import load_file

    path = write(tmp_path / "a", {"x": torch.arange(3)})
    assert load_file(path)["0"].tolist() == [0, 1, 2]


def features(folder):
    """Returns the file of one kind, and what reads it."""
    store = FeatureCache(folder / "cache", PixelEncoder())
    store.write(["a", "b"], torch.randn(2, 5))
    (path,) = store.folder.glob("*.safetensors")
    return path, lambda: store.read(["a", "b"])


def checkpoint(folder):
    state = TrainingState(KGE(9, 2, 4), [], {"metric": "mrr"}, folder / "c.pt")
    state.save()

    def read():
        state.load()
        return {**state.model.state_dict(), **{f"best {k}": x for k, x in state.best.items()}}

    return folder / "c.pt", read


def graph(folder):
    def read():
        data = FakeMMKG(str(folder), num_nodes=60)[0]
        return {key: torch.as_tensor(data[key]) for key in ("edge_index", "edge_type", "num_nodes")}

    read()
    (path,) = (folder / "processed").iterdir()
    return path, read


@pytest.mark.parametrize("kind", [features, checkpoint, graph])
def test_a_bit_that_flips(tmp_path, kind):
    path, read = kind(tmp_path)
    whole, expected, draw = path.read_bytes(), read(), random.Random(0)
    refused = 0
    for i in range(100):
        content = bytearray(whole)
        place = draw.randrange(len(content))
        content[place] ^= 1 << draw.randrange(8)
        path.write_bytes(content if i else whole[:-1])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                found = read()
        except (UserWarning, CheckpointError, RuntimeError) as e:
            assert str(path) in str(e)
            refused += 1
        else:  # A bit that says nothing, such as one of white space.
            assert set(found) == set(expected)
            assert all(torch.equal(found[key], x) for key, x in expected.items())
    assert refused > 90
