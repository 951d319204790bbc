import pytest
import torch

from torch_imf.nn import RotatE, TransE
from torch_imf.nn.scorer import distance


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


def test_rotate(refuses):
    scorer = RotatE(6, margin=1.0)
    assert str(scorer) == "RotatE(6)"
    assert scorer.rel_channels == 3
    head, tail, phase = torch.randn(5, 6), torch.randn(5, 6), torch.empty(5, 3)
    scorer.reset_relations(phase)
    h, t = (torch.complex(*x.chunk(2, dim=-1)) for x in (head, tail))
    expected = 1 - (h * torch.polar(torch.ones_like(phase), phase) - t).abs().sum(-1)
    assert torch.allclose(scorer(head, phase, tail), expected, atol=1e-5)
    refuses(("even number of 'channels'", lambda: RotatE(5)))


@pytest.mark.parametrize("num_rows", [1, 9])
def test_rotate_by_blocks_equals_one_pass(same, monkeypatch, num_rows):
    monkeypatch.setattr(distance, "MAX_CACHED_PAIRS", 6 * 100)  # Of 64 keys, and less.
    query = torch.randn(9, 6, requires_grad=True)
    key = torch.randn(num_rows, 150, 6, requires_grad=True)
    re, im = (query.unsqueeze(1) - key).chunk(2, dim=-1)
    expected = 6 - (re.square() + im.square()).sqrt().sum(dim=-1)
    same(RotatE(6).similarity(query, key), expected, [query, key], atol=1e-5)


@pytest.mark.parametrize("scorer", [RotatE(6), *(TransE(6, p_norm=p) for p in (1.0, 2.0, 3.0))])
def test_similarity_in_chunks_equals_one_pass(same, scorer, monkeypatch):
    query, key = torch.randn(4, 6, requires_grad=True), torch.randn(50, 6, requires_grad=True)
    expected = scorer.similarity(query, key.expand(4, 50, 6))

    calls = []
    split = torch.Tensor.split
    monkeypatch.setattr(distance, "MAX_PAIRS", 24 * 7)  # Seven keys at once.
    monkeypatch.setattr(distance, "MAX_CACHED_PAIRS", 24 * 3)
    monkeypatch.setattr(
        torch.Tensor, "split", lambda x, size, dim=0: calls.append(size) or split(x, size, dim)
    )
    same(scorer.similarity(query, key), expected, [query, key], atol=1e-5)
    with torch.no_grad():
        assert torch.allclose(scorer.similarity(query, key), expected, atol=1e-6)
    assert calls == ([] if isinstance(scorer, RotatE) else [3])  # Which has blocks of its own.
