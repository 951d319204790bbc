import pytest
import torch

from torch_imf import Calibration, Predictor, calibrate
from torch_imf.answers.completion import find_domains
from torch_imf.data import TripletIndex


def test_domains(fake):
    size = 2 * fake.num_relations
    index = TripletIndex.from_data(fake, fake.train_mask)
    domains = find_domains(index, fake.num_nodes, fake.num_relations)
    # Independently, by sets:
    node, rel = index.queries()
    heads = [set(node[rel == r].tolist()) for r in range(size)]
    for r in range(size):
        alike = [heads[s] for s in range(size) if 2 * len(heads[s] & heads[r]) > len(heads[s])]
        assert domains[r].tolist() == sorted(set().union(heads[r], *alike))


def triple(fact):
    return fact.head_index, fact.rel_type, fact.tail_index


def brute_force(model, data, calibration, relations):
    # All facts that are not known and no loops, most likely first.
    known, head = TripletIndex.from_data(data), torch.arange(data.num_nodes)
    out = []
    for rel in relations:
        rel_type = torch.full_like(head, rel)
        score = model.eval().predict(head, rel_type)
        logit = calibration.logit(score)
        new = ~known.contains(head[:, None], rel_type[:, None], head) & ~torch.eye(len(head)).bool()
        for h, t in new.nonzero().tolist():
            out.append((float(logit[h, t]), (h, rel, t), float(score[h, t])))
    return sorted(out, reverse=True)


def check(facts, expected):
    logit = torch.tensor([x.probability for x in facts], dtype=torch.double).logit().tolist()
    for found, i in ((logit, 0), ([x.score for x in facts], 2)):
        assert found == pytest.approx([x[i] for x in expected], rel=1e-3, abs=1e-3)
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
        fits = [set(x.tolist()) for x in predictor.domains]
        sides = [(h in fits[r], t in fits[r + fake.num_relations]) for _, (h, r, t), _ in expected]
        fitting = [x for x, both in zip(expected, sides, strict=True) if all(both)]
        assert 100 < len(fitting) < len(expected)
        check(predictor.complete(50, relation), fitting[:50])
    everything = {triple(x) for x in predictor.complete(10**6, [0, 3], everyone=True)}
    assert everything == {x for _, x, _ in expected}


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
