import hashlib

import pytest
import torch

from torch_imf.io.hash import hash_content, hash_file, hash_tensor


def test_content(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes("Österreich".encode() * 100_000)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert hash_content("Österreich" * 100_000) == hash_file(path) == digest
    assert hash_content("\ud800") != hash_content("?")


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.half, torch.bool, torch.cfloat])
def test_tensors(dtype):
    # Of any type and shape: NumPy knows no bfloat16.
    for x, other in ((torch.eye(3), torch.ones(3, 3)), (torch.tensor(1.0), torch.tensor(0.0))):
        x, other = x.to(dtype), other.to(dtype)
        assert hash_tensor(x) == hash_tensor(x.clone().t()) != hash_tensor(other)
        assert hash_tensor(x) != hash_tensor(x[None])
        assert hash_tensor(x).startswith(f"{dtype}{list(x.size())} ")
    one = torch.ones(3, 1, dtype=dtype).t()[:, 0]  # Of which any stride will do.
    assert hash_tensor(torch.ones(1, 3, dtype=dtype).t()[0]) == hash_tensor(one)
    assert hash_tensor(one.as_strided((1,), (3,))) == hash_tensor(one)
