import pytest
import torch

from torch_imf.data import NegativeLoader, QueryLoader, TripletIndex
from torch_imf.sampler import BernoulliSampler, UniformSampler
from torch_imf.transforms import AddInverse


def test_query_loader():
    head, rel = torch.randint(10, (80,)), torch.randint(3, (80,))
    tail = torch.randint(10, (80,))
    index = TripletIndex(head, rel, tail)
    loader = QueryLoader(head, rel, tail, batch_size=7, shuffle=True)
    num_queries = index.queries()[0].numel()
    assert len(loader) == -(-num_queries // 7)
    assert str(loader) == f"QueryLoader({index}, batch_size=7)"

    seen = set()
    batches = list(loader)
    assert len(batches) == len(loader)
    for h, r, (row, col) in batches:
        assert h.size() == r.size() and h.numel() <= 7
        seen |= set(zip(h[row].tolist(), r[row].tolist(), col.tolist(), strict=True))
    assert seen == set(zip(head.tolist(), rel.tolist(), tail.tolist(), strict=True))

    loader = QueryLoader(head, rel, tail, batch_size=7, drop_last=True)
    assert len(list(loader)) == len(loader) == num_queries // 7
    assert all(h.numel() == 7 for h, _, _ in loader)


def test_query_loader_order_follows_the_global_seed():
    head = torch.arange(30)
    loader = QueryLoader(head, head * 0, head, batch_size=10, shuffle=True)
    orders = []
    for _ in range(2):
        torch.manual_seed(1)
        orders.append(torch.cat([h for h, _, _ in loader]))
    assert torch.equal(*orders)
    assert not torch.equal(orders[0], torch.cat([h for h, _, _ in loader]))


@pytest.mark.parametrize(
    "size, kwargs, match",
    [
        (0, {}, "empty set of triples"),
        (1, {"batch_size": 0}, "'batch_size' needs to be positive"),
        (1, {"batch_size": 2, "drop_last": True}, "'drop_last' leaves no batch"),
    ],
)
def test_query_loader_errors(size, kwargs, match):
    with pytest.raises(ValueError, match=match):
        QueryLoader(*torch.zeros(3, size).long(), **kwargs)


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


def test_negative_loader_resumes_from_the_random_state_alone(fake):
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


def test_negative_loader_errors():
    five = torch.arange(5)
    with pytest.raises(ValueError, match="empty set of triples"):
        NegativeLoader(five[:0], five[:0], five[:0], UniformSampler(5))
    with pytest.raises(ValueError, match="'batch_size' needs to be positive"):
        NegativeLoader(five, five, five, UniformSampler(5), batch_size=0)
    with pytest.raises(ValueError, match=r"ids outside \[0, 4\)"):
        NegativeLoader(five, five, five, UniformSampler(4))
