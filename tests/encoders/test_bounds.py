import io
import struct
import zipfile

import numpy as np
import pytest
import torch
from torch_geometric.testing import withPackage

from torch_imf.encoders import FeatureFile
from torch_imf.encoders.bounds import check_content, check_size
from torch_imf.encoders.unpickle import ContentError


def read(path):
    return FeatureFile(path)(["a", "b"])


def test_check_size(tmp_path):
    path = tmp_path / "x"
    path.write_bytes(bytes(10))
    check_size(str(path), 1 << 26)
    with pytest.raises(ContentError, match="It is more than 300 times as large"):
        check_size(str(path), (1 << 26) + 1)
    check_content((2, 3), np.dtype("f4"), 24)
    with pytest.raises(EOFError, match=r"an array of shape \[2, 3\] has more than 23 bytes"):
        check_content((2, 3), np.dtype("f4"), 23)


@pytest.mark.parametrize("suffix", [".npz", ".pth"])
def test_bombs(tmp_path, suffix):
    path = tmp_path / f"x{suffix}"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("x.npy", "w") as file:
            for _ in range(65):
                file.write(bytes(1 << 20))
    assert path.stat().st_size < 1 << 17
    with pytest.raises(ValueError, match=f"'{path}'. It is more than 300 times as large"):
        read(path)


@pytest.mark.parametrize("suffix", [".npy", ".npz"])
def test_arrays_that_promise_too_much(tmp_path, suffix):
    # Memory for them is not even asked for:
    file = io.BytesIO()
    header = {"descr": "<f4", "fortran_order": False, "shape": (2, 1 << 40)}
    np.lib.format.write_array_header_1_0(file, header)
    path = tmp_path / f"x{suffix}"
    content = file.getvalue() + bytes(100)
    if suffix == ".npy":
        path.write_bytes(content)
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("x.npy", content)
    with pytest.raises(ValueError, match="damaged .* has more than 100 bytes"):
        read(path)


@pytest.mark.parametrize("suffix", [".pt", ".pkl"])
@pytest.mark.parametrize("name", ["It", "'a'"])
def test_tensors_that_repeat_what_is_stored(tmp_path, suffix, name):
    path, x = tmp_path / f"x{suffix}", torch.ones(1)
    large = x.expand(1 << 25)
    torch.save(large.view(2, -1) if name == "It" else {"a": large, "b": large}, path)
    with pytest.raises(ValueError, match=f"'{path}'. {name} is more than 300 times as large as"):
        read(path)
    torch.save({"a": x.expand(4), "b": x.expand(4)}, path)
    assert read(path)[0].tolist() == [[1.0] * 4] * 2


@withPackage("h5py")
def test_hdf5(tmp_path):
    import h5py

    path, secret = tmp_path / "x.h5", tmp_path / "secret"
    secret.write_bytes(struct.pack("<4f", 1, 2, 3, 4))
    with h5py.File(path, "w") as file:
        file.create_dataset("a", (4,), "<f4", external=[(str(secret), 0, 16)])
    with pytest.raises(ValueError, match=f"'{path}'. 'a' is in another file, which is refused"):
        read(path)
    with h5py.File(path, "w") as file:
        file.create_dataset("a", (1 << 40,), "<f4", chunks=(1 << 20,))  # Nothing is stored.
    with pytest.raises(ValueError, match=f"'{path}'. It is more than 300 times as large"):
        read(path)
    with h5py.File(path, "w") as file:
        file["a"], file["b"] = torch.ones(4).numpy(), torch.zeros(4).numpy()
    assert read(path)[1].tolist() == [True, False]
