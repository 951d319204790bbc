import pytest
import torch

from torch_imf.nn import TransE
from torch_imf.nn.scorer import base


def test_transe():
    scorer = TransE(4, margin=2.0)
    assert str(scorer) == "TransE(4)"
    head, rel, tail = torch.randn(3, 5, 4)
    assert torch.allclose(scorer(head, rel, tail), 2 - (head + rel - tail).abs().sum(-1), atol=1e-6)
    scorer = TransE(4, p_norm=2.0, margin=0.0)
    assert torch.allclose(scorer(head, rel, tail), -(head + rel - tail).norm(dim=-1), atol=1e-6)
    key = tail[0] + 1e-4 * torch.randn(40, 4)  # Many near matches.
    out = scorer.similarity(tail, key)
    assert torch.allclose(out, scorer.similarity(tail, key.expand(5, 40, 4)), atol=1e-6)
    with pytest.raises(ValueError, match="'rel_channels' to be 4"):
        TransE(4, 3)


@pytest.mark.parametrize("p_norm", [1.0, 2.0, 3.0])
def test_scores_without_gradients_are_those_with(p_norm, monkeypatch):
    scorer = TransE(6, p_norm=p_norm)
    query, key = torch.randn(4, 6, requires_grad=True), torch.randn(50, 6, requires_grad=True)
    expected = scorer.similarity(query, key)
    monkeypatch.setattr(base, "MAX_CACHED_PAIRS", 24 * 7)  # Seven keys at once.
    with torch.no_grad():
        assert torch.allclose(scorer.similarity(query, key), expected, atol=1e-6)
    out = scorer.similarity(query, key.expand(4, 50, 6))
    for x, y in zip(
        torch.autograd.grad(out.sin().sum(), [query, key]),
        torch.autograd.grad(expected.sin().sum(), [query, key]),
        strict=True,
    ):
        assert torch.allclose(x, y, atol=1e-5)
