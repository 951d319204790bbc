import pytest
import torch

from torch_imf.data import TripletIndex
from torch_imf.sampler import BernoulliSampler, NegativeLoader, UniformSampler
from torch_imf.transforms import AddInverse


def facts(fake):
    data = AddInverse()(fake.clone())
    head_index, tail_index = data.edge_index[:, data.train_mask]
    return head_index, data.edge_type[data.train_mask], tail_index


@pytest.mark.parametrize("shuffle", [False, True])
def test_every_fact_once_with_its_negatives(fake, shuffle):
    triples = facts(fake)
    index = TripletIndex(*triples)
    sampler = UniformSampler(fake.num_nodes, index, num_negatives=3)
    loader = NegativeLoader(*triples, sampler, batch_size=50, shuffle=shuffle)
    size = triples[0].numel()
    assert str(loader) == f"NegativeLoader({size}, sampler={sampler}, batch_size=50)"
    batches = list(loader)
    assert len(batches) == len(loader) == -(-size // 50)
    head_index, rel_type, tail_index, neg_index = (torch.cat(x) for x in zip(*batches, strict=True))
    rows = torch.stack([head_index, rel_type, tail_index], dim=1)
    expected = torch.stack(triples, dim=1)
    assert torch.equal(rows, expected) != shuffle
    assert sorted(rows.tolist()) == sorted(expected.tolist())
    assert neg_index.size() == (size, 3)
    assert not index.contains(head_index[:, None], rel_type[:, None], neg_index).any()


def test_resumes_from_the_random_state_alone(fake):
    triples = facts(fake)

    def loader():
        sampler = BernoulliSampler(fake.num_nodes, TripletIndex(*triples), num_negatives=3)
        return NegativeLoader(*triples, sampler, batch_size=100, shuffle=True)

    first = loader()
    list(first)
    state = torch.get_rng_state()
    expected = list(first)
    torch.set_rng_state(state)
    for batch, other in zip(loader(), expected, strict=True):
        assert all(map(torch.equal, batch, other))


def test_errors():
    five = torch.arange(5)
    with pytest.raises(ValueError, match="empty set of triples"):
        NegativeLoader(five[:0], five[:0], five[:0], UniformSampler(5))
    with pytest.raises(ValueError, match="'batch_size' needs to be positive"):
        NegativeLoader(five, five, five, UniformSampler(5), batch_size=0)
    with pytest.raises(ValueError, match=r"ids outside \[0, 4\)"):
        NegativeLoader(five, five, five, UniformSampler(4))
