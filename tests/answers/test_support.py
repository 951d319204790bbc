import pytest
import torch
import torch.nn.functional as F
from torch_geometric.data import Data

from torch_imf.answers.support import find_paths, nearest_facts


def graph():
    # a -r-> b, a -s-> b, a -r-> c, c -s-> b, b -r-> d, d -r-> a; a -r-> e -r-> b only in test.
    triples = [[0, 0, 1], [0, 1, 1], [0, 0, 2], [2, 1, 1], [1, 0, 3], [3, 0, 0], [0, 0, 4]]
    head, rel, tail = torch.tensor([*triples, [4, 0, 1]]).t()
    train = torch.arange(8) < 6
    return Data(
        edge_index=torch.stack([head, tail]),
        edge_type=rel,
        num_nodes=5,
        num_relations=2,
        train_mask=train,
        val_mask=torch.zeros(8, dtype=torch.bool),
        test_mask=~train,
        node_names=["a", "b", "c", "d", "e"],
        rel_names=["r", "s"],
    )


def test_find_paths():
    data = graph()
    paths = find_paths(data, 0, 0, 1, k=10)
    # The fact itself is no path, nor is one of test facts; c and d have two facts each.
    assert paths == [
        ("a", "s", "b"),
        ("a", "r", "c", "s", "b"),
        ("a", "r^-1", "d", "r^-1", "b"),
    ]
    assert find_paths(data, 0, 0, 1, k=2) == paths[:2]
    assert find_paths(data, 1, 0, 0, k=1) == [("b", "r^-1", "a")]
    assert find_paths(data, 0, 0, 4, k=3) == []


def test_find_paths_prefers_rare_entities(fake):
    degree = torch.bincount(fake.edge_index[:, fake.train_mask].view(-1))
    paths = find_paths(fake, 0, 0, 1, k=100)
    middle = [fake.node_names.index(p[2]) for p in paths if len(p) == 5]
    assert degree[middle].tolist() == sorted(degree[middle].tolist())


def test_nearest_facts(fake):
    z = torch.randn(fake.num_nodes, 4)
    i = int((fake.train_mask & (fake.edge_type == 2)).nonzero()[0])
    h, t = fake.edge_index[:, i].tolist()
    x = z - z.mean(dim=0)
    expected = {}
    for j in (fake.train_mask & (fake.edge_type == 2)).nonzero().view(-1).tolist():
        a, b = fake.edge_index[:, j].tolist()
        cos = F.cosine_similarity(x[[a, b]], x[[h, t]], dim=-1)
        expected[fake.node_names[a], "has_colour", fake.node_names[b]] = float(cos.mean())
    del expected[fake.node_names[h], "has_colour", fake.node_names[t]]
    best = sorted(expected, key=expected.__getitem__, reverse=True)
    facts = nearest_facts(fake, z, h, 2, t, k=6)
    assert [(f.head, f.relation, f.tail) for f in facts] == best[:6]
    assert [f.similarity for f in facts] == pytest.approx([expected[f] for f in best[:6]], abs=1e-5)
    assert len(nearest_facts(fake, z, h, 2, t, k=10**4)) == len(expected)
