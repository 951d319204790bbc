import pytest
import torch

from torch_imf.data import TripletIndex
from torch_imf.data.index import both_sides
from torch_imf.sampler import BernoulliSampler, SharedSampler, UniformSampler


def random_triples(size: int, num_nodes: int, num_relations: int) -> list[torch.Tensor]:
    return [torch.randint(high, (size,)) for high in (num_nodes, num_relations, num_nodes)]


def rows(*index):
    return list(zip(*[x.tolist() for x in index], strict=True))


@pytest.mark.parametrize("num_known", [None, 0, 5, 40])
def test_uniform_sampler_draws_all_others_with_equal_probability(num_known):
    num_nodes, size = 7, 1000
    index, known = None, set()
    if num_known is not None:
        triples = random_triples(num_known, num_nodes, 2)
        index, known = TripletIndex(*triples), set(rows(*triples))
    sampler = UniformSampler(num_nodes, index, size)
    facts = random_triples(30, num_nodes, 3)  # Also queries and tails that are in no fact.
    for (h, r, t), drawn in zip(rows(*facts), sampler(*facts), strict=True):
        expected = [x for x in range(num_nodes) if x != t and (h, r, x) not in known]
        assert set(drawn.tolist()) == set(expected or [-1])
        if expected:
            share, p = torch.bincount(drawn, minlength=num_nodes) / size, 1 / len(expected)
            assert (share[expected] - p).abs().max() <= 5 * (p * (1 - p) / size) ** 0.5


N, R = 40, 4


def statistics(facts):
    # The average numbers of tails per head and of heads per tail of each relation.
    distinct = set(rows(*facts))
    for rel in {r for _, r, _ in distinct}:
        pairs = [(h, t) for h, r, t in distinct if r == rel]
        yield rel, *(len(pairs) / len(set(x)) for x in zip(*pairs, strict=True))


def test_bernoulli_sampler():
    # Many tails per head, many heads per tail, both, and no facts at all.
    head_index = torch.cat([torch.arange(2).repeat(15), torch.arange(30), torch.arange(20) % 7])
    tail_index = torch.cat([torch.arange(30), torch.arange(30) % 3, torch.arange(20) % 5])
    rel_type = torch.tensor([0, 1, 2]).repeat_interleave(torch.tensor([30, 30, 20]))
    graph = head_index, rel_type, tail_index
    facts, num_negatives = both_sides(*graph, R), 2000
    index = TripletIndex(*facts)
    sampler = BernoulliSampler(N, index, num_negatives)
    is_drawn = (sampler(*facts) >= 0).float()
    tail_side, head_side = is_drawn.split(graph[0].numel())
    expected = list(statistics(graph))
    assert expected[:2] == [(0, 15, 1), (1, 1, 10)]
    for rel, tph, hpt in expected:
        assert torch.isclose(sampler.prob[rel], torch.tensor(hpt / (tph + hpt)))
        mask = graph[1] == rel
        num_tails, num_heads = tail_side[mask].sum(), head_side[mask].sum()
        assert abs(num_heads / (num_heads + num_tails) - tph / (tph + hpt)) < 0.01
        assert abs((num_heads + num_tails) / (mask.sum() * num_negatives) - 1) < 0.01
    assert torch.allclose(sampler.prob[:3] + sampler.prob[4:7], torch.ones(3))
    # Relations without facts, within the index and beyond it:
    assert sampler.prob[3] == sampler.prob[7] == 0.5 and sampler.prob.numel() == 8
    neg_index = sampler(*torch.tensor([[0], [99], [1]]))
    assert abs((neg_index >= 0).float().mean() - 0.5) < 0.05
    # What is drawn is uniform:
    torch.manual_seed(1)
    neg_index = sampler(*facts)
    torch.manual_seed(1)
    expected = UniformSampler(N, index, num_negatives)(*facts)
    assert torch.equal(neg_index.where(neg_index >= 0, expected), expected)
    with pytest.raises(ValueError, match="'index' needs to be of type TripletIndex"):
        BernoulliSampler(N, None)


@pytest.mark.parametrize("filtered", [False, True])
def test_shared_sampler(filtered):
    size = 5000
    facts = random_triples(10, 6, 2)
    index = TripletIndex(*facts) if filtered else None
    sampler = SharedSampler(6, index, num_negatives=size, chunk_size=4)
    assert str(sampler) == f"SharedSampler(6, num_negatives=5000, index={index}, chunk_size=4)"
    neg_index, known = sampler(*facts), set(rows(*facts))
    for chunk, same in zip(neg_index.split(4), torch.arange(10).split(4), strict=True):
        drawn = chunk.max(dim=0).values  # Each is a negative of some fact of the chunk.
        for i, row in zip(same.tolist(), chunk, strict=True):
            h, r, t = (int(x[i]) for x in facts)
            banned = {x for x in range(6) if (filtered and (h, r, x) in known) or x == t}
            is_banned = torch.isin(drawn, torch.tensor(sorted(banned)))
            assert torch.equal(row[drawn >= 0], drawn.masked_fill(is_banned, -1)[drawn >= 0])
            share = row[row >= 0].bincount(minlength=6) / size
            others = [x for x in range(6) if x not in banned]
            assert (share[others] - 1 / 6).abs().max() < 0.03
    with pytest.raises(ValueError, match="'chunk_size' needs to be positive .got 0"):
        SharedSampler(5, chunk_size=0)
