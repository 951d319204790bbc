import math

import pytest
import torch

from torch_imf import fit
from torch_imf.nn import KGE, Sampled
from torch_imf.nn.functional import gather_similarity, sampled, self_adversarial_loss
from torch_imf.nn.scorer import DistMult, RotatE
from torch_imf.registry import class_names


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


@pytest.mark.parametrize("scorer", [RotatE(6), DistMult(6), None])
@pytest.mark.parametrize("size", [(5, 4), (0, 2), (3, 0), (0, 0)])
@pytest.mark.parametrize("chunk", [1, 50, 10**6])
def test_gather_similarity(monkeypatch, same, scorer, size, chunk):
    monkeypatch.setattr(sampled, "CHUNK", chunk)
    query, key = torch.randn(size[0], 6, requires_grad=True), torch.randn(9, 6, requires_grad=True)
    bias = torch.tensor(0.5, requires_grad=True)

    def similarity(query, key):  # Of no scorer, it is a view of its keys.
        return key[..., 0] if scorer is None else bias * scorer.similarity(query, key)

    index = torch.randint(9, size)
    out = gather_similarity(similarity, query, key, index, (bias,))
    expected = similarity(query, key[index]) + 0 * (query.sum() + bias)
    assert out.size() == size
    same(out, expected, (query, key, bias), atol=1e-5)


@pytest.mark.parametrize("name", class_names("scorer"))
def test_recomputed_in_bf16_as_before(fake, name):
    model = KGE(fake.num_nodes, fake.num_relations, 16, scorer=name, loss=Sampled(4))
    similarity, calls = model.scorers["struct"].similarity, []

    def spy(query, key):
        out = similarity(query, key)
        calls.append((torch.is_grad_enabled(), out.detach().clone()))
        return out

    model.scorers["struct"].similarity = spy
    before = model.node_emb.weight.detach().clone()
    fit(model, fake, 1, 9999, lr=0.01, precision="bf16", progress=False)
    assert not torch.equal(model.node_emb.weight, before)
    # True negatives alone are [B, 4]: computed without gradients, then with them.
    first, again = (next(x for g, x in calls if g == on and x.size(1) == 4) for on in (False, True))
    assert first.dtype == again.dtype and torch.equal(first, again)
