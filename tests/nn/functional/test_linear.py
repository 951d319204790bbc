# The fused 1-N losses equal the naive expressions of their docstrings.
import pytest
import torch
import torch.nn.functional as F

from torch_imf.nn.functional import dura_loss, linear, linear_bce_loss, linear_ce_loss


def naive_bce(query, key, pos_index, label_smoothing=0.0, bias=None, spread=None):
    target = torch.zeros(query.size(0), key.size(0), dtype=torch.double)
    target[pos_index[0], pos_index[1]] = 1.0
    spread = label_smoothing if spread is None else spread
    target = (1 - label_smoothing) * target + spread / key.size(0)
    score = (query @ key.t()).double()
    return F.binary_cross_entropy_with_logits(score if bias is None else score + bias, target)


def naive_ce(query, key, pos_index, weight=None, chunk_size=None, bias=0.0):
    target = torch.zeros(query.size(0), key.size(0), dtype=torch.double)
    target[pos_index[0], pos_index[1]] = 1.0
    target = target / target.sum(dim=-1, keepdim=True).clamp(min=1)
    loss = F.cross_entropy((query @ key.t()).double() + bias, target, reduction="none")
    weight = torch.ones_like(loss) if weight is None else weight.double()
    return (weight * loss).sum() / weight.sum()


both = pytest.mark.parametrize(
    "loss_fn, naive", [(linear_bce_loss, naive_bce), (linear_ce_loss, naive_ce)]
)
chunked = pytest.mark.parametrize("chunk_size", [None, 1, 7, 23, 100])


@pytest.fixture(params=[0, linear.MAX_KEPT])
def kept(request, monkeypatch):
    """What the second visit needs is computed again, or kept."""
    monkeypatch.setattr(linear, "MAX_KEPT", request.param)


def random_input(dtype=torch.double, B=5, N=23, C=8):
    query = torch.randn(B, C, dtype=dtype, requires_grad=True)
    key = torch.randn(N, C, dtype=dtype, requires_grad=True)
    pos_index = (torch.rand(B - 1, N) < 0.3).nonzero().t()  # The last query has none.
    return query, key, pos_index


@chunked
@pytest.mark.parametrize("label_smoothing, spread", [(0.0, None), (0.1, None), (0.1, 1.0)])
@pytest.mark.parametrize("bias", [None, -3.0])
def test_bce_equals_naive(same, chunk_size, label_smoothing, spread, bias):
    query, key, pos_index = random_input()
    given = [] if bias is None else [torch.tensor([bias], dtype=torch.double, requires_grad=True)]
    args = (query, key, pos_index, label_smoothing, *(given or [None]))
    expected = naive_bce(*args, spread)
    same(linear_bce_loss(*args, chunk_size, spread), expected, [query, key, *given])
    out = linear_bce_loss(query.detach(), key.detach(), *args[2:], chunk_size, spread)
    assert torch.allclose(out, expected) and out.requires_grad == bool(given)
    if given:
        same(out, naive_bce(*args, spread), given)


@chunked
@pytest.mark.parametrize("weight", [None, torch.tensor([0.5, 3.0, 0.0, 1.0, 2.0])])
@pytest.mark.parametrize("bias", [None, torch.arange(23) / 10])
def test_ce_equals_naive(same, kept, chunk_size, weight, bias):
    query, key, pos_index = random_input()
    args = (query, key, pos_index, weight, chunk_size, bias)
    expected = naive_ce(*args[:5], 0.0 if bias is None else bias)
    same(linear_ce_loss(*args), expected, [query, key])
    with torch.no_grad():
        assert torch.allclose(linear_ce_loss(*args), expected)


@both
def test_low_precision(kept, loss_fn, naive):
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
def test_frozen_inputs(same, loss_fn, naive, trained):
    query, key, pos_index = random_input()
    inputs = [query.detach(), key.detach()]
    inputs[trained].requires_grad_()
    same(loss_fn(*inputs, pos_index), naive(*inputs, pos_index), inputs[trained])


@both
def test_errors(refuses, loss_fn, naive):
    query, key, pos_index = random_input()
    refuses(
        ("'chunk_size' needs to", lambda: loss_fn(query, key, pos_index, chunk_size=0)),
        (r"candidates \(got 0, 23\)", lambda: loss_fn(query[:0], key, pos_index[:, :0])),
    )
    # It can be differentiated once, neither twice in a row nor again:
    (grad,) = torch.autograd.grad(loss_fn(query, key, pos_index), query, create_graph=True)
    loss = loss_fn(query, key, pos_index)
    loss.backward(retain_graph=True)
    refuses(
        ("once_differentiable|does not require grad", grad.sum().backward),
        ("modified by an inplace operation", loss.backward),
        error=RuntimeError,
    )


def test_means_over_facts(same):
    # Weighed by the number of their positives, queries give the mean over facts:
    query, key, (row, col) = random_input()
    args = (query, key, torch.stack([row, col]), torch.bincount(row, minlength=5))
    same(linear_ce_loss(*args), F.cross_entropy((query @ key.t())[row], col), [query, key])
    expected = (query[row].square().sum(-1) + key[col].square().sum(-1)).mean()
    same(dura_loss(*args), expected, [query, key])

    means = [query[i].square().sum() + key[col[row == i]].square().sum(-1).mean() for i in range(4)]
    assert torch.allclose(dura_loss(*args[:3]), torch.stack(means).sum() / 5)
    with torch.autocast("cpu", torch.bfloat16):
        out = dura_loss(query.bfloat16(), key.bfloat16(), *args[2:])
    assert out.dtype == torch.float and torch.allclose(out.double(), expected, rtol=1e-2)


def test_ce_of_large_scores(same):
    # No power overflows, whichever chunk the largest score of a query is in:
    query = torch.tensor([[300.0, 1.0], [-300.0, 1.0]], requires_grad=True)
    key = torch.randn(40, 2, requires_grad=True)
    args = (query, key, torch.tensor([[0, 1], [3, 30]]))
    out, expected = linear_ce_loss(*args, chunk_size=8), naive_ce(*args)
    same(out, expected.float(), [query, key], rtol=1e-5, atol=1e-4)


def test_ce_of_confident_queries_in_low_precision(kept):
    # Where the positive has nearly all of the mass, gradients nearly cancel: no rounding is left.
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
