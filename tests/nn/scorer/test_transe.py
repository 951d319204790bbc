import pytest
import torch

from torch_imf.nn import TransE


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
