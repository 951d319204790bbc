import math
from itertools import combinations

import pytest
import torch
import torch.nn.functional as F

from torch_imf.nn.functional import contrastive_loss, info_nce_loss, self_adversarial_loss


def naive(x_dict, mask_dict):
    # Equation (6) with its two sums over entities.
    pairs = list(combinations(x_dict, 2))
    total = 0.0
    for p, q in pairs:
        both = [i for i in range(len(x_dict[p])) if mask_dict[p][i] and mask_dict[q][i]]
        for i in both:
            same = -F.cosine_similarity(x_dict[p][i], x_dict[q][i], dim=0)
            for j in both:
                other = -F.cosine_similarity(x_dict[p][i], x_dict[q][j], dim=0)
                total += (same - other + 2) / (len(pairs) * len(both) ** 2)
    return total


def test_contrastive_loss_equals_equation_6(same):
    x_dict = {name: torch.randn(6, 4, requires_grad=True) for name in "svt"}
    full = {name: torch.ones(6, dtype=torch.bool) for name in "svt"}
    v, t = {"v": torch.arange(6) < 4}, {"t": torch.arange(6) > 1}
    for masks in ({}, v, {**v, **t}):
        out, expected = contrastive_loss(x_dict, masks or None), naive(x_dict, {**full, **masks})
        same(out, expected, list(x_dict.values()), atol=1e-6)
    assert contrastive_loss({"s": x_dict["s"]}) == 0


def test_info_nce_loss(refuses):
    x_dict = {name: torch.randn(6, 4) for name in "st"}
    mask = torch.arange(6) < 5
    out = info_nce_loss(x_dict, {"t": mask}, temperature=0.5)
    u, v = (F.normalize(x_dict[name][:5], dim=-1) for name in "st")
    score = (u @ v.t() / 0.5).exp()
    rows = -(score.diag() / score.sum(1)).log().mean()
    cols = -(score.diag() / score.sum(0)).log().mean()
    assert torch.allclose(out, (rows + cols) / 2, atol=1e-6)
    assert info_nce_loss(x_dict, {"t": mask & False}) == 0
    with torch.autocast("cpu", torch.bfloat16):  # Which would round the logits.
        assert torch.equal(info_nce_loss(x_dict, {"t": mask}, temperature=0.5), out)
    refuses(("'temperature' needs to be positive", lambda: info_nce_loss(x_dict, temperature=0.0)))


@pytest.mark.parametrize("loss_fn", [contrastive_loss, info_nce_loss])
def test_pairs(loss_fn, refuses):
    x_dict = {name: torch.randn(6, 4) for name in "svt"}
    out = loss_fn(x_dict, pairs=[("s", "v"), ("t", "s")])
    parts = [loss_fn({p: x_dict[p], q: x_dict[q]}) for p, q in ("sv", "st")]
    assert torch.allclose(out, torch.stack(parts).mean())
    refuses(
        ("'pairs' need to be two of", lambda: loss_fn(x_dict, pairs=[("s", "s")])),
        ("'pairs' need to be two of", lambda: loss_fn(x_dict, pairs=[("s", "audio")])),
        ("needs the representations", lambda: loss_fn({})),
    )


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
    assert float(loss.detach()) == pytest.approx(total / 4, rel=1e-5)
    loss.backward()
    assert torch.allclose(neg.grad.double(), grad, atol=1e-6)


def test_self_adversarial_loss_in_low_precision():
    pos, neg = torch.randn(3).bfloat16(), 100 * torch.randn(3, 5).bfloat16()
    loss = self_adversarial_loss(pos, neg)
    assert loss.dtype == torch.float32 and loss.isfinite()
