from itertools import permutations

import pytest
import torch

from torch_imf.sampler import gumbel_top_k


def order_probability(prob, order):
    # Of draws in this order, each renormalised over what is left:
    out, rest = 1.0, 1.0
    for i in order:
        out, rest = out * prob[i] / rest, rest - prob[i]
    return out


@pytest.mark.parametrize("k", [1, 2, 3])
def test_inclusion_probabilities(k):
    size = 20000
    logits = torch.tensor([0.5, -1.0, 1.5, 0.0])
    prob = logits.softmax(dim=0).tolist()
    index, weight = gumbel_top_k(logits.expand(size, 4), k)
    assert index.size() == weight.size() == (size, k) and (weight == 1).all()
    assert all(len(set(row)) == k for row in index[:100].tolist())
    share = torch.bincount(index.flatten(), minlength=4) / size
    for c in range(4):
        orders = [order for order in permutations(range(4), k) if c in order]
        expected = sum(order_probability(prob, order) for order in orders)
        assert abs(share[c] - expected) < 0.015
    if k == 1:
        assert (share - logits.softmax(dim=0)).abs().max() < 0.015


@pytest.mark.parametrize("temperature", [0.5, 1.0])
@pytest.mark.parametrize("k", [1, 3, 5])
def test_gradient_equals_that_of_single_draws(k, temperature):
    logits = torch.randn(4, 5, dtype=torch.double, requires_grad=True)
    coef = torch.randn(4, 5, dtype=torch.double)
    torch.manual_seed(1)
    index, weight = gumbel_top_k(logits, k, temperature)
    grad = torch.autograd.grad((weight * coef.gather(1, index)).sum(), logits)[0]

    torch.manual_seed(1)
    value = logits - torch.empty_like(logits).exponential_().log()
    mask, soft = torch.zeros_like(value, dtype=torch.bool), 0
    for i in range(k):
        step = value.masked_fill(mask, -torch.inf)
        assert torch.equal(step.argmax(dim=1), index[:, i])
        soft = soft + (step / temperature).softmax(dim=1)
        mask = mask.scatter(1, step.argmax(dim=1, keepdim=True), True)
    loss = (soft.gather(1, index) * coef.gather(1, index)).sum()
    assert torch.allclose(grad, torch.autograd.grad(loss, logits)[0])
    assert torch.allclose(grad.sum(dim=1), torch.zeros(4, dtype=torch.double))


def test_relaxed_draws_sum_to_their_number():
    logits = torch.randn(4, 5, requires_grad=True)
    gumbel_top_k(logits, 5)[1].sum().backward()  # Of all candidates.
    assert torch.allclose(logits.grad, torch.zeros(4, 5), atol=1e-6)


def test_mask():
    logits = (100 * torch.randn(50, 5)).requires_grad_()
    mask = torch.tensor([True, False, True, False, False])
    index, weight = gumbel_top_k(logits, 4, 0.1, mask.expand(50, 5))
    assert not mask[index[:, :3]].any() and mask[index[:, 3]].all()
    weight.masked_fill(mask[index], 0).square().sum().backward()
    assert logits.grad.isfinite().all() and (logits.grad[:, mask] == 0).all()
