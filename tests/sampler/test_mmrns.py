from itertools import permutations

import pytest
import torch
import torch.nn.functional as F

from torch_imf.data import TripletIndex
from torch_imf.sampler import CrossModalAttention, MMRNSSampler, gumbel_top_k

N, R = 6, 2


def attention(temperature=0.5):
    x_dict = {"visual": torch.randn(N, 5), "text": torch.randn(N, 3)}
    return CrossModalAttention(R, x_dict, temperature=temperature)


def index():
    # The query (0, 1) has the answers 2 and 4; all others have none.
    return TripletIndex(torch.tensor([0, 0]), torch.tensor([1, 1]), torch.tensor([2, 4]))


def test_mmrns_sampler():
    sampler = MMRNSSampler(N, attention(), num_negatives=2)
    assert str(sampler) == (
        "MMRNSSampler(6, num_negatives=2, index=None, attention=CrossModalAttention(2, "
        "{'visual': 5, 'text': 3}, hidden_channels=64), num_candidates=6)"
    )
    before = [p.clone() for p in sampler.parameters()]
    sampler.reset_parameters()
    assert not any(map(torch.equal, before, sampler.parameters()))


@pytest.mark.parametrize("num_negatives", [1, 2])
def test_frequencies(num_negatives):
    size = 20000
    att = attention()
    sampler = MMRNSSampler(N, att, index(), num_negatives)
    head_index, rel_type, tail_index = (torch.full((size,), i) for i in (0, 1, 2))
    neg_index = sampler(head_index, rel_type, tail_index)
    score = att(rel_type[:1], tail_index[:1], torch.arange(N))[0].detach()
    p = score.index_fill(0, torch.tensor([2, 4]), -torch.inf).softmax(dim=0)
    expected = p
    if num_negatives == 2:  # Drawn first, or second after any other one.
        other = (p / (1 - p)).unsqueeze(0) * (1 - torch.eye(N))
        expected = p + p * other.sum(dim=1)
    share = neg_index.flatten().bincount(minlength=N) / size
    assert (share - expected).abs().max() < 0.015
    assert share[[2, 4]].sum() == 0


def test_gradient_reaches_all_parameters():
    sampler = MMRNSSampler(N, attention(), index(), num_negatives=2)
    facts = torch.tensor([[0, 0, 3], [1, 1, 2], [2, 4, 5]])
    neg_index, weight = sampler.sample(*facts)
    assert neg_index.size() == weight.size() == (3, 2) and (weight == 1).all()
    (weight * torch.randn(3, 2)).sum().backward()
    assert all(p.grad.abs().sum() > 0 for p in sampler.parameters())


def test_weights_train_the_attention():
    cost = torch.tensor([0.0, 1.0, 0.0, 3.0, 0.0, 2.0])
    sampler = MMRNSSampler(N, attention(), index())
    optimizer = torch.optim.Adam(sampler.parameters(), lr=0.01)
    head_index, rel_type, tail_index = (torch.full((64,), i) for i in (0, 1, 2))
    for _ in range(60):
        optimizer.zero_grad()
        neg_index, weight = sampler.sample(head_index, rel_type, tail_index)
        (weight * (cost[neg_index] - 1)).mean().backward()
        optimizer.step()
    # Of the four that are no answers, only the first costs nothing:
    assert (sampler(head_index, rel_type, tail_index) == 0).float().mean() > 0.8


def test_candidates():
    sampler = MMRNSSampler(N, attention(), index(), num_negatives=3, num_candidates=3)
    head_index, rel_type, tail_index = (torch.full((4,), i) for i in (0, 1, 2))
    gaps = []
    for _ in range(50):
        neg_index, weight = sampler.sample(head_index, rel_type, tail_index)
        is_none = neg_index == -1
        assert torch.equal(weight, (~is_none).float())
        # All facts of a batch choose from the same three; known answers among them leave gaps:
        assert (
            len(neg_index.unique()) <= 4 and not torch.isin(neg_index, torch.tensor([2, 4])).any()
        )
        assert torch.equal(is_none, is_none.sort(dim=1).values)
        gaps.append(int(is_none[0].sum()))
    assert set(gaps) == {0, 1, 2}


def test_contrastive_loss():
    att = attention()
    sampler = MMRNSSampler(N, att, index())
    facts = torch.tensor([[0, 3], [1, 2], [2, 5]])
    score = att(facts[1], facts[2], torch.arange(N))
    # The other answer of the first query is the tail or entity 4; the second has only the tail:
    negatives = [torch.tensor([0, 1, 3, 5]), torch.arange(5)]
    expected = {
        answer: sum(
            torch.logaddexp(score[i, t], score[i, c].logsumexp(dim=0)) - score[i, t]
            for i, (t, c) in enumerate(zip((answer, 5), negatives, strict=True))
        )
        / 2
        for answer in (2, 4)
    }
    found = set()
    _, params, loss_fn = sampler.objective()
    for _ in range(20):
        loss = loss_fn(*facts, facts.t())
        found |= {answer for answer, x in expected.items() if torch.isclose(loss, x, atol=1e-5)}
        assert any(torch.isclose(loss, x, atol=1e-5) for x in expected.values())
    assert found == {2, 4}
    loss.backward()
    assert all(p.grad.abs().sum() > 0 for p in params)
    assert len(params) == len(list(att.parameters()))


def test_facts_without_candidates():
    # All entities but the tail are answers, and it is none that is known.
    zero = torch.zeros(N, dtype=torch.long)
    sampler = MMRNSSampler(N, attention(), TripletIndex(zero[1:], zero[1:], torch.arange(1, N)))
    neg_index, weight = sampler.sample(zero[:1], zero[:1], zero[:1])
    assert neg_index.tolist() == [[-1]] and weight.tolist() == [[0.0]]
    loss = weight.sum() + sampler.loss(zero[:1], zero[:1], zero[:1])
    loss.backward()
    assert loss == 0 and all((p.grad == 0).all() for p in sampler.parameters())


def test_bad_input():
    with pytest.raises(ValueError, match="Cannot draw 5 .*: there are 6 candidates, and 4 ent"):
        MMRNSSampler(N, attention(), index(), num_negatives=5)
    MMRNSSampler(N, attention(), index(), num_negatives=4)
    with pytest.raises(ValueError, match="Cannot draw 3 .*: there are 2 candidates"):
        MMRNSSampler(N, attention(), num_negatives=3, num_candidates=2)
    with pytest.raises(ValueError, match="'num_candidates' needs to be at most 6"):
        MMRNSSampler(N, attention(), num_candidates=7)
    with pytest.raises(ValueError, match="'temperature' needs to be positive"):
        MMRNSSampler(N, attention(), temperature=0.0)
    with pytest.raises(ValueError, match="features of 6 entities .expected 7"):
        MMRNSSampler(7, attention())


def test_attention_equals_the_equation():
    x_dict = {"visual": torch.randn(7, 5), "text": torch.randn(7, 3)}
    mask = torch.arange(7) != 2
    att = CrossModalAttention(2, x_dict, {"visual": mask}, hidden_channels=8, temperature=0.5)
    assert str(att) == "CrossModalAttention(2, {'visual': 5, 'text': 3}, hidden_channels=8)"
    assert not any(name.startswith("x_") for name in att.state_dict())
    rel_type, tail_index = torch.tensor([0, 3, 1]), torch.tensor([4, 2, 0])
    key_index = torch.tensor([2, 6, 5, 1])
    out = att(rel_type, tail_index, key_index)
    assert out.size() == (3, 4)
    for i, (r, t) in enumerate(zip(rel_type, tail_index, strict=True)):
        rel = att.rel_emb(r)
        beta = att.att(rel).softmax(dim=0).tolist()
        for j, c in enumerate(key_index):
            expected, pairs = 0.0, iter(beta)
            for p in x_dict:
                for q in x_dict:
                    weight = next(pairs)
                    query = (1 + rel) * att.query_lins[p](x_dict[p][t])
                    key = att.key_lins[q](x_dict[q][c])
                    has_both = (p == "text" or mask[t]) and (q == "text" or mask[c])
                    cos = F.cosine_similarity(query, key, dim=0)
                    expected = expected + weight * cos * bool(has_both) / 0.5
            assert torch.isclose(out[i, j], expected, atol=1e-5)


def test_attention_is_finite_without_modalities():
    att = CrossModalAttention(1, {"visual": torch.randn(4, 3)}, {"visual": torch.zeros(4).bool()})
    out = att(torch.tensor([0, 1]), torch.tensor([1, 2]), torch.arange(4))
    out.sum().backward()
    assert (out == 0).all()
    assert all(p.grad.isfinite().all() for p in att.parameters())
    before = [p.clone() for p in att.parameters()]
    att.reset_parameters()
    assert not any(map(torch.equal, before, att.parameters()))


def test_bad_input_of_attention():
    x = torch.randn(4, 3)
    with pytest.raises(ValueError, match="need to be positive .got 1, 64 and 0"):
        CrossModalAttention(1, {"visual": x}, temperature=0)
    ones = torch.ones(4, dtype=torch.bool)
    for x_dict, mask_dict in (
        ({}, None),
        ({"visual": x, "text": torch.randn(5, 3)}, None),
        ({"visual": x[0]}, None),
        ({"visual": x}, {"visual": ones[:3]}),
        ({"visual": x}, {"text": ones}),
    ):
        with pytest.raises(ValueError, match="of at least one modality, and masks"):
            CrossModalAttention(1, x_dict, mask_dict)


def order_probability(prob, order):
    # Of draws in this order, each renormalised over what is left:
    out, rest = 1.0, 1.0
    for i in order:
        out, rest = out * prob[i] / rest, rest - prob[i]
    return out


@pytest.mark.parametrize("k", [1, 2, 3])
def test_top_k_inclusion_probabilities(k):
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


def test_top_k_draws_masked_ones_last():
    logits = (100 * torch.randn(50, 5)).requires_grad_()
    mask = torch.tensor([True, False, True, False, False])
    index, weight = gumbel_top_k(logits, 4, 0.1, mask.expand(50, 5))
    assert not mask[index[:, :3]].any() and mask[index[:, 3]].all()
    weight.masked_fill(mask[index], 0).square().sum().backward()
    assert logits.grad.isfinite().all() and (logits.grad[:, mask] == 0).all()
