import math
from collections import defaultdict
from itertools import product

import pytest
import torch
from torch_geometric.data import Data

from torch_imf.nn import RuleView, TypePrior
from torch_imf.nn.views.rules import POWER


@pytest.fixture(scope="module")
def data():
    # Random facts, of which those of the second relation mostly follow from the first one.
    generator = torch.Generator().manual_seed(0)
    head, rel, tail = torch.randint(12, (3, 90), generator=generator)
    rel = rel % 3
    triples = {(h, r, t) for h, r, t in zip(*(x.tolist() for x in (head, rel, tail)), strict=True)}
    triples |= {(t, 1, h) for h, r, t in triples if r == 0 and (h + t) % 3}
    head, rel, tail = torch.tensor(sorted(triples)).t()
    masks = torch.ones(len(rel), dtype=torch.bool), *torch.zeros(2, len(rel), dtype=torch.bool)
    masks = dict(zip(("train_mask", "val_mask", "test_mask"), masks, strict=True))
    sizes = {"num_nodes": 12, "num_relations": 3}
    return Data(edge_index=torch.stack([head, tail]), edge_type=rel, **masks, **sizes)


def tails_of(data):
    # (head, relation) -> tails, in both directions.
    out = defaultdict(set)
    facts = zip(*data.edge_index.tolist(), data.edge_type.tolist(), strict=True)
    for h, t, r in facts:
        out[h, r].add(t)
        out[t, r + data.num_relations].add(h)
    return out


def reach(tails, head, body):
    nodes = {head}
    for rel in body:
        nodes = set().union(*(tails[node, rel] for node in nodes)) if nodes else nodes
    return nodes - {head}


def mined(data, min_support=2, smoothing=2.0, min_confidence=0.01):
    # Naively, rules of paths by relation: their confidence by body.
    tails, num_types = tails_of(data), 2 * data.num_relations
    out = defaultdict(dict)
    for rel in range(num_types):
        heads = [h for h in range(data.num_nodes) if tails[h, rel]]
        for body in [(b,) for b in range(num_types) if b != rel] + list(
            product(range(num_types), repeat=2)
        ):
            found = {h: reach(tails, h, body) for h in heads}
            hits = sum(len(found[h] & tails[h, rel]) for h in heads)
            size = sum(map(len, found.values()))
            confidence = hits / max(size + smoothing, 1)
            if hits >= min_support and confidence >= min_confidence:
                out[rel][body] = min(confidence, 0.999)
    return out


def test_rules_are_those_of_a_naive_search(data):
    view, expected = RuleView(min_confidence=0.1).fit(data), mined(data, min_confidence=0.1)
    rules = zip(view.rules.t().tolist(), view.confidence.tolist(), strict=True)
    found = defaultdict(dict)
    for (rel, *body), confidence in rules:
        found[rel][tuple(x for x in body if x >= 0)] = confidence
    for rel, bodies in found.items():
        for body, confidence in bodies.items():
            assert confidence == pytest.approx(expected[rel][body], abs=1e-6)
    # The other ones lead from too few heads to tails by way of a third entity:
    lost = [b for rel in expected for b in expected[rel] if b not in found[rel]]
    assert len(lost) < 0.1 * sum(map(len, expected.values()))
    assert expected[1][3,] > 0.5 and found[1][3,] == pytest.approx(expected[1][3,])


def test_scores_are_those_of_the_rules(data):
    view, tails = RuleView().fit(data), tails_of(data)
    rules = list(zip(view.rules.t().tolist(), view.confidence.tolist(), strict=True))
    for head, rel in product(range(12), range(6)):
        out = {k: x[0] for k, x in view(torch.tensor([head]), torch.tensor([rel])).items()}
        paths, best = torch.zeros(12), torch.zeros(12)
        for (of, *body), confidence in rules:
            if of == rel:
                nodes = list(reach(tails, head, [x for x in body if x >= 0]))
                paths[nodes] -= math.log1p(-confidence)
                best[nodes] += confidence**POWER
        assert torch.allclose(out["paths"], paths, atol=1e-4)
        assert torch.allclose(out["best path"], best ** (1 / POWER), atol=1e-4)


def test_constants(data):
    # Naively: of the heads of a relation that have a fact, the share with an answer.
    view, tails = RuleView().fit(data), tails_of(data)
    for rel in range(6):
        heads = [h for h in range(12) if tails[h, rel]]
        for head in range(12):
            expected = torch.zeros(12)
            for b, d in product(range(6), range(12)):
                having = [h for h in heads if d in tails[h, b]]
                for c in range(12) if d in tails[head, b] else ():
                    hits = sum(c in tails[h, rel] for h in having)
                    confidence = hits / (len(having) + 2)
                    prior = sum(c in tails[h, rel] for h in heads) / len(heads)
                    good = confidence > max(0.02, 1.5 * prior) - 1e-6 and hits >= 2
                    if good and (b, d) != (rel, c):
                        expected[c] += confidence**POWER
            out = view(torch.tensor([head]), torch.tensor([rel]))["constants"][0]
            assert torch.allclose(out, expected ** (1 / POWER), atol=1e-4)


def test_candidates(data):
    # The rules with constants of the inverse relation, read from the tail.
    view = RuleView().fit(data)
    every = torch.arange(12)
    for rel in range(6):
        inverse = torch.full((12,), (rel + 3) % 6)
        expected = view(every, inverse)["constants"]  # [y, c]
        out = view(every, torch.full((12,), rel))["candidates"]
        assert torch.allclose(out, expected.t(), atol=1e-5) and out.max() > 0


def test_reasons_are_facts(data):
    view, tails = RuleView().fit(data), tails_of(data)
    best = view.confidence[(view.rules[0] == 1).nonzero().view(-1)].max()
    told = set()
    for head, tail in product(range(4), range(12)):
        reasons = view.reasons(head, 1, tail, k=100)
        assert [x.confidence for x in reasons] == sorted(x.confidence for x in reasons)[::-1]
        for rule in reasons:
            for a, b, c in zip(rule.path, rule.body, rule.path[1:], strict=False):
                assert c in tails[a, b]
            assert rule.path[0] == (head if rule.relation == 1 else tail)
            assert rule.confidence <= max(1, best)
            kind = "constant" if rule.relation == 1 else "candidate"
            told.add(len(rule.body) if rule.path[-1] == tail and rule.relation == 1 else kind)
        out = view(torch.tensor([head]), torch.tensor([1]))
        assert bool(reasons) == any(float(x[0, tail]) > 0 for x in out.values())
    assert told == {1, 2, "constant", "candidate"}


def test_words():
    facts = torch.tensor([[0, 1], [1, 2], [0, 2], [3, 4], [4, 5], [3, 5], [6, 7], [7, 8], [6, 8]])
    rel = torch.tensor([0, 0, 1] * 3)
    train = torch.ones(9, dtype=torch.bool)
    masks = {"train_mask": train, "val_mask": ~train, "test_mask": ~train}
    data = Data(edge_index=facts.t(), edge_type=rel, num_nodes=9, num_relations=2, **masks)
    view, names = RuleView().fit(data), (list("abcdefghi"), ["child of", "grandchild of"])
    (rule,) = (x for x in view.reasons(0, 1, 2) if len(x.body) == 2)
    # Three of three are right, and two failures are added:
    assert rule.confidence == pytest.approx(0.6) and rule.path == (0, 1, 2)
    assert rule.words(*names) == "a  child of  b  and  b  child of  c"
    # From tail to head, and by a fact that is followed backwards:
    (rule,) = (x for x in view.reasons(2, 3, 0) if len(x.body) == 2)
    assert rule.words(*names) == "a  child of  b  and  b  child of  c"
    assert any("a  grandchild of  c" in x.words(*names) for x in view.reasons(0, 0, 1))
    (seen,) = TypePrior().fit(data).reasons(0, 1, 2)
    assert seen.words(*names) == "c is tail of grandchild of in 1 training fact"
    (seen,) = TypePrior().fit(data).reasons(2, 3, 8)
    assert seen.words(*names) == "i is head of grandchild of in no training fact"


def test_bounds(data, refuses):
    assert int((RuleView(max_rules=2).fit(data).rules[0] == 0).sum()) == 2
    for words, kwargs in (
        ("'max_rules' needs to be positive", {"max_rules": 0}),
        ("'num_heads' needs to be positive", {"num_heads": 0}),
        (r"'min_confidence' is in \(0, 1\)", {"min_confidence": 1.0}),
        ("'smoothing' from 0 on", {"smoothing": -1.0}),
    ):
        refuses((words, lambda kwargs=kwargs: RuleView(**kwargs)))
