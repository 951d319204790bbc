import pytest
import torch

from torch_imf import Calibration, Predictor, calibrate
from torch_imf.answers.completion import Domains
from torch_imf.data import TripletIndex


def test_domains(fake):
    size = 2 * fake.num_relations
    index = TripletIndex.from_data(fake, fake.train_mask)
    domains = Domains(index, fake.num_nodes, fake.num_relations)
    # Independently, by sets:
    node, rel = index.queries()
    heads = [set(node[rel == r].tolist()) for r in range(size)]
    for r in range(size):
        alike = [heads[s] for s in range(size) if 2 * len(heads[s] & heads[r]) > len(heads[s])]
        assert domains(r).tolist() == sorted(set().union(heads[r], *alike))


def test_first_facts():
    # Of three that have a job (0), two were born somewhere (1), and so may the third be. Of two
    # that have a flag (2), one has, which is no more than half.
    head, rel = torch.tensor([[0, 1, 2, 0, 1, 3, 0], [0, 0, 0, 1, 1, 2, 2]])
    domains = Domains(TripletIndex(head, rel, torch.full_like(head, 4)), 5, 3)
    assert domains(1).tolist() == [0, 1, 2] and domains(5).tolist() == []


def triple(fact):
    return fact.head_index, fact.rel_type, fact.tail_index


def brute_force(model, data, calibration, relations):
    # All facts that are not known and no loops, most likely first.
    (head, tail), rel = data.edge_index.tolist(), data.edge_type.tolist()
    known = set(zip(head, rel, tail, strict=True))
    out = []
    for rel in relations:
        head = torch.arange(data.num_nodes)
        score = model.eval().predict(head, torch.full_like(head, rel))
        for h, row in enumerate(calibration.logit(score).tolist()):
            rows = [(value, (h, rel, t), float(score[h, t])) for t, value in enumerate(row)]
            out += [x for x in rows if x[1] not in known and h != x[1][2]]
    return sorted(out, reverse=True)


def check(facts, expected):
    logit = torch.tensor([x.probability for x in facts], dtype=torch.double).logit()
    assert logit.tolist() == pytest.approx([x[0] for x in expected], rel=1e-3, abs=1e-3)
    assert [x.score for x in facts] == pytest.approx([x[2] for x in expected], rel=1e-3, abs=1e-3)
    # The same facts, apart from those that tie with the last one:
    assert len({x[1] for x in expected} & {triple(x) for x in facts}) >= len(expected) - 2


@pytest.mark.parametrize("norm", [1.0, 0.0])
@pytest.mark.parametrize(("loss", "batch_size"), [("ce", None), ("bce", 40)])
def test_complete_is_brute_force(fake, build, loss, batch_size, norm):
    model, calibration = build(fake, loss=loss), Calibration(1.5, norm, -1.0, is_prob=loss == "bce")
    predictor = Predictor(model, fake, calibration)
    predictor.batch_size = batch_size or predictor.batch_size
    for relation, rels in ((None, range(fake.num_relations)), ("has_topic", [3]), ([0, 3], [0, 3])):
        expected = brute_force(model, fake, calibration, rels)
        check(predictor.complete(50, relation, everyone=True), expected[:50])
        size = 2 * fake.num_relations
        pairs = {(h, r) for r in range(size) for h in predictor.domains(r).tolist()}
        sides = [((h, r), (t, r + fake.num_relations)) for _, (h, r, t), _ in expected]
        fitting = [x for x, both in zip(expected, sides, strict=True) if pairs.issuperset(both)]
        assert 100 < len(fitting) < len(expected)
        check(predictor.complete(50, relation), fitting[:50])
    assert {triple(x) for x in predictor.complete(10**6, 0, everyone=True)} == {
        x for _, x, _ in brute_force(model, fake, calibration, [0])
    }


def test_complete(fake, build):
    model = build(fake, loss="ce")
    facts = Predictor(model, fake).complete(5)
    assert facts == Predictor(model, fake, calibrate(model, fake)).complete(5) and model.training
    first, names = facts[0], fake.node_names
    assert (first.head, first.tail) == (names[first.head_index], names[first.tail_index])
    assert first.relation == fake.rel_names[first.rel_type]
    # Nobody fits a relation without training facts, but anybody may be asked:
    data = fake.clone()
    data.train_mask = fake.train_mask & (fake.edge_type != 0)
    predictor = Predictor(model, data, Calibration(1.0, 1.0, 0.0))
    assert predictor.complete(5, 0) == [] and len(predictor.complete(5, 0, everyone=True)) == 5
