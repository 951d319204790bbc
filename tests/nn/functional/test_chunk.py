import pytest
import torch

from torch_imf.nn.functional.chunk import chunk_positives, compute_dtype


@pytest.mark.parametrize("chunk_size", [1, 4, 10, 99, None])
def test_chunk_positives(chunk_size):
    pos_index = (torch.rand(6, 10) < 0.3).nonzero().t()
    seen, covered = [], []
    for start, end, row, col in chunk_positives(pos_index, 6, 10, chunk_size):
        covered += range(start, end)
        assert ((col >= 0) & (col < end - start)).all()
        seen += zip(row.tolist(), (col + start).tolist(), strict=True)
    assert covered == list(range(10))
    assert sorted(seen) == [tuple(x) for x in pos_index.t().tolist()]


def test_compute_dtype():
    x = torch.randn(2, 3)
    assert compute_dtype(x, x)[2] == torch.float
    assert compute_dtype(x, x.double())[0].dtype == torch.double
    with torch.autocast("cpu", torch.bfloat16):
        query, key, dtype = compute_dtype(x, x)
    assert query.dtype == key.dtype == torch.bfloat16 and dtype == torch.float
    with pytest.raises(ValueError, match="needs queries and candidates"):
        compute_dtype(x, x[:0])
