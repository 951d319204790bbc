import pytest
import torch

from torch_imf.data import relations
from torch_imf.data.relations import RelationPair, distinct_facts, find_pairs, implied_facts


def brute_force(facts, num_relations, threshold, min_facts):
    links = [{(h, t) for h, s, t in facts if s == r and h != t} for r in range(num_relations)]
    reverse = [{(t, h) for h, t in link} for link in links]
    out = {"inverse": set(), "duplicate": set(), "symmetric": set()}
    for r in range(num_relations):
        for s in range(r, num_relations):
            size = max(len(links[r]), len(links[s]), 1)
            if min(len(links[r]), len(links[s])) < min_facts:
                continue
            for kind, other in (
                ("symmetric" if r == s else "inverse", reverse),
                ("duplicate", links),
            ):
                num = len(links[r] & other[s])
                if num / size >= threshold and num > 0 and (r != s or kind == "symmetric"):
                    out[kind].add((r, s, num / size, num))
    return out


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("threshold, min_facts", [(0.8, 5), (0.3, 1), (0.5, 20)])
def test_find_pairs(seed, threshold, min_facts, monkeypatch):
    torch.manual_seed(seed)
    base = torch.randint(8, (3, 60)) * torch.tensor([[1], [0], [1]])
    parts = [base, base.flip(0)[:, :55], base[:, 3:], torch.randint(8, (3, 60))]
    parts[3][0], parts[3][2] = parts[3][[0, 2]].min(dim=0)[0], parts[3][[0, 2]].max(dim=0)[0]
    parts.append(parts[3].flip(0))
    for r, part in enumerate(parts):
        part[1] = r if r < 4 else 3
    fact = torch.cat(parts, dim=1).unique(dim=1)

    out = find_pairs(fact, 6, threshold, min_facts)
    expected = brute_force(set(zip(*fact.tolist(), strict=True)), 6, threshold, min_facts)
    for kind, pairs in expected.items():
        assert {(p.rel, p.other, p.num_facts) for p in out[kind]} == {(*p[:2], p[3]) for p in pairs}
        shares = {(p.rel, p.other): p.share for p in out[kind]}
        assert shares == pytest.approx({p[:2]: p[2] for p in pairs})
        nums = [p.num_facts for p in out[kind]]
        assert nums == sorted(nums, reverse=True)

    monkeypatch.setattr(relations, "CHUNK", 7)  # The same, bit by bit.
    assert find_pairs(fact, 6, threshold, min_facts) == out


def test_implied_facts():
    known = torch.tensor([[0, 1, 2, 4], [0, 1, 2, 2], [1, 2, 3, 4]])
    pairs = {
        "inverse": [RelationPair(0, 1, 1.0, 5)],
        "duplicate": [RelationPair(1, 2, 1.0, 5)],
        "symmetric": [RelationPair(2, 2, 1.0, 5)],
    }
    fact = torch.tensor([[1, 2, 1, 3, 0, 4], [1, 0, 2, 2, 1, 1], [0, 1, 2, 2, 1, 4]])
    out = implied_facts(fact, known, pairs, num_relations=3)
    assert out["inverse"].tolist() == [True, True, False, False, False, False]
    assert out["duplicate"].tolist() == [False, False, True, False, False, False]
    assert out["symmetric"].tolist() == [False, False, False, True, False, False]


def test_distinct_facts():
    num_nodes = num_relations = 2**31  # A key of all three needs more than 64 bits.
    edge_index = torch.tensor([[num_nodes - 1, 0, num_nodes - 1, 0], [num_nodes - 1, 5, 3, 5]])
    edge_type = torch.tensor([num_relations - 1, 7, num_relations - 1, 7])
    fact, index = distinct_facts(edge_index, edge_type, num_nodes, num_relations)
    assert fact.size() == (3, 3)
    assert torch.equal(fact[[0, 2]][:, index], edge_index)
    assert torch.equal(fact[1, index], edge_type)


def test_distinct_facts_of_small_integers():
    # Their product would overflow 32 bits:
    edge_index = torch.tensor([[99999, 5], [7, 3]], dtype=torch.int32)
    edge_type = torch.tensor([150, 2], dtype=torch.int32)
    fact, index = distinct_facts(edge_index, edge_type, 100000, 200)
    assert fact.tolist() == [[5, 99999], [2, 150], [3, 7]]
    assert index.tolist() == [1, 0]
