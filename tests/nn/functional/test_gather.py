import pytest
import torch

from torch_imf import fit
from torch_imf.nn import KGE, Sampled
from torch_imf.nn.functional import gather, gather_similarity, grouped_mm
from torch_imf.nn.functional.gather import group_by_size
from torch_imf.nn.scorer import DistMult, RotatE
from torch_imf.registry import class_names


@pytest.mark.parametrize("sizes", [[1], [3, 0, 1], [1, 1, 2, 9, 40], [40, 1, 9, 1, 2], [0, 0]])
def test_grouped_mm_equals_naive(same, sizes):
    group = torch.arange(len(sizes)).repeat_interleave(torch.tensor(sizes))
    group = group[torch.randperm(group.numel())]
    x = torch.randn(group.numel(), 3, dtype=torch.double, requires_grad=True)
    matrix = torch.randn(len(sizes), 3, 5, dtype=torch.double, requires_grad=True)
    expected = (x.unsqueeze(1) @ matrix[group]).squeeze(1)
    same(grouped_mm(x, matrix, group), expected, [x, matrix])


def test_grouped_mm_can_be_traced():
    x, matrix, group = torch.randn(5, 3), torch.randn(4, 3, 2), torch.tensor([3, 0, 3, 1, 1])
    expected = grouped_mm(x, matrix, group)
    compiled = torch.compile(grouped_mm, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(x, matrix, group), expected)


def test_group_by_size():
    index = torch.tensor([7, 2, 2, 9, 2, 9])
    value, group = group_by_size(index)
    assert value.tolist() == [7, 9, 2]
    assert torch.equal(value[group], index)


@pytest.mark.parametrize("scorer", [RotatE(6), DistMult(6), None])
@pytest.mark.parametrize("size", [(5, 4), (0, 2), (3, 0), (0, 0)])
@pytest.mark.parametrize("chunk", [1, 50, 10**6])
def test_gather_similarity(monkeypatch, same, scorer, size, chunk):
    monkeypatch.setattr(gather, "CHUNK", chunk)
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
