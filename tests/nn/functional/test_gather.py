import pytest
import torch

from torch_imf import fit
from torch_imf.nn import KGE, Sampled
from torch_imf.nn.functional import gather, gather_similarity
from torch_imf.nn.scorer import DistMult, RotatE
from torch_imf.registry import class_names


@pytest.mark.parametrize("scorer", [RotatE(6), DistMult(6)])
@pytest.mark.parametrize("chunk", [1, 50, 10**6])
def test_gather_similarity(monkeypatch, scorer, chunk):
    monkeypatch.setattr(gather, "CHUNK", chunk)
    query, key = torch.randn(5, 6, requires_grad=True), torch.randn(9, 6, requires_grad=True)
    bias = torch.tensor(0.5, requires_grad=True)

    def similarity(query, key):
        return bias * scorer.similarity(query, key)

    index = torch.randint(9, (5, 4))
    out = gather_similarity(similarity, query, key, index, (bias,))
    expected = similarity(query, key[index])
    assert torch.allclose(out, expected, atol=1e-6)
    weight = torch.randn(5, 4)
    grads = [torch.autograd.grad((x * weight).sum(), (query, key, bias)) for x in (out, expected)]
    for grad, other in zip(*grads, strict=True):
        assert torch.allclose(grad, other, atol=1e-5)


@pytest.mark.parametrize("scorer", [RotatE(4), DistMult(4)])
@pytest.mark.parametrize("size", [(0, 2), (3, 0), (0, 0)])
def test_nothing_to_gather(scorer, size):
    query, key = torch.randn(size[0], 4, requires_grad=True), torch.randn(3, 4, requires_grad=True)
    index = torch.empty(size, dtype=torch.long)
    out = gather_similarity(scorer.similarity, query, key, index)
    assert out.size() == size
    grads = torch.autograd.grad(out.sum(), (query, key))
    assert not grads[0].any() and not grads[1].any()


def test_similarity_that_is_a_view_of_its_keys(monkeypatch):
    monkeypatch.setattr(gather, "CHUNK", 1)
    query, key = torch.randn(5, 6), torch.randn(9, 6, requires_grad=True)
    index = torch.randint(9, (5, 4))
    out = gather_similarity(lambda query, key: key[..., 0], query, key, index)
    assert torch.equal(out, key[index][..., 0])
    (grad,) = torch.autograd.grad(out.sum(), key)
    assert torch.equal(grad[:, 0], index.view(-1).bincount(minlength=9).float())
    assert not grad[:, 1:].any()


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
    first, again = (
        next(x for grad, x in calls if grad == enabled and x.size(1) == 4)
        for enabled in (False, True)
    )
    assert first.dtype == again.dtype and torch.equal(first, again)
