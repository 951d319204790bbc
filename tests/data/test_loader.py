import pytest
import torch

from torch_imf.data import QueryLoader, TripletIndex


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
