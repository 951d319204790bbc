import pytest
import torch

from torch_imf.data import TripletIndex
from torch_imf.sampler import UniformSampler


def random_triples(size: int, num_nodes: int, num_relations: int) -> list[torch.Tensor]:
    return [torch.randint(high, (size,)) for high in (num_nodes, num_relations, num_nodes)]


@pytest.mark.parametrize("num_known", [None, 0, 5, 40])
def test_uniform_sampler_draws_all_others_with_equal_probability(num_known):
    num_nodes, size = 7, 1000
    index, known = None, set()
    if num_known is not None:
        triples = random_triples(num_known, num_nodes, 2)
        index, known = TripletIndex(*triples), set(zip(*[x.tolist() for x in triples], strict=True))
    sampler = UniformSampler(num_nodes, index, size)
    # Also queries and tails that are in no fact:
    head_index, rel_type, tail_index = random_triples(30, num_nodes, 3)
    neg_index = sampler(head_index, rel_type, tail_index)
    for i, (h, r, t) in enumerate(
        zip(head_index.tolist(), rel_type.tolist(), tail_index.tolist(), strict=True)
    ):
        others = [x for x in range(num_nodes) if x != t]
        expected = [x for x in others if (h, r, x) not in known]
        if len(expected) == 0:
            assert set(neg_index[i].tolist()) == {-1}
            continue
        share = torch.bincount(neg_index[i], minlength=num_nodes) / size
        p = 1 / len(expected)
        assert set(neg_index[i].tolist()) == set(expected)
        assert (share[expected] - p).abs().max() <= 5 * (p * (1 - p) / size) ** 0.5


def test_uniform_sampler_if_all_are_known():
    zero = torch.zeros(4, dtype=torch.long)
    index = TripletIndex(zero, zero, torch.arange(4))
    neg_index = UniformSampler(4, index, 100)(zero[:1], zero[:1], torch.tensor([2]))
    assert set(neg_index[0].tolist()) == {-1}
    # The only unknown entity is the tail itself:
    index = TripletIndex(zero[:3], zero[:3], torch.tensor([0, 1, 3]))
    neg_index = UniformSampler(4, index, 100)(zero[:1], zero[:1], torch.tensor([2]))
    assert set(neg_index[0].tolist()) == {-1}
