import shutil
from unittest.mock import Mock

import pytest
import torch
import torch.nn.functional as F
from torch_geometric.data import Data

from torch_imf import datasets
from torch_imf.data import audit, mean_rank_percentile
from torch_imf.data.audit import SplitAudit
from torch_imf.transforms import AddInverse

SPLITS = ("train", "val", "test")


def graph(rows, num_nodes, num_relations, **kwargs):
    r"""A graph of rows :obj:`(head, rel, tail, split)`."""
    head, rel, tail, split = torch.tensor(rows, dtype=torch.long).view(-1, 4).t()
    kwargs |= {f"{name}_mask": split == i for i, name in enumerate(SPLITS)}
    sizes = {"num_nodes": num_nodes, "num_relations": num_relations}
    return Data(edge_index=torch.stack([head, tail]), edge_type=rel, **sizes, **kwargs)


def random_rows(seed, num_nodes=12):
    # With repetitions, leaks and self-loops; relation 1 is the inverse of 0, 3 a duplicate of 2, 4
    # symmetric, and 5 is rare.
    generator = torch.Generator().manual_seed(seed)

    def draw(high, size):
        return torch.randint(high, (size,), generator=generator)

    head, rel, tail = draw(num_nodes - 1, 60), draw(5, 60), draw(num_nodes - 1, 60)
    swap = {0: 1, 1: 0, 2: 3, 3: 2, 4: 4}
    facts = list(zip(head.tolist(), rel.tolist(), tail.tolist(), strict=True))
    facts += [(h, swap[r], t) if r in (2, 3) else (t, swap[r], h) for h, r, t in facts[:55]]
    facts += [facts[i] for i in draw(len(facts), 150)] + [(0, 5, 1)]
    split = torch.tensor([0, 0, 0, 0, 1, 2, 3])[draw(7, len(facts))]  # 3: none.
    rows = [(*fact, s) for fact, s in zip(facts, split.tolist(), strict=True)]
    return [rows[i] for i in torch.randperm(len(rows), generator=generator)]


def repeating(facts, num_relations, threshold, min_facts):
    r"""The relations that repeat each other, one pair after another."""
    links = [{(h, t) for h, s, t in facts if s == r and h != t} for r in range(num_relations)]
    out = {"inverse": set(), "duplicate": set(), "symmetric": set()}
    for r, one in enumerate(links):
        for s, other in enumerate(links[r:], start=r):
            both_ways = len(one & {(t, h) for h, t in other})
            counts = {"symmetric" if r == s else "inverse": both_ways}
            counts |= {"duplicate": len(one & other)} if r != s else {}
            for kind, num in counts.items():
                share = num / max(len(one), len(other), 1)
                if share >= threshold and num > 0 and min(len(one), len(other)) >= min_facts:
                    out[kind].add((r, s, share, num))
    return out


@pytest.mark.parametrize("threshold, min_facts", [(0.6, 4), (0.3, 1), (0.5, 20)])
@pytest.mark.parametrize("seed", range(4))
def test_audit(seed, threshold, min_facts):
    rows = random_rows(seed)
    data = graph(rows, num_nodes=12, num_relations=6)
    out = audit(data, threshold, min_facts)

    lists = {name: [row[:3] for row in rows if row[3] == i] for i, name in enumerate(SPLITS)}
    facts = {name: set(lists[name]) for name in SPLITS}
    train, test = facts["train"], facts["test"]
    nodes = {node for h, _, t in train for node in (h, t)}
    rels = {r for _, r, _ in train}
    for name in SPLITS:
        split, others = out.splits[name], [other for other in SPLITS if other != name]
        assert split == SplitAudit(
            rows=len(lists[name]),
            facts=len(facts[name]),
            exclusive_facts=len(facts[name].difference(*(facts[x] for x in others))),
            shared_rows={x: sum(fact in facts[x] for fact in lists[name]) for x in others},
            shared_facts={x: len(facts[name] & facts[x]) for x in others},
            unseen_node_rows=sum(not {h, t} <= nodes for h, _, t in lists[name]),
            unseen_relation_rows=sum(r not in rels for _, r, _ in lists[name]),
            loop_rows=sum(h == t for h, _, t in lists[name]),
        )
        assert split.duplicate_rows > 0 and min(split.shared_facts.values()) > 0

    assert (out.num_nodes, out.num_relations) == (12, 6)
    assert out.num_isolated_nodes == 12 - len({x for h, _, t, _ in rows for x in (h, t)}) >= 1
    assert out.test_reversed == sum(any((t, s, h) in train for s in range(6)) for h, _, t in test)
    linked = [any((h, s, t) in train and s != r for s in range(6)) for h, r, t in test]
    assert out.test_linked == sum(linked)

    pairs = repeating({row[:3] for row in rows}, 6, threshold, min_facts)
    assert {kind: set(map(tuple, found)) for kind, found in out.pairs.items()} == pairs
    for found in out.pairs.values():
        assert found == sorted(found, key=lambda pair: -pair.num_facts)
    implied = {kind: set() for kind in pairs}
    for h, r, t in test:
        for kind, found in pairs.items():
            for x, y in {x[:2] for x in found} | {x[1::-1] for x in found}:
                pair = (h, t) if kind == "duplicate" else (t, h)
                if x == r and h != t and (pair[0], y, pair[1]) in train:
                    implied[kind].add((h, r, t))
    implied["any"] = set().union(*implied.values())
    assert out.test_implied == {kind: len(x) for kind, x in implied.items()}
    if min_facts < 20:
        assert pairs["inverse"] and pairs["duplicate"] and pairs["symmetric"] and implied["any"]

    assert not out.is_clean and len(out.problems) == 7
    assert audit(AddInverse()(data.clone()), threshold, min_facts) == out


def test_audit_of_clean_graph(fake):
    out = audit(fake)
    assert out.is_clean and out.problems == []
    ((rel, other, share, num_facts),) = out.pairs["inverse"]
    assert (fake.rel_names[rel], fake.rel_names[other]) == ("next_to", "after")
    assert share == 1 and num_facts == int((fake.edge_type == rel).sum())
    is_after = fake.test_mask & (fake.edge_type == other)
    assert out.test_implied["inverse"] == out.test_implied["any"] == int(is_after.sum())


def test_findings():
    rows = [(0, 0, 1, 0), (0, 0, 1, 0), (1, 1, 0, 1), (0, 0, 1, 1), (1, 1, 0, 2), (2, 1, 2, 2)]
    out = audit(graph(rows, 2000, 2, rel_names=["likes", "is_liked_by"]), min_facts=1)
    assert (
        out.findings()
        == str(out).splitlines()
        == [
            "1 of 2 train rows are repeated.",
            "1 of 2 val rows (1 distinct facts) are in train as well.",
            "1 of 2 val rows (1 distinct facts) are in test as well.",
            "0 of 2 val facts are in no other split.",
            "Pass 'scheme=\"clean\"' to repair this.",
            "1,997 of 2,000 entities are in no fact.",
            "0 of 2 val facts have an entity that training lacks, 1 a relation.",
            "1 of 2 test facts have an entity that training lacks, 2 a relation.",
            "1 of 2 test facts follow from train by inverse, duplicate or symmetric relations:",
            "  inverse: likes | is_liked_by (100%)",
        ]
    )
    rows = [(h, r, h + 1, 0) for h in range(3) for r in range(5)]
    out = audit(graph(rows, 4, 5), min_facts=3).findings()  # Without names.
    assert out[:2] == [
        "No fact is in two splits.",
        "All entities and relations of val and test are in train.",
    ]
    assert out[3:] == [*(f"  duplicate: 0 | {i} (100%)" for i in (1, 2, 3)), "  duplicate: 7 more"]


def test_audit_errors():
    assert audit(graph([], 0, 0)).is_clean and audit(graph([], 0, 3)).is_clean
    with pytest.raises(ValueError, match="'edge_index' holds ids outside"):
        audit(graph([(0, 0, 1, 0)], num_nodes=1, num_relations=1))
    with pytest.raises(ValueError, match=r"it is 'dataset\[0\]'"):
        audit([1, 2])


# By dataset: validation and test rows with an unseen entity, and of an unseen relation; relations
# that are inverse, duplicate and symmetric, and test facts that follow from each, and from any; and
# test facts whose entities training links the other way round, and by another relation.
KNOWN = {
    "DB15K-mmrns": ([3, 77], [1, 7], [0, 2, 1], [0, 417, 3, 420], (678, 2519)),
    "DB15K-imf": ([105, 229], [5, 19], [0, 2, 1], [0, 874, 7, 881], (1235, 4620)),
    "FB15K-bordes": ([0] * 2, [0] * 2, [501, 140, 43], [38082, 3173, 4304, 43616], (45817, 18486)),
    "FB15K237-standard": ([9, 28], [0, 0], [0, 1, 21], [0, 0, 0, 0], (0, 0)),
    "MKGW-mmrns": ([333, 306], [1, 0], [2, 0, 5], [135, 0, 57, 192], (224, 449)),
    "MKGY-mmrns": ([400, 388], [0, 0], [0, 1, 1], [0, 581, 36, 617], (50, 704)),
    "WN9IMG-ikrl": ([0, 0], [0, 0], [4, 0, 1], [1176, 0, 10, 1186], (1186, 0)),
    "OpenMoji-17": ([0, 0], [0, 0], [0, 0, 0], [0, 0, 0, 0], (0, 0)),
    # With a third of its training facts:
    "YAGO15K-imf": ([2090, 4459], [1, 0], [0, 0, 0], [0, 0, 0, 0], (130, 4049)),
}
# What the splits of DB15K share: rows, facts, and facts that are in the other two.
LEAKS = {
    "DB15K-mmrns": [(79222, 79222, [6584, 0]), (9904, 7481, [6584, 824]), (9902, 9902, [0, 824])],
    "DB15K-imf": [
        *((69319, 64099, [1241, 2488]), (9903, 9774, [1241, 411]), (19806, 19275, [2488, 411]))
    ],
}


@pytest.mark.mirror
@pytest.mark.filterwarnings("ignore:YAGO15K holds only")
@pytest.mark.parametrize("key", KNOWN)
def test_audit_of_published_splits(key, tmp_path, monkeypatch):
    unseen_nodes, unseen_relations, pairs, implied, linked = KNOWN[key]
    name, version = key.split("-")
    monkeypatch.setattr("socket.create_connection", Mock(side_effect=OSError("no network")))
    dataset = getattr(datasets, name)(str(tmp_path), version, text=None, visual=None, numeric=None)
    shutil.rmtree(tmp_path)
    out = audit(dataset[0])
    splits = list(out.splits.values())
    assert [split.unseen_node_rows for split in splits] == [0, *unseen_nodes]
    assert [split.unseen_relation_rows for split in splits] == [0, *unseen_relations]
    assert out.num_isolated_nodes == (1554 if name == "YAGO15K" else 0)
    assert [len(found) for found in out.pairs.values()] == pairs
    assert list(out.test_implied.values()) == implied
    assert (out.test_reversed, out.test_linked) == linked
    assert out.is_clean == (key not in LEAKS)
    found = [(split.rows, split.facts, list(split.shared_facts.values())) for split in splits]
    assert found == LEAKS.get(key, found)
    if name == "MKGY":
        names = {out.rel_names[rel] for rel in out.pairs["duplicate"][0][:2]}
        assert names == {"playsFor", "isAffiliatedTo"}


def reference(*facts, x, mask, num_relations):
    x = x.double() - x[mask].double().mean(dim=0)
    facts = [(h, r, t) for h, r, t in torch.stack(facts, 1).tolist() if mask[h] and mask[t]]
    tails = sorted({t for _, _, t in facts})
    out = [[] for _ in range(num_relations)]
    for h, r, t in facts:
        score = F.cosine_similarity(x[h], x[tails])
        true = score[tails.index(t)]
        equal = (score - true).abs() < 1e-9
        rank = 1 + int(((score > true) & ~equal).sum()) + (int(equal.sum()) - 1) / 2
        out[r].append(rank / len(tails))
    return torch.tensor([sum(x) / len(x) if x else 1.0 for x in out])


@pytest.mark.parametrize("batch_size", [7, 1024])
def test_mean_rank_percentile(batch_size):
    head_index, tail_index = torch.randint(20, (2, 60))
    rel_type = torch.randint(3, (60,))
    x, mask = torch.randn(20, 5), torch.rand(20) < 0.8
    x[3], x[4], mask[3:5] = x[5], x[5], True  # Ties.
    x[~mask] = 100.0
    facts, sizes = (head_index, rel_type, tail_index), {"x": x, "num_relations": 4}
    out = mean_rank_percentile(*facts, mask=mask, **sizes, batch_size=batch_size)
    assert torch.allclose(out, reference(*facts, mask=mask, **sizes), atol=1e-6)
    assert out[3] == 1.0
    assert mean_rank_percentile(*facts, mask=mask & False, **sizes).tolist() == 4 * [1]
    with pytest.raises(ValueError, match=r"'rel_type' holds ids outside \[0, 2\)"):
        mean_rank_percentile(*facts, x, mask, 2)
