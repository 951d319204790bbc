import pytest
import torch

from torch_imf.data import NegativeLoader, QueryLoader, TripletIndex
from torch_imf.sampler import BernoulliSampler, UniformSampler
from torch_imf.transforms import AddInverse


@pytest.fixture
def facts(fake):
    data = AddInverse()(fake.clone())
    head_index, tail_index = data.edge_index[:, data.train_mask]
    return head_index, data.edge_type[data.train_mask], tail_index


def rows(*columns):
    return list(zip(*(x.tolist() for x in columns), strict=True))


def test_query_loader(facts):
    index = TripletIndex(*facts)
    loader = QueryLoader(*facts, batch_size=7, shuffle=True)
    num_queries = index.queries()[0].numel()
    assert str(loader) == f"QueryLoader({index}, batch_size=7)"
    batches = list(loader)
    assert len(batches) == len(loader) == -(-num_queries // 7)
    seen = [x for h, r, (row, col) in batches for x in rows(h[row], r[row], col)]
    assert sorted(seen) == sorted(set(rows(*facts)))
    assert all(h.size() == r.size() and h.numel() <= 7 for h, r, _ in batches)


@pytest.mark.parametrize("shuffle", [False, True])
def test_negative_loader(fake, facts, shuffle):
    index, size = TripletIndex(*facts), facts[0].numel()
    sampler = UniformSampler(fake.num_nodes, index, num_negatives=3)
    loader = NegativeLoader(*facts, sampler, batch_size=50, shuffle=shuffle)
    assert str(loader) == f"NegativeLoader({size}, sampler={sampler}, batch_size=50)"
    batches = list(loader)
    assert len(batches) == len(loader) == -(-size // 50)
    *triples, neg_index = (torch.cat(x) for x in zip(*batches, strict=True))
    assert (rows(*triples) != rows(*facts)) == shuffle
    assert sorted(rows(*triples)) == sorted(rows(*facts))
    assert neg_index.size() == (size, 3)
    assert not index.contains(triples[0][:, None], triples[1][:, None], neg_index).any()


@pytest.mark.parametrize("negatives", [False, True])
def test_order_resumes_from_the_random_state_alone(fake, facts, negatives):
    def loader():
        sampler = BernoulliSampler(fake.num_nodes, TripletIndex(*facts), num_negatives=3)
        cls, args = (NegativeLoader, (sampler,)) if negatives else (QueryLoader, ())
        return cls(*facts, *args, batch_size=100, shuffle=True)

    first = loader()
    before, state = list(first), torch.get_rng_state()
    expected = list(first)
    assert not torch.equal(before[0][0], expected[0][0])
    torch.set_rng_state(state)
    for batch, other in zip(loader(), expected, strict=True):
        assert all(map(torch.equal, batch, other))


@pytest.mark.parametrize("cls", [QueryLoader, NegativeLoader])
def test_errors(cls):
    one = torch.zeros(3, 1, dtype=torch.long)
    args = (UniformSampler(5),) if cls is NegativeLoader else ()
    with pytest.raises(ValueError, match="empty set of triples"):
        cls(*one[:, :0], *args)
    with pytest.raises(ValueError, match="'batch_size' needs to be positive"):
        cls(*one, *args, batch_size=0)
    with pytest.raises(ValueError, match=r"ids outside \[0, 4\)"):
        NegativeLoader(*one + 4, UniformSampler(4))


@pytest.mark.parametrize("value, match", [(40, "ids outside"), (-2, "ids outside"), (None, "B, K")])
def test_negatives_that_are_none(facts, value, match):
    def sampler(head_index, rel_type, tail_index):
        size = (head_index.numel(), 3) if value is not None else (5,)
        return torch.full(size, value or 0)

    sampler.num_nodes = 40
    facts = tuple(x[:9] % 40 for x in facts)
    with pytest.raises(ValueError, match=match):
        list(NegativeLoader(*facts, sampler))
    sampler.num_nodes = None if value == -2 else 150
    if value == 40:
        assert len(list(NegativeLoader(*facts, sampler))) == 1
