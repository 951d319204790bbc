from collections import defaultdict

import pytest
import torch

from torch_imf.data import TripletIndex
from torch_imf.data.index import both_sides
from torch_imf.sampler import BernoulliSampler, UniformSampler

N, R = 40, 4


def graph():
    # Many tails per head, many heads per tail, both, and no facts at all:
    head_index = torch.cat([torch.arange(2).repeat(15), torch.arange(30), torch.arange(20) % 7])
    tail_index = torch.cat([torch.arange(30), torch.arange(30) % 3, torch.arange(20) % 5])
    rel_type = torch.tensor([0, 1, 2]).repeat_interleave(torch.tensor([30, 30, 20]))
    return head_index, rel_type, tail_index


def statistics(head_index, rel_type, tail_index):
    tails, heads = defaultdict(set), defaultdict(set)
    for h, r, t in zip(*[x.tolist() for x in (head_index, rel_type, tail_index)], strict=True):
        tails[r, h].add(t)
        heads[r, t].add(h)

    def mean(sets, rel):
        sizes = [len(x) for (r, _), x in sets.items() if r == rel]
        return sum(sizes) / len(sizes)

    return {r: (mean(tails, r), mean(heads, r)) for r in set(rel_type.tolist())}


def test_share_of_head_corruptions():
    facts = graph()
    num_negatives = 2000
    index = TripletIndex(*both_sides(*facts, R))
    sampler = BernoulliSampler(N, index, num_negatives)
    assert str(sampler) == f"BernoulliSampler(40, num_negatives=2000, index={index})"
    head_index, rel_type, tail_index = both_sides(*facts, R)
    is_drawn = (sampler(head_index, rel_type, tail_index) >= 0).float()
    tail_side, head_side = is_drawn.split(facts[0].numel())
    for rel, (tph, hpt) in statistics(*facts).items():
        mask = facts[1] == rel
        num_tails, num_heads = tail_side[mask].sum(), head_side[mask].sum()
        assert abs(num_heads / (num_heads + num_tails) - tph / (tph + hpt)) < 0.01
        assert abs((num_heads + num_tails) / (mask.sum() * num_negatives) - 1) < 0.01
    assert statistics(*facts)[0] == (15, 1) and statistics(*facts)[1] == (1, 10)


def test_probability():
    facts = both_sides(*graph(), R)
    prob = BernoulliSampler(N, TripletIndex(*facts)).prob
    for rel, (tph, hpt) in statistics(*facts).items():
        assert torch.isclose(prob[rel], torch.tensor(hpt / (tph + hpt)))
    with pytest.raises(ValueError, match="needs an 'index' of the training facts"):
        BernoulliSampler(N, None)
    # Relations without facts, within the index and beyond it:
    assert prob[3] == prob[7] == 0.5 and prob.numel() == 8
    assert torch.allclose(prob[:3] + prob[4:7], torch.ones(3))
    neg_index = BernoulliSampler(N, TripletIndex(*facts), 2000)(*torch.tensor([[0], [99], [1]]))
    assert abs((neg_index >= 0).float().mean() - 0.5) < 0.05


def test_negatives_are_uniform():
    facts = both_sides(*graph(), R)
    index = TripletIndex(*facts)
    torch.manual_seed(1)
    neg_index = BernoulliSampler(N, index, 5)(*facts)
    torch.manual_seed(1)
    expected = UniformSampler(N, index, 5)(*facts)
    assert torch.equal(neg_index.where(neg_index >= 0, expected), expected)
