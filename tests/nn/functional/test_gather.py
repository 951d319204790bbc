import pytest
import torch

from torch_imf.nn.functional import gather, gather_similarity
from torch_imf.nn.scorer import DistMult, RotatE


@pytest.mark.parametrize("scorer", [RotatE(6), DistMult(6)])
@pytest.mark.parametrize("chunk", [1, 50, 10**6])
def test_gather_similarity(monkeypatch, scorer, chunk):
    monkeypatch.setattr(gather, "CHUNK", chunk)
    query, key = torch.randn(5, 6, requires_grad=True), torch.randn(9, 6, requires_grad=True)
    bias = torch.tensor(0.5, requires_grad=True)

    def similarity(query, key):
        return bias * scorer.similarity(query, key)

    index = torch.randint(9, (5, 4))
    out = gather_similarity(similarity, query, key, index, (bias,))
    expected = similarity(query, key[index])
    assert torch.allclose(out, expected, atol=1e-6)
    weight = torch.randn(5, 4)
    grads = [torch.autograd.grad((x * weight).sum(), (query, key, bias)) for x in (out, expected)]
    for grad, other in zip(*grads, strict=True):
        assert torch.allclose(grad, other, atol=1e-5)


def test_gather_similarity_of_an_empty_batch():
    query, key = torch.randn(0, 4), torch.randn(3, 4)
    index = torch.empty(0, 2, dtype=torch.long)
    assert gather_similarity(DistMult(4).similarity, query, key, index).size() == (0, 2)
