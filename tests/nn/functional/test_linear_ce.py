import pytest
import torch
import torch.nn.functional as F

from torch_imf.nn.functional import linear_ce_loss


def naive(query, key, pos_index):
    target = torch.zeros(query.size(0), key.size(0), dtype=torch.double)
    target[pos_index[0], pos_index[1]] = 1.0
    target = target / target.sum(dim=-1, keepdim=True).clamp(min=1)
    return F.cross_entropy((query @ key.t()).double(), target)


@pytest.mark.parametrize("chunk_size", [None, 1, 7, 23, 100])
def test_linear_ce_loss_equals_naive(chunk_size):
    query = torch.randn(5, 8, dtype=torch.double, requires_grad=True)
    key = torch.randn(23, 8, dtype=torch.double, requires_grad=True)
    pos_index = (torch.rand(4, 23) < 0.3).nonzero().t()  # The last query has none.

    out = linear_ce_loss(query, key, pos_index, chunk_size)
    expected = naive(query, key, pos_index)
    assert torch.allclose(out, expected)
    grads = torch.autograd.grad(2 * out, [query, key])
    for grad, other in zip(grads, torch.autograd.grad(2 * expected, [query, key]), strict=True):
        assert torch.allclose(grad, other)
    with torch.no_grad():
        assert torch.allclose(linear_ce_loss(query, key, pos_index, chunk_size), expected)


def test_linear_ce_loss_in_low_precision():
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
