import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from torch_imf.data import map_features
from torch_imf.io import mapped
from torch_imf.io.mapped import is_mapped, zeros


@pytest.mark.parametrize("dtype", [torch.half, torch.bfloat16, torch.float])
def test_map_features(tmp_path, dtype):
    x = torch.randn(5, 3).to(dtype)
    save_file({"x": x}, tmp_path / "x.safetensors")
    out = map_features(tmp_path / "x.safetensors")
    assert is_mapped(out) and is_mapped(out[2:]) and not is_mapped(out.clone())
    assert out.dtype == dtype and torch.equal(out, x)
    if dtype != torch.bfloat16:
        np.save(tmp_path / "x.npy", x.numpy())
        assert is_mapped(map_features(str(tmp_path / "x.npy")))
        assert torch.equal(map_features(tmp_path / "x.npy"), x)
    out[0] = 0  # In memory alone.
    assert torch.equal(map_features(tmp_path / "x.safetensors"), x)


def test_what_cannot_be_mapped(tmp_path):
    with pytest.raises(ValueError, match="There is no file of features 'none.npy'"):
        map_features("none.npy")
    np.save(tmp_path / "x.npy", np.asfortranarray(np.ones((2, 3))))
    with pytest.raises(ValueError, match="need to be one matrix of floats, by rows"):
        map_features(tmp_path / "x.npy")
    (tmp_path / "y.npy").write_bytes((tmp_path / "x.npy").read_bytes()[:-8])
    (tmp_path / "y.safetensors").write_bytes(b"nothing")
    for name in ("y.npy", "y.safetensors"):
        with pytest.raises(ValueError, match=f"{name}' is damaged"):
            map_features(tmp_path / name)
    save_file({"x": torch.ones(2, 3), "y": torch.ones(2)}, tmp_path / "x.safetensors")
    with pytest.raises(ValueError, match=r"one matrix.*\(got {'x': \[2, 3\], 'y': \[2\]}\)"):
        map_features(tmp_path / "x.safetensors")


def test_large_zeros_are_on_the_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(mapped, "LARGE", 40)
    monkeypatch.setattr(mapped.tempfile, "tempdir", str(tmp_path))
    assert not is_mapped(zeros(2, 5))
    out = zeros(2, 6)
    assert is_mapped(out) and list(tmp_path.iterdir()) == []
    out[1] += 2
    assert out.tolist() == [[0] * 6, [2] * 6]
