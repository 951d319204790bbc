import pytest
import torch

from torch_imf.nn.functional.chunk import Chunks, Gradients


@pytest.mark.parametrize("chunk_size", [1, 4, 10, 99, None])
def test_chunk_positives(chunk_size):
    pos_index = (torch.rand(6, 10) < 0.3).nonzero().t()
    seen, covered = [], []
    chunks = Chunks(torch.randn(6, 4), torch.randn(10, 4), pos_index, chunk_size)
    for start, end, row, col in chunks.parts:
        covered += range(start, end)
        assert ((col >= 0) & (col < end - start)).all()
        seen += zip(row.tolist(), (col + start).tolist(), strict=True)
    assert covered == list(range(10))
    assert sorted(seen) == [tuple(x) for x in pos_index.t().tolist()]


def test_dtypes():
    x, pos_index = torch.randn(2, 3), torch.zeros(2, 1, dtype=torch.long)

    def dtypes(query, key):
        chunks = Chunks(query, key, pos_index)
        return chunks.low, chunks.dtype

    assert dtypes(x, x) == (torch.float, torch.float)
    assert dtypes(x, x.double()) == (torch.double, torch.double)
    with torch.autocast("cpu", torch.bfloat16):
        assert dtypes(x, x) == (torch.bfloat16, torch.float)
    with pytest.raises(ValueError, match="needs queries and candidates"):
        dtypes(x, x[:0])


@pytest.mark.parametrize("precision", [torch.float, torch.bfloat16])
def test_chunks(precision):
    query, key = torch.randn(6, 4), torch.randn(10, 4)
    pos_index = (torch.rand(6, 10) < 0.3).nonzero().t()
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
        chunks = Chunks(query, key, pos_index, chunk_size=4)
        logits, places = [], set()
        for chunk in chunks:
            assert torch.equal(chunk.key, key[chunk.start : chunk.end].to(precision))
            logits.append(chunk.logit.clone())
            places.add(chunk.logit.data_ptr())
            assert chunks.lower(chunk.logit).dtype == precision
    expected = (query.to(precision) @ key.to(precision).t()).float()
    assert torch.allclose(torch.cat(logits, dim=1), expected)
    assert len(places) == 1  # All chunks take the same place.


def test_gradients_come_once():
    gradients = Gradients(torch.ones(2), torch.ones(3))
    assert [x.tolist() for x in gradients(torch.tensor(2.0))] == [[2, 2], [2, 2, 2]]
    with pytest.raises(RuntimeError, match="Compute it again"):
        gradients(torch.tensor(2.0))
