import pytest
import torch

from torch_imf.data import TripletIndex
from torch_imf.transforms import AddInverse


def random_triples(num_triples=300, num_nodes=20, num_relations=4):
    return (
        torch.randint(num_nodes, (num_triples,)),
        torch.randint(num_relations, (num_triples,)),
        torch.randint(num_nodes, (num_triples,)),
    )


def test_triplet_index_equals_dict_of_sets():
    head, rel, tail = random_triples()
    index = TripletIndex(head, rel, tail)
    known = {}
    for h, r, t in zip(head.tolist(), rel.tolist(), tail.tolist(), strict=True):
        known.setdefault((h, r), set()).add(t)
    assert str(index) == f"TripletIndex({sum(map(len, known.values()))}, num_queries={len(known)})"

    h, r = torch.randint(25, (200,)), torch.randint(6, (200,))  # Some are unknown.
    row, col = index(h, r)
    assert torch.equal(row, row.sort().values)
    for i in range(200):
        expected = known.get((int(h[i]), int(r[i])), set())
        assert sorted(col[row == i].tolist()) == sorted(expected)

    t = torch.randint(25, (200, 7))
    out = index.contains(h[:, None], r[:, None], t)
    for i in range(200):
        expected = known.get((int(h[i]), int(r[i])), set())
        assert out[i].tolist() == [x in expected for x in t[i].tolist()]
    assert {(a, b) for a, b in zip(*map(torch.Tensor.tolist, index.queries()), strict=True)} == set(
        known
    )


@pytest.mark.parametrize("scale, is_composed", [(1, True), (2**31, False)])
def test_triplet_index_with_one_number_per_triple_or_two(scale, is_composed):
    # Far apart, ids of the same triples no longer fit one number:
    head, rel, tail = random_triples()
    index = TripletIndex(head * scale, rel, tail * scale)
    assert index.is_composed is is_composed
    known = set(zip(head.tolist(), rel.tolist(), tail.tolist(), strict=True))
    expected = torch.tensor(sorted(known))  # [E, 3]
    pos = torch.arange(index.key.numel())
    row, col = index.tails(pos)
    assert torch.equal(
        torch.stack([*index.queries(row), col], dim=1), expected * torch.tensor([scale, 1, scale])
    )

    h, r, t = torch.randint(25, (50, 1)), torch.randint(6, (50, 1)), torch.randint(25, (50, 9))
    out = index.contains(h * scale, r, t * scale)
    assert out.size() == (50, 9) and out.any() and not out.all()
    for i, j in torch.cartesian_prod(torch.arange(50), torch.arange(9)).tolist():
        assert out[i, j] == ((int(h[i]), int(r[i]), int(t[i, j])) in known)
    assert not index.contains(h * scale, r, t * scale + 20 * scale).any()
    found = index.find(h * scale, r)[1].view(-1)
    assert torch.equal(
        index(h[:, 0] * scale, r[:, 0]), index.tails(*index.find(h[:, 0] * scale, r[:, 0]))
    )
    assert found.tolist() == [
        (int(a), int(b)) in {x[:2] for x in known} for a, b in zip(h, r, strict=True)
    ]


def test_triplet_index_empty_and_duplicates():
    empty = torch.empty(0, dtype=torch.long)
    index = TripletIndex(empty, empty, empty)
    assert len(index) == 0
    assert index(torch.tensor([0, 1]), torch.tensor([0, 0])).size() == (2, 0)
    assert not index.contains(torch.tensor([0]), torch.tensor([0]), torch.tensor([0])).any()

    x = torch.tensor([3, 3, 3], dtype=torch.int32)
    index = TripletIndex(x, x, x)
    assert len(index) == 1
    assert index.contains(x, x, x).all()
    assert index(x[:1], x[:1]).tolist() == [[0], [3]]


def test_triplet_index_survives_keys_beyond_32_bits():
    head = torch.tensor([3_000_000, 2_999_999])
    rel = torch.tensor([5000, 4999])
    index = TripletIndex(head, rel, head)
    assert index(head, rel)[1].tolist() == head.tolist()
    assert index.contains(head, rel, head.flip(0)).tolist() == [False, False]


@pytest.mark.parametrize(
    "triples, match",
    [
        (([0, 1], [0], [1, 2]), "same length"),
        (([-1], [0], [0]), "outside"),
        (([0.5], [0], [0]), "integer"),
        (([[0]], [[0]], [[0]]), "one-dimensional"),
    ],
)
def test_triplet_index_errors(triples, match):
    with pytest.raises(ValueError, match=match):
        TripletIndex(*(torch.tensor(x) for x in triples))


def test_from_data_indexes_both_directions(fake):
    index = TripletIndex.from_data(fake)
    head, rel, tail = fake.edge_index[0], fake.edge_type, fake.edge_index[1]
    assert index.contains(head, rel, tail).all()
    assert index.contains(tail, rel + fake.num_relations, head).all()
    assert len(index) == 2 * torch.stack([head, rel, tail]).unique(dim=1).size(1)
    assert len(TripletIndex.from_data(AddInverse()(fake))) == len(index)

    part = TripletIndex.from_data(fake, fake.test_mask)
    assert not part.contains(head, rel, tail)[~fake.test_mask].any()
    assert part.contains(head, rel, tail)[fake.test_mask].all()
