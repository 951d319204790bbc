import pytest
import torch

from torch_imf.data import TripletIndex
from torch_imf.sampler import CrossModalAttention, MMRNSSampler

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
