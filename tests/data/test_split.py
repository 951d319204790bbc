import pytest
import torch
from torch_geometric.data import Data

from torch_imf.data import audit, clean_split, inductive_split
from torch_imf.data.split import VAL_SHARE
from torch_imf.transforms import AddInverse

SPLITS = ("train", "val", "test")
NAMES = ("edge_index", "edge_type", "edge_row", "train_mask", "val_mask", "test_mask")


def random_graph(seed, broken, num_nodes=30, num_relations=4):
    # Facts are repeated in each split and between them, in order of splits; most validation facts
    # are in training or test if broken.
    generator = torch.Generator().manual_seed(seed)

    def draw(high, size):
        return torch.randint(high, (size,), generator=generator)

    size = 200 if broken else 5
    fact = torch.stack([draw(num_nodes, 400), draw(num_relations, 400), draw(num_nodes, 400)])
    fact = torch.cat([fact, fact[:, draw(300, size)], fact[:, draw(400, 30)]], dim=1)
    parts = [torch.tensor([0, 0, 2])[draw(3, 300)], torch.tensor([0, 1, 2])[draw(3, 100)]]
    split = torch.cat([*parts, torch.ones(size, dtype=torch.long), draw(4, 30)])  # 3: none.
    split, perm = split.sort(stable=True)
    return graph(fact[:, perm], split, num_nodes, num_relations)


def graph(fact, split, num_nodes, num_relations):
    return Data(
        edge_index=fact[[0, 2]],
        edge_type=fact[1],
        num_nodes=num_nodes,
        num_relations=num_relations,
        edge_row=torch.arange(split.numel()),
        weight=torch.arange(split.numel()).float(),
        lines=[f"line {i}" for i in range(split.numel())],
        x_text=torch.randn(num_nodes, 2),
        node_names=[f"node {i}" for i in range(num_nodes)],
        rel_names=[f"rel {i}" for i in range(num_relations)],
        **{f"{name}_mask": split == i for i, name in enumerate(SPLITS)},
    )


def rows(data, split):
    mask = data[f"{split}_mask"]
    (head, tail), rel = data.edge_index[:, mask], data.edge_type[mask]
    return list(zip(head.tolist(), rel.tolist(), tail.tolist(), strict=True))


def equal(data, other):
    return all(torch.equal(data[name], other[name]) for name in NAMES)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("broken", [False, True])
def test_clean_split(seed, broken):
    data = random_graph(seed, broken)
    published = {split: rows(data, split) for split in SPLITS}
    train, val, test = (set(published[split]) for split in SPLITS)
    assert (2 * len(val - train - test) < len(val)) == broken and not audit(data).is_clean
    before = data.clone()

    out = clean_split(data)
    assert equal(data, before)  # It is left as it was.
    assert audit(out).is_clean
    assert set(rows(out, "test")) == test
    if broken:
        pool = train.union(val) - test
        assert set(rows(out, "train")) | set(rows(out, "val")) == pool
        assert len(rows(out, "val")) == round(VAL_SHARE * len(pool)) > 0
        for columns in ([0, 2], [1]):  # Every entity and relation of the pool.
            of_pool, seen = ({x[i] for x in y for i in columns} for y in (pool, rows(out, "train")))
            assert of_pool == seen
    else:
        assert set(rows(out, "val")) == val - test
        assert set(rows(out, "train")) == train - val - test

    # Rows stay in order, and are the first of their fact:
    for split in SPLITS:
        first = {}
        for source in ("train", "val") if broken and split != "test" else (split,):
            for i, fact in zip(data[f"{source}_mask"].nonzero(), rows(data, source), strict=True):
                first.setdefault(fact, int(i))
        index = out.edge_row[out[f"{split}_mask"]].tolist()
        assert index == sorted(index) == [first[fact] for fact in rows(out, split)]

    # Attributes follow their rows, others are shared:
    assert torch.equal(out.edge_index, data.edge_index[:, out.edge_row])
    assert torch.equal(out.weight, out.edge_row.float())
    assert out.lines == [f"line {i}" for i in out.edge_row.tolist()]
    assert out.x_text is data.x_text and out.node_names is data.node_names
    assert out.num_nodes == 30 and out.rel_names is data.rel_names

    assert equal(clean_split(out, seed=1), out) and equal(clean_split(data), out)


def test_clean_split_draw():
    data = random_graph(seed=0, broken=True)
    out, other = clean_split(data, seed=0), clean_split(data, seed=1)
    assert set(rows(out, "val")) != set(rows(other, "val"))

    # The order of rows has no say:
    perm = torch.randperm(data.num_edges)
    split = data.val_mask.long() + 2 * data.test_mask.long()
    split[~(data.train_mask | data.val_mask | data.test_mask)] = 3
    fact = torch.stack([data.edge_index[0], data.edge_type, data.edge_index[1]])
    other = clean_split(graph(fact[:, perm], split[perm], 30, 4))
    for name in SPLITS:
        assert set(rows(other, name)) == set(rows(out, name))
    assert torch.equal(other.train_mask.nonzero().view(-1), torch.arange(len(rows(out, "train"))))


def test_clean_split_of_small_pool():
    # No validation fact if that takes an entity or relation from training:
    fact = torch.tensor([[0, 2, 0], [0, 1, 0], [1, 3, 1]])
    out = clean_split(graph(fact, torch.tensor([0, 0, 1]), num_nodes=4, num_relations=2))
    assert rows(out, "train") == [(0, 0, 1), (2, 1, 3)] and not out.val_mask.any()
    # One, if that can be spared:
    fact = torch.tensor([[0, 1, 0, 0], [0, 0, 0, 0], [1, 0, 0, 1]])
    out = clean_split(graph(fact, torch.tensor([0, 0, 0, 1]), num_nodes=2, num_relations=1))
    assert int(out.train_mask.sum()) == 2 and int(out.val_mask.sum()) == 1


def test_clean_split_leaves_the_rest_alone(fake):
    out = clean_split(fake)
    assert out is not fake and set(out.keys()) == set(fake.keys())
    for name, value in fake.to_dict().items():
        assert torch.equal(out[name], value) if torch.is_tensor(value) else out[name] == value
    # With as many rows as entities and relations:
    fact = torch.tensor([[0, 0, 1, 0], [0, 0, 1, 0], [1, 1, 2, 1]])
    for keep, expected in (([0, 2], [0, 1]), ([0, 1, 2, 3], [2, 3])):
        split = torch.tensor([2, 0, 1, 2] if len(keep) == 2 else [0, 0, 1, 2])[keep]
        data = graph(fact[:, keep], split, num_nodes=4, num_relations=4)
        out = clean_split(data)
        assert out.edge_row.tolist() == expected and out.x_text is data.x_text
        assert out.node_names is data.node_names and out.rel_names is data.rel_names


def test_clean_split_with_inverse():
    with pytest.raises(ValueError, match="inverse triples. Clean splits before 'AddInverse'"):
        clean_split(AddInverse()(random_graph(seed=0, broken=False)))


@pytest.mark.parametrize("inverse", [False, True])
def test_inductive_split(inverse):
    # Test facts have a test entity, validation facts a validation entity and no test entity.
    data = random_graph(seed=0, broken=False)
    data = AddInverse()(data) if inverse else data
    before = data.clone()
    out = inductive_split(data, val_nodes=[3, 4], test_nodes=torch.arange(30) == 5)
    assert equal(data, before)
    for split in SPLITS:
        for h, _, t in rows(out, split):
            kind = "test" if 5 in (h, t) else "val" if {3, 4} & {h, t} else "train"
            assert kind == split
    assert sum(len(rows(out, split)) for split in SPLITS) == data.num_edges


@pytest.mark.parametrize("seed", range(3))
def test_inductive_split_draws(fake, seed):
    among = torch.arange(fake.num_nodes) % 3 > 0
    out = inductive_split(fake, 0.1, 0.2, among, seed)
    seen = out.edge_index[:, out.train_mask].unique()
    new = [out.edge_index[:, out[f"{x}_mask"]].unique() for x in ("val", "test")]
    # As many as are asked for, of those, and no other one or relation is lost:
    lost = [x for x in torch.cat(new).unique().tolist() if x not in seen]
    assert among[lost].all() and len(lost) == sum(round(x * int(among.sum())) for x in (0.1, 0.2))
    assert set(seen.tolist()) | set(lost) == set(fake.edge_index.unique().tolist())
    assert out.edge_type[out.train_mask].unique().numel() == fake.num_relations
    assert equal_masks(inductive_split(fake, 0.1, 0.2, among, seed), out)
    assert not equal_masks(inductive_split(fake, 0.1, 0.2, among, seed + 1), out)


def equal_masks(data, other):
    return all(torch.equal(data[f"{x}_mask"], other[f"{x}_mask"]) for x in SPLITS)


def test_inductive_split_errors(fake, refuses):
    refuses(
        ("Shares of new entities need to be positive", lambda: inductive_split(fake, 0.1, 0.9)),
        ("2 entities are of both splits", lambda: inductive_split(fake, [3, 4, 5], [4, 5])),
        ("'val_nodes' needs to be a mask", lambda: inductive_split(fake, [0.5], [4])),
        ("'test_nodes' holds ids outside", lambda: inductive_split(fake, [3], [4000])),
        ("no fact for 'val_mask'", lambda: inductive_split(fake, torch.arange(0), [4])),
    )
