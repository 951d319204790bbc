import pytest
import torch

from torch_imf.data import TripletIndex
from torch_imf.sampler import SharedSampler


def test_shared_sampler():
    triples = [torch.randint(high, (10,)) for high in (6, 2, 6)]
    index = TripletIndex(*triples)
    sampler = SharedSampler(6, index, num_negatives=20, chunk_size=4)
    assert str(sampler) == f"SharedSampler(6, num_negatives=20, index={index}, chunk_size=4)"
    torch.manual_seed(1)
    chunk, mask = sampler.chunk(*triples)
    assert chunk.size() == (3, 20) and mask.size() == (10, 20) and mask.dtype == torch.bool
    assert chunk.min() >= 0
    torch.manual_seed(1)
    neg_index = sampler(*triples)
    known = set(zip(*[x.tolist() for x in triples], strict=True))
    for i, (h, r, _) in enumerate(zip(*[x.tolist() for x in triples], strict=True)):
        for k, t in enumerate(chunk[i // 4].tolist()):
            assert bool(mask[i, k]) == ((h, r, t) in known)
            assert neg_index[i, k] == (-1 if mask[i, k] else t)
    assert mask.any()


def test_chunk_scores_equal_those_of_negatives():
    triples = [torch.randint(high, (10,)) for high in (6, 2, 6)]
    sampler = SharedSampler(6, num_negatives=7, chunk_size=5)
    query, key = torch.randn(10, 3), torch.randn(6, 3)
    torch.manual_seed(1)
    chunk, mask = sampler.chunk(*triples)
    score = (query.view(2, 5, 3) @ key[chunk].mT).view(10, 7)
    torch.manual_seed(1)
    neg_index = sampler(*triples)
    expected = (query.unsqueeze(1) * key[neg_index]).sum(dim=-1)
    assert torch.allclose(score[~mask], expected[~mask])
    assert torch.equal(mask, neg_index == -1)
    assert torch.equal(mask, chunk.repeat_interleave(5, dim=0) == triples[2].unsqueeze(1))


def test_chunks_are_uniform():
    zero = torch.zeros(4, dtype=torch.long)
    chunk, _ = SharedSampler(5, num_negatives=5000, chunk_size=2).chunk(zero, zero, zero)
    share = torch.stack([x.bincount(minlength=5) for x in chunk]) / 5000
    assert (share - 0.2).abs().max() < 0.03


def test_bad_chunk_size():
    with pytest.raises(ValueError, match="'chunk_size' needs to be positive .got 0"):
        SharedSampler(5, chunk_size=0)
