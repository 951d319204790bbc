import math

import pytest
import torch

from torch_imf.nn.functional import self_adversarial_loss


@pytest.mark.parametrize("temperature", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("masked", [False, True])
def test_self_adversarial_loss(temperature, masked):
    pos, neg = torch.randn(4), torch.randn(4, 6, requires_grad=True)
    mask = torch.rand(4, 6) < 0.6 if masked else torch.ones(4, 6, dtype=torch.bool)
    mask[2] = not masked  # A fact without any negative.
    loss = self_adversarial_loss(pos, neg, temperature, mask if masked else None)

    score = neg.detach()
    total, grad = 0.0, torch.zeros(4, 6).double()
    for i in range(4):
        total += -math.log(1 / (1 + math.exp(-pos[i])))
        ks = [k for k in range(6) if mask[i, k]]
        z = sum(math.exp(temperature * score[i, k]) for k in ks)
        for k in ks:
            p = math.exp(temperature * score[i, k]) / z
            total -= p * math.log(1 / (1 + math.exp(score[i, k])))
            grad[i, k] = p / (1 + math.exp(-score[i, k])) / 4  # None through p.
    assert float(loss) == pytest.approx(total / 4, rel=1e-5)
    loss.backward()
    assert torch.allclose(neg.grad.double(), grad, atol=1e-6)


def test_self_adversarial_loss_in_low_precision():
    pos, neg = torch.randn(3).bfloat16(), 100 * torch.randn(3, 5).bfloat16()
    loss = self_adversarial_loss(pos, neg)
    assert loss.dtype == torch.float32 and loss.isfinite()
    with pytest.raises(ValueError, match=r"shape \[B\] and \[B, K\] \(got \[3\] and \[2, 5\]\)"):
        self_adversarial_loss(pos, neg[:2])
