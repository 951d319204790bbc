import pytest
import torch

from torch_imf.nn import CapsE, ConvKB
from torch_imf.nn.scorer import convkb, distance


def maps(scorer, head, rel, tail):
    omega, bias = scorer.filters.double(), scorer.bias.double()
    images = torch.stack([head, rel, tail], dim=1).double()  # [B, 3, C]
    out = torch.einsum("bsc,sf->bfc", images, omega) + bias.view(-1, 1)
    return out.clamp(min=0)


def squash(x):
    square = x.square().sum()
    return square / (1 + square) * x / square.sqrt() if square > 0 else x


def inputs(scorer):
    torch.nn.init.normal_(scorer.bias)
    return torch.randn(3, 5, 8)


def test_convkb(refuses):
    scorer = ConvKB(8, num_filters=3)
    assert str(scorer) == "ConvKB(8, num_filters=3)"
    head, rel, tail = inputs(scorer)
    expected = (maps(scorer, head, rel, tail).flatten(1) @ scorer.weight.double()).float()
    assert torch.allclose(scorer(head, rel, tail), expected, atol=1e-5)
    refuses(("'num_filters' needs to be positive", lambda: ConvKB(8, num_filters=0)))


@pytest.mark.parametrize("num_iterations", [1, 3])
def test_capse_equals_the_algorithm(num_iterations, refuses):
    scorer = CapsE(8, num_filters=3, capsule_size=2, num_iterations=num_iterations)
    head, rel, tail = inputs(scorer)
    weight, expected = scorer.weight.double(), []
    for features in maps(scorer, head, rel, tail):  # [F, C]
        u = [weight[:, i].t() @ squash(features[:, i]) for i in range(8)]
        logit = torch.zeros(8, dtype=torch.double)
        for _ in range(num_iterations):
            c = logit.softmax(dim=0)
            out = squash(sum(c[i] * u[i] for i in range(8)))
            logit = logit + torch.stack([x @ out for x in u])
        expected.append(out.norm())
    assert torch.allclose(scorer(head, rel, tail), torch.stack(expected).float(), atol=1e-5)
    refuses(("'capsule_size' needs to be positive", lambda: CapsE(8, capsule_size=0)))


@pytest.mark.parametrize("scorer", [ConvKB(8, num_filters=3), CapsE(8, num_filters=3)])
def test_similarity_in_chunks_equals_one_pass(same, scorer, monkeypatch):
    head, rel, tail = torch.randn(5, 8), torch.randn(5, 8), torch.randn(7, 8)
    leaves = [x.requires_grad_() for x in (head, rel, tail)] + [scorer.weight, scorer.filters]
    for key in (tail, tail.expand(5, 7, 8)):
        expected = scorer.similarity(scorer.query(head, rel), key)
        monkeypatch.setattr(distance, "MAX_PAIRS", 24 * 4)  # Of four queries with a key each.
        out = scorer.similarity(scorer.query(head, rel), key)
        same(out, expected, leaves, atol=1e-4)
        monkeypatch.undo()


def test_convkb_by_pieces_equals_pairs(monkeypatch):
    scorer = ConvKB(10, num_filters=3)
    with torch.no_grad():
        scorer.bias.normal_()
        scorer.filters.normal_()[2] = torch.tensor([1.5, -0.7, 0.0])  # On either side, and neither.
        query = scorer.query(torch.randn(5, 10), torch.randn(5, 10))
        key = torch.randn(30, 10)
        key[7] = key[0]
        expected = scorer.similarity(query, key)
        monkeypatch.setattr(convkb, "NUM_QUERIES", 2)
        out = scorer.similarity(query, key)
    assert not torch.equal(out, expected) and torch.allclose(out, expected, atol=1e-5)
    assert torch.equal(out[:, 0], out[:, 7])
