from itertools import permutations, product

import pytest
import torch
import torch.nn.functional as F

from torch_imf.data import TripletIndex
from torch_imf.sampler import CrossModalAttention, MMRNSSampler, gumbel_top_k

N, R = 6, 2


def mmrns(index=None, **kwargs):
    x_dict = {"visual": torch.randn(N, 5), "text": torch.randn(N, 3)}
    return MMRNSSampler(N, CrossModalAttention(R, x_dict, temperature=0.5), index, **kwargs)


@pytest.fixture
def index():
    """The query (0, 1) has the answers 2 and 4; all others have none."""
    return TripletIndex(torch.tensor([0, 0]), torch.tensor([1, 1]), torch.tensor([2, 4]))


def one_fact(size):
    return [torch.full((size,), i) for i in (0, 1, 2)]


def test_mmrns_sampler(index):
    sampler = mmrns(index, num_negatives=2)
    assert str(sampler) == (
        f"MMRNSSampler(6, num_negatives=2, index={index}, attention=CrossModalAttention(2, "
        "{'visual': 5, 'text': 3}, hidden_channels=64), num_candidates=6)"
    )
    assert not any("x_" in name for name in sampler.state_dict())
    before = [p.clone() for p in sampler.parameters()]
    sampler.reset_parameters()
    assert not any(map(torch.equal, before, sampler.parameters()))


def test_frequencies(index):
    sampler, facts = mmrns(index), one_fact(20000)
    score = sampler.attention(facts[1][:1], facts[2][:1], torch.arange(N))[0].detach()
    expected = score.index_fill(0, torch.tensor([2, 4]), -torch.inf).softmax(dim=0)
    share = sampler(*facts).flatten().bincount(minlength=N) / 20000
    assert (share - expected).abs().max() < 0.015
    assert share[[2, 4]].sum() == 0


def test_candidates(index):
    sampler = mmrns(index, num_negatives=3, num_candidates=3)
    gaps = set()
    for _ in range(50):
        neg_index = sampler(*one_fact(4))
        is_none = neg_index == -1
        # All facts of a batch choose from the same three; known answers among them leave gaps:
        assert len(neg_index.unique()) <= 4
        assert not torch.isin(neg_index, torch.tensor([2, 4])).any()
        assert torch.equal(is_none, is_none.sort(dim=1).values)
        gaps.add(int(is_none[0].sum()))
    assert gaps == {0, 1, 2}
    assert mmrns(num_candidates=99).num_candidates == N


def test_contrastive_loss(index):
    sampler = mmrns(index)
    facts = torch.tensor([[0, 3], [1, 2], [2, 5]])
    score = sampler.attention(facts[1], facts[2], torch.arange(N))

    def naive(*answers):
        # The other answer of the first query is the tail or entity 4; the second has the tail only.
        total = 0.0
        for row, t, c in zip(score, answers, ([0, 1, 3, 5], range(5)), strict=True):
            total += torch.logaddexp(row[t], row[list(c)].logsumexp(dim=0)) - row[t]
        return total / 2

    expected = torch.stack([naive(2, 5), naive(4, 5)])
    _, params, loss_fn = sampler.objective()
    losses = torch.stack([loss_fn(*facts, facts.t()) for _ in range(20)])
    is_same = torch.isclose(losses.unsqueeze(1), expected, atol=1e-5)
    assert is_same.any(dim=1).all() and is_same.any(dim=0).all()
    losses[-1].backward()
    assert all(p.grad.abs().sum() > 0 for p in params)
    assert len(params) == len(list(sampler.attention.parameters()))


def test_facts_without_candidates():
    # All entities but the tail are answers, and it is none that is known.
    zero = torch.zeros(N, dtype=torch.long)
    sampler = mmrns(TripletIndex(zero[1:], zero[1:], torch.arange(1, N)))
    fact = zero[:1], zero[:1], zero[:1]
    assert sampler(*fact).tolist() == [[-1]]
    loss = sampler.loss(*fact)
    loss.backward()
    assert loss == 0 and all((p.grad == 0).all() for p in sampler.parameters())


def test_errors(index):
    x = torch.zeros(4, 3)
    with pytest.raises(ValueError, match="Cannot draw 5 .* from 6 candidates, if 2 of 6 ent"):
        mmrns(index, num_negatives=5)
    mmrns(index, num_negatives=4)
    with pytest.raises(ValueError, match="Cannot draw 3 .* from 2 candidates"):
        mmrns(num_negatives=3, num_candidates=2)
    with pytest.raises(ValueError, match="features of 4 entities .expected 7"):
        MMRNSSampler(7, CrossModalAttention(1, {"visual": x}))
    for match, args in (
        ("'temperature' needs to be positive", ({"visual": x}, None, 8, 0)),
        ("features of at least one modality", ({},)),
        (r"'text' need to be floats of shape \[4, ", ({"visual": x, "text": x[:3]},)),
        ("Mask of unknown modality 'text'", ({"visual": x}, {"text": torch.ones(4) > 0})),
    ):
        with pytest.raises(ValueError, match=match):
            CrossModalAttention(1, *args)


def test_attention_equals_the_equation():
    x_dict = {"visual": torch.randn(7, 5), "text": torch.randn(7, 3)}
    mask = torch.arange(7) != 2
    att = CrossModalAttention(2, x_dict, {"visual": mask}, hidden_channels=8, temperature=0.5)
    rel_type, tail_index = torch.tensor([0, 3, 1]), torch.tensor([4, 2, 0])
    key_index = torch.tensor([2, 6, 5, 1])
    out = att(rel_type, tail_index, key_index)
    assert out.size() == (3, 4)
    for i, (r, t) in enumerate(zip(rel_type, tail_index, strict=True)):
        rel = att.rel_emb(r)
        beta = att.att(rel).softmax(dim=0)
        for j, c in enumerate(key_index):
            expected = 0.0
            for weight, (p, q) in zip(beta, product(x_dict, x_dict), strict=True):
                query = (1 + rel) * att.query_lins[p](x_dict[p][t])
                key = att.key_lins[q](x_dict[q][c])
                has_both = (p == "text" or mask[t]) and (q == "text" or mask[c])
                cos = F.cosine_similarity(query, key, dim=0)
                expected = expected + weight * cos * bool(has_both) / 0.5
            assert torch.isclose(out[i, j], expected, atol=1e-5)

    att = CrossModalAttention(1, {"visual": torch.randn(4, 3)}, {"visual": torch.zeros(4) > 0})
    out = att(torch.tensor([0, 1]), torch.tensor([1, 2]), torch.arange(4))
    out.sum().backward()
    assert (out == 0).all() and all(p.grad.isfinite().all() for p in att.parameters())


@pytest.mark.parametrize("k", [1, 2, 3])
def test_top_k_inclusion_probabilities(k):
    size = 20000
    logits = torch.tensor([0.5, -1.0, 1.5, 0.0])
    prob = logits.softmax(dim=0).tolist()
    index = gumbel_top_k(logits.expand(size, 4), k)
    assert index.size() == (size, k) and all(len(set(row)) == k for row in index[:100].tolist())
    expected = torch.zeros(4)
    for order in permutations(range(4), k):  # Each draw is renormalised over what is left.
        p, rest = 1.0, 1.0
        for i in order:
            p, rest = p * prob[i] / rest, rest - prob[i]
        expected[list(order)] += p
    share = torch.bincount(index.flatten(), minlength=4) / size
    assert (share - expected).abs().max() < 0.015


def test_top_k_draws_masked_ones_last():
    mask = torch.tensor([True, False, True, False, False])
    index = gumbel_top_k(100 * torch.randn(50, 5), 4, mask.expand(50, 5))
    assert not mask[index[:, :3]].any() and mask[index[:, 3]].all()
