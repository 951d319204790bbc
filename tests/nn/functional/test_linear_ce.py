import pytest
import torch
import torch.nn.functional as F

from torch_imf.nn.functional import linear_ce, linear_ce_loss


def naive(query, key, pos_index, weight=None):
    target = torch.zeros(query.size(0), key.size(0), dtype=torch.double)
    target[pos_index[0], pos_index[1]] = 1.0
    target = target / target.sum(dim=-1, keepdim=True).clamp(min=1)
    loss = F.cross_entropy((query @ key.t()).double(), target, reduction="none")
    weight = torch.ones_like(loss) if weight is None else weight.double()
    return (weight * loss).sum() / weight.sum()


@pytest.mark.parametrize("chunk_size", [None, 1, 7, 23, 100])
@pytest.mark.parametrize("weight", [None, torch.tensor([0.5, 3.0, 0.0, 1.0, 2.0])])
@pytest.mark.parametrize("max_kept", [0, linear_ce.MAX_KEPT])
def test_linear_ce_loss_equals_naive(monkeypatch, chunk_size, weight, max_kept):
    monkeypatch.setattr(linear_ce, "MAX_KEPT", max_kept)  # Computes again, or keeps.
    query = torch.randn(5, 8, dtype=torch.double, requires_grad=True)
    key = torch.randn(23, 8, dtype=torch.double, requires_grad=True)
    pos_index = (torch.rand(4, 23) < 0.3).nonzero().t()  # The last query has none.

    out = linear_ce_loss(query, key, pos_index, weight, chunk_size)
    expected = naive(query, key, pos_index, weight)
    assert torch.allclose(out, expected)
    grads = torch.autograd.grad(2 * out, [query, key])
    for grad, other in zip(grads, torch.autograd.grad(2 * expected, [query, key]), strict=True):
        assert torch.allclose(grad, other)
    with torch.no_grad():
        assert torch.allclose(linear_ce_loss(query, key, pos_index, weight, chunk_size), expected)


@pytest.mark.parametrize("max_kept", [0, linear_ce.MAX_KEPT])
def test_linear_ce_loss_in_low_precision(monkeypatch, max_kept):
    monkeypatch.setattr(linear_ce, "MAX_KEPT", max_kept)
    query = torch.randn(64, 32, requires_grad=True)
    key = torch.randn(500, 32, requires_grad=True)
    pos_index = torch.stack([torch.arange(64), torch.randint(500, (64,))])
    truth = naive(query.double(), key.double(), pos_index)
    with torch.autocast("cpu", torch.bfloat16):
        out = linear_ce_loss(query, key, pos_index, chunk_size=128)
    assert out.dtype == torch.float
    assert (out - truth).abs() < 1e-2
    grad = torch.autograd.grad(truth, [query, key])
    for x, y in zip(torch.autograd.grad(out, [query, key]), grad, strict=True):
        assert F.cosine_similarity(x.flatten(), y.float().flatten(), dim=0) > 0.999


def test_linear_ce_loss_over_facts():
    # Weighed by the number of their positives, queries give the mean over facts:
    query, key = torch.randn(5, 8), torch.randn(23, 8)
    row, col = pos_index = (torch.rand(5, 23) < 0.3).nonzero().t()
    out = linear_ce_loss(query, key, pos_index, torch.bincount(row))
    assert torch.allclose(out, F.cross_entropy((query @ key.t())[row], col))

    with pytest.raises(ValueError, match="one number for each of 5 queries"):
        linear_ce_loss(query, key, pos_index, torch.ones(4))


def test_linear_ce_loss_of_large_scores():
    # No power overflows, whichever chunk the largest score of a query is in:
    query = torch.tensor([[300.0, 1.0], [-300.0, 1.0]], requires_grad=True)
    key = torch.randn(40, 2, requires_grad=True)
    pos_index = torch.tensor([[0, 1], [3, 30]])
    out = linear_ce_loss(query, key, pos_index, chunk_size=8)
    expected = naive(query, key, pos_index)
    assert out.item() == pytest.approx(expected.item(), rel=1e-5)
    for x, y in zip(
        torch.autograd.grad(out, [query, key]),
        torch.autograd.grad(expected, [query, key]),
        strict=True,
    ):
        assert torch.allclose(x, y, atol=1e-4)


@pytest.mark.parametrize("max_kept", [0, linear_ce.MAX_KEPT])
def test_linear_ce_loss_of_confident_queries_in_low_precision(monkeypatch, max_kept):
    # Where the positive has nearly all of the mass, gradients nearly cancel: no rounding is left.
    monkeypatch.setattr(linear_ce, "MAX_KEPT", max_kept)
    key = torch.randn(200, 16, requires_grad=True)
    query = (1.2 * key[:32].detach()).requires_grad_()
    pos_index = torch.arange(32).repeat(2, 1)
    truth = torch.autograd.grad(naive(query.double(), key.double(), pos_index), [query, key])
    with torch.autocast("cpu", torch.bfloat16):
        out = linear_ce_loss(query, key, pos_index, chunk_size=64)
    assert truth[0].norm(dim=-1).median() < 1e-3  # Confident indeed.
    for x, y in zip(torch.autograd.grad(out, [query, key]), truth, strict=True):
        error = (x - y).norm(dim=-1) / y.norm(dim=-1).clamp(min=1e-12)
        assert error[:32].median() < 0.2


@pytest.mark.parametrize("frozen", [0, 1])
def test_linear_ce_loss_of_frozen_inputs(frozen):
    inputs = [torch.randn(5, 8), torch.randn(23, 8)]
    inputs[1 - frozen].requires_grad_()
    pos_index = torch.stack([torch.arange(5), torch.randint(23, (5,))])
    (grad,) = torch.autograd.grad(linear_ce_loss(*inputs, pos_index), inputs[1 - frozen])
    expected = naive(*(x.double() for x in inputs), pos_index)
    (other,) = torch.autograd.grad(expected, inputs[1 - frozen])
    assert torch.allclose(grad, other, atol=1e-6)
