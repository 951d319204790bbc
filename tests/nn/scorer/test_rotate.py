import pytest
import torch

from torch_imf.nn import RotatE
from torch_imf.nn.scorer import base


def test_rotate():
    scorer = RotatE(6, margin=1.0)
    assert str(scorer) == "RotatE(6)"
    assert scorer.rel_channels == 3
    head, tail, phase = torch.randn(5, 6), torch.randn(5, 6), torch.empty(5, 3)
    scorer.reset_relations(phase)
    h, t = (torch.complex(*x.chunk(2, dim=-1)) for x in (head, tail))
    expected = 1 - (h * torch.polar(torch.ones_like(phase), phase) - t).abs().sum(-1)
    assert torch.allclose(scorer(head, phase, tail), expected, atol=1e-5)
    with pytest.raises(ValueError, match="even number of 'channels'"):
        RotatE(5)


def test_similarity_in_chunks_equals_one_pass(monkeypatch):
    scorer = RotatE(6)
    query, key = torch.randn(4, 6, requires_grad=True), torch.randn(50, 6, requires_grad=True)
    expected = scorer.similarity(query, key)
    grads = torch.autograd.grad(expected.sin().sum(), [query, key])

    calls = []
    split = torch.Tensor.split
    monkeypatch.setattr(base, "MAX_PAIRS", 24 * 7)  # Seven keys at once.
    monkeypatch.setattr(torch.Tensor, "split", lambda x, size: calls.append(size) or split(x, size))
    out = scorer.similarity(query, key)
    assert calls == [7]
    assert torch.allclose(out, expected)
    for x, y in zip(torch.autograd.grad(out.sin().sum(), [query, key]), grads, strict=True):
        assert torch.allclose(x, y, atol=1e-5)

    monkeypatch.setattr(base, "MAX_CACHED_PAIRS", 24 * 3)
    with torch.no_grad():
        assert torch.allclose(scorer.similarity(query, key), expected)
    assert calls == [7, 3]
