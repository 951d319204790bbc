# The fused 1-N losses equal the naive expressions of their docstrings.
import pytest
import torch
import torch.nn.functional as F

from torch_imf.nn.functional import linear_bce_loss, linear_ce, linear_ce_loss


def naive_bce(query, key, pos_index, label_smoothing=0.0, bias=None):
    target = torch.zeros(query.size(0), key.size(0), dtype=torch.double)
    target[pos_index[0], pos_index[1]] = 1.0
    target = (1 - label_smoothing) * target + label_smoothing / key.size(0)
    score = (query @ key.t()).double()
    return F.binary_cross_entropy_with_logits(score if bias is None else score + bias, target)


def naive_ce(query, key, pos_index, weight=None):
    target = torch.zeros(query.size(0), key.size(0), dtype=torch.double)
    target[pos_index[0], pos_index[1]] = 1.0
    target = target / target.sum(dim=-1, keepdim=True).clamp(min=1)
    loss = F.cross_entropy((query @ key.t()).double(), target, reduction="none")
    weight = torch.ones_like(loss) if weight is None else weight.double()
    return (weight * loss).sum() / weight.sum()


both = pytest.mark.parametrize(
    "loss_fn, naive", [(linear_bce_loss, naive_bce), (linear_ce_loss, naive_ce)]
)
kept = pytest.mark.parametrize("max_kept", [0, linear_ce.MAX_KEPT])  # Computes again, or keeps.


def random_input(dtype=torch.double, B=5, N=23, C=8):
    query = torch.randn(B, C, dtype=dtype, requires_grad=True)
    key = torch.randn(N, C, dtype=dtype, requires_grad=True)
    pos_index = (torch.rand(B - 1, N) < 0.3).nonzero().t()  # The last query has none.
    return query, key, pos_index


def check_equal(out, expected, inputs):
    assert torch.allclose(out, expected)
    # An upstream factor shows that the saved gradient is scaled by it:
    grads = torch.autograd.grad(3 * out, inputs)
    for grad, other in zip(grads, torch.autograd.grad(3 * expected, inputs), strict=True):
        assert torch.allclose(grad, other)


@pytest.mark.parametrize("chunk_size", [None, 1, 7, 23, 100])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("bias", [None, -3.0])
def test_bce_equals_naive(chunk_size, label_smoothing, bias):
    query, key, pos_index = random_input()
    inputs = [query, key]
    if bias is not None:
        bias = torch.tensor(bias, dtype=torch.double, requires_grad=True)
        inputs.append(bias)
    args = (query, key, pos_index, label_smoothing, bias)
    expected = naive_bce(*args)
    check_equal(linear_bce_loss(*args, chunk_size), expected, inputs)
    with torch.no_grad():
        out = linear_bce_loss(*args, chunk_size)
    assert not out.requires_grad and torch.allclose(out, expected)


@pytest.mark.parametrize("chunk_size", [None, 1, 7, 23, 100])
@pytest.mark.parametrize("weight", [None, torch.tensor([0.5, 3.0, 0.0, 1.0, 2.0])])
@kept
def test_ce_equals_naive(monkeypatch, chunk_size, weight, max_kept):
    monkeypatch.setattr(linear_ce, "MAX_KEPT", max_kept)
    query, key, pos_index = random_input()
    args = (query, key, pos_index, weight)
    expected = naive_ce(*args)
    check_equal(linear_ce_loss(*args, chunk_size), expected, [query, key])
    with torch.no_grad():
        out = linear_ce_loss(*args, chunk_size)
    assert not out.requires_grad and torch.allclose(out, expected)


@both
@kept
def test_low_precision(monkeypatch, loss_fn, naive, max_kept):
    monkeypatch.setattr(linear_ce, "MAX_KEPT", max_kept)
    query, key, _ = random_input(torch.float, B=64, N=500, C=32)
    pos_index = torch.stack([torch.arange(64), torch.randint(500, (64,))])
    truth = naive(query.double(), key.double(), pos_index)
    grad = torch.autograd.grad(truth, [query, key])
    with torch.autocast("cpu", torch.bfloat16):
        out = loss_fn(query, key, pos_index, chunk_size=128)
    assert out.dtype == torch.float
    low = naive(query.bfloat16(), key.bfloat16(), pos_index)
    # No further from the truth than twice what rounding the logits costs anyway:
    assert (out - truth).abs() <= 2 * (low - truth).abs() + 1e-4
    for x, y in zip(torch.autograd.grad(out, [query, key]), grad, strict=True):
        assert x.dtype == torch.float
        assert F.cosine_similarity(x.flatten(), y.float().flatten(), dim=0) > 0.999


@both
@pytest.mark.parametrize("trained", [0, 1])
def test_frozen_inputs(loss_fn, naive, trained):
    query, key, pos_index = random_input()
    inputs = [query.detach(), key.detach()]
    inputs[trained].requires_grad_()
    check_equal(loss_fn(*inputs, pos_index), naive(*inputs, pos_index), inputs[trained])


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
def test_bce_of_a_bias_alone(label_smoothing):
    query, key, pos_index = random_input()
    bias = torch.tensor([-2.0], dtype=torch.double, requires_grad=True)
    args = (query.detach(), key.detach(), pos_index, label_smoothing, bias)
    check_equal(linear_bce_loss(*args), naive_bce(*args), bias)


@both
def test_errors(loss_fn, naive):
    query, key, pos_index = random_input()
    with pytest.raises(ValueError, match="'chunk_size' needs to be positive"):
        loss_fn(query, key, pos_index, chunk_size=0)
    with pytest.raises(ValueError, match=r"needs queries and candidates \(got 0 and 23\)"):
        loss_fn(query[:0], key, pos_index[:, :0])
    (grad,) = torch.autograd.grad(loss_fn(query, key, pos_index), query, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable|does not require grad"):
        grad.sum().backward()


def test_ce_over_facts():
    # Weighed by the number of their positives, queries give the mean over facts:
    query, key = torch.randn(5, 8), torch.randn(23, 8)
    row, col = pos_index = (torch.rand(5, 23) < 0.3).nonzero().t()
    out = linear_ce_loss(query, key, pos_index, torch.bincount(row, minlength=5))
    assert torch.allclose(out, F.cross_entropy((query @ key.t())[row], col))
    with pytest.raises(ValueError, match="one number for each of 5 queries"):
        linear_ce_loss(query, key, pos_index, torch.ones(4))


def test_ce_of_large_scores():
    # No power overflows, whichever chunk the largest score of a query is in:
    query = torch.tensor([[300.0, 1.0], [-300.0, 1.0]], requires_grad=True)
    key = torch.randn(40, 2, requires_grad=True)
    pos_index = torch.tensor([[0, 1], [3, 30]])
    out, expected = (
        linear_ce_loss(query, key, pos_index, chunk_size=8),
        naive_ce(query, key, pos_index),
    )
    assert out.item() == pytest.approx(expected.item(), rel=1e-5)
    grads = torch.autograd.grad(out, [query, key])
    for x, y in zip(grads, torch.autograd.grad(expected, [query, key]), strict=True):
        assert torch.allclose(x, y, atol=1e-4)


@kept
def test_ce_of_confident_queries_in_low_precision(monkeypatch, max_kept):
    # Where the positive has nearly all of the mass, gradients nearly cancel: no rounding is left.
    monkeypatch.setattr(linear_ce, "MAX_KEPT", max_kept)
    key = torch.randn(200, 16, requires_grad=True)
    query = (1.2 * key[:32].detach()).requires_grad_()
    pos_index = torch.arange(32).repeat(2, 1)
    truth = torch.autograd.grad(naive_ce(query.double(), key.double(), pos_index), [query, key])
    with torch.autocast("cpu", torch.bfloat16):
        out = linear_ce_loss(query, key, pos_index, chunk_size=64)
    assert truth[0].norm(dim=-1).median() < 1e-3  # Confident indeed.
    for x, y in zip(torch.autograd.grad(out, [query, key]), truth, strict=True):
        error = (x - y).norm(dim=-1) / y.norm(dim=-1).clamp(min=1e-12)
        assert error[:32].median() < 0.2
