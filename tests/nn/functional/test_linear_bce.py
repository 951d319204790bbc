import pytest
import torch
import torch.nn.functional as F

from torch_imf.nn.functional import linear_bce_loss


def naive(query, key, pos_index, label_smoothing=0.0, bias=None):
    target = torch.zeros(query.size(0), key.size(0), dtype=torch.double)
    target[pos_index[0], pos_index[1]] = 1.0
    target = (1 - label_smoothing) * target + label_smoothing / key.size(0)
    score = (query @ key.t()).double()
    return F.binary_cross_entropy_with_logits(score if bias is None else score + bias, target)


def random_input(dtype=torch.double, B=5, N=23, C=8):
    query = torch.randn(B, C, dtype=dtype, requires_grad=True)
    key = torch.randn(N, C, dtype=dtype, requires_grad=True)
    pos_index = (torch.rand(B - 1, N) < 0.2).nonzero().t()  # The last query has none.
    return query, key, pos_index


@pytest.mark.parametrize("chunk_size", [None, 1, 7, 23, 100])
@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("bias", [None, -3.0])
def test_linear_bce_loss_equals_naive(chunk_size, label_smoothing, bias):
    query, key, pos_index = random_input()
    inputs = [query, key]
    if bias is not None:
        bias = torch.tensor(bias, dtype=torch.double, requires_grad=True)
        inputs.append(bias)
    out = linear_bce_loss(query, key, pos_index, label_smoothing, bias, chunk_size)
    expected = naive(query, key, pos_index, label_smoothing, bias)
    assert torch.allclose(out, expected)
    # An upstream factor shows that the saved gradient is scaled by it:
    grads = torch.autograd.grad(3 * out, inputs)
    for grad, other in zip(grads, torch.autograd.grad(3 * expected, inputs), strict=True):
        assert torch.allclose(grad, other)


def test_linear_bce_loss_in_low_precision():
    query, key, pos_index = random_input(torch.float, B=64, N=500, C=32)
    truth = naive(query.double(), key.double(), pos_index)
    grad = torch.autograd.grad(truth, [query, key])

    with torch.autocast("cpu", torch.bfloat16):
        out = linear_bce_loss(query, key, pos_index, chunk_size=128)
    assert out.dtype == torch.float
    low = naive(query.bfloat16(), key.bfloat16(), pos_index)
    # No further from the truth than twice what rounding the logits costs anyway:
    assert (out - truth).abs() <= 2 * (low - truth).abs() + 1e-4
    for x, y in zip(torch.autograd.grad(out, [query, key]), grad, strict=True):
        assert x.dtype == torch.float
        assert F.cosine_similarity(x.flatten(), y.float().flatten(), dim=0) > 0.999


def test_linear_bce_loss_without_grad():
    query, key, pos_index = random_input()
    with torch.no_grad():
        out = linear_bce_loss(query, key, pos_index, label_smoothing=0.1)
    assert not out.requires_grad
    assert torch.allclose(out, naive(query, key, pos_index, label_smoothing=0.1))
    with pytest.raises(ValueError, match="'chunk_size' needs to be positive"):
        linear_bce_loss(query, key, pos_index, chunk_size=0)
    with pytest.raises(ValueError, match=r"needs queries and candidates \(got 0 and 23\)"):
        linear_bce_loss(query[:0], key, pos_index[:, :0])


def test_linear_bce_loss_refuses_second_derivatives():
    query, key, pos_index = random_input()
    loss = linear_bce_loss(query, key, pos_index)
    (grad,) = torch.autograd.grad(loss, query, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable|does not require grad"):
        grad.sum().backward()


@pytest.mark.parametrize("label_smoothing", [0.0, 0.1])
@pytest.mark.parametrize("trained", [0, 1, 2])
def test_linear_bce_loss_of_frozen_inputs(label_smoothing, trained):
    query, key, pos_index = random_input()
    inputs = [query.detach(), key.detach(), torch.tensor([-2.0], dtype=torch.double)]
    inputs[trained].requires_grad_()
    query, key, bias = inputs
    out = linear_bce_loss(query, key, pos_index, label_smoothing, bias)
    expected = naive(query, key, pos_index, label_smoothing, bias)
    assert torch.allclose(out, expected)
    (grad,) = torch.autograd.grad(out, inputs[trained])
    (other,) = torch.autograd.grad(expected, inputs[trained])
    assert torch.allclose(grad, other)
