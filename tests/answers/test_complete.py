import pytest
import torch

from torch_imf import Temperature, complete, fit_temperature
from torch_imf.answers.complete import Fact, Facts
from torch_imf.data import modalities
from torch_imf.nn import IMF, KGE

TEMPERATURE = Temperature(1.0, 1.0, 0.0)


def build(data, loss="ce"):
    return IMF(data.num_nodes, data.num_relations, 8, *modalities(data), loss=loss)


def brute_force(model, data, temperature, relations):
    # All facts that are not known and no loops, most likely first.
    known = set(
        zip(
            data.edge_index[0].tolist(),
            data.edge_type.tolist(),
            data.edge_index[1].tolist(),
            strict=True,
        )
    )
    out = []
    for rel in relations:
        head = torch.arange(data.num_nodes)
        logit = temperature.logit(model.eval().predict(head, torch.full_like(head, rel)))
        out += [
            (value, h, rel, t)
            for h, row in enumerate(logit.tolist())
            for t, value in enumerate(row)
            if (h, rel, t) not in known and h != t
        ]
    model.train()
    return sorted(out, reverse=True)


@pytest.mark.parametrize(("loss", "batch_size"), [("ce", None), ("bce", 40)])
def test_complete_is_brute_force(fake, loss, batch_size):
    model = build(fake, loss)
    temperature = Temperature(1.5, 0.8, -1.0, is_prob=loss == "bce")
    for relation, rels in ((None, range(fake.num_relations)), ("has_topic", [3]), ([0, 3], [0, 3])):
        facts = complete(model, fake, 50, relation, temperature, batch_size=batch_size)
        expected = brute_force(model, fake, temperature, rels)[:50]
        assert len(facts) == 50
        logit = torch.tensor([x.probability for x in facts]).logit()
        assert logit.tolist() == pytest.approx([x[0] for x in expected], rel=1e-3, abs=1e-3)
        # The same facts, apart from those that tie with the last one:
        assert len({x[1:] for x in expected} & {triple(x) for x in facts}) >= 48
    assert model.training


def triple(fact):
    return fact.head_index, fact.rel_type, fact.tail_index


def test_all_facts(fake):
    model = build(fake)
    facts = complete(model, fake, 10**6, "next_to", TEMPERATURE)
    expected = brute_force(model, fake, TEMPERATURE, [0])
    assert {triple(x) for x in facts} == {x[1:] for x in expected} and len(facts) == len(expected)
    fact = facts[0]
    assert fact.head == fake.node_names[fact.head_index] and fact.relation == "next_to"
    score = model.eval().predict(torch.tensor([fact.head_index]), torch.tensor([0]))
    assert fact.score == pytest.approx(float(score[0, fact.tail_index]), rel=1e-4)


def test_seen(fake):
    model = build(fake)
    facts = complete(model, fake, 10**6, [0, 3], TEMPERATURE, seen=True)
    mask = fake.train_mask
    (head, tail), rel = fake.edge_index[:, mask].tolist(), fake.edge_type[mask].tolist()
    heads, tails = set(zip(rel, head, strict=True)), set(zip(rel, tail, strict=True))
    everything = {triple(x) for x in complete(model, fake, 10**6, [0, 3], TEMPERATURE)}
    assert {triple(x) for x in facts} == {
        (h, r, t) for h, r, t in everything if (r, h) in heads and (r, t) in tails
    }


def test_loops(fake):
    # Entities may be answers to themselves in a relation that has such facts:
    data = fake.clone()
    data.edge_index = data.edge_index.clone()
    data.edge_index[1, 0] = data.edge_index[0, 0]
    assert bool(data.train_mask[0]) and int(data.edge_type[0]) == 0
    facts = complete(build(data), data, 10**6, [0, 1], TEMPERATURE)
    loops = [x.rel_type for x in facts if x.head_index == x.tail_index]
    assert len(loops) == data.num_nodes - 1 and set(loops) == {0}


def test_default_temperature(fake):
    model = build(fake)
    assert complete(model, fake, 5) == complete(model, fake, 5, None, fit_temperature(model, fake))


def test_print():
    fact = Fact(0, 0, 1, "Rome", "capital_of", "Italy", 4.5, 0.75)
    assert str(Facts([fact])).split("\n") == [
        "     head  relation    tail   probability  score",
        "  1  Rome  capital_of  Italy       75.0 %  4.500",
    ]
    assert str(Facts()) == "No fact is missing"


def test_errors(fake):
    model = KGE(fake.num_nodes, fake.num_relations, 8)
    for kwargs, match in (
        ({"k": 0}, "need to be positive"),
        ({"batch_size": 0}, "need to be positive"),
        ({"relation": "next_too"}, "Did you mean 'next_to'"),
        ({"relation": 5}, r"needs to be in \[0, 5\), the base relations"),
    ):
        with pytest.raises(ValueError, match=match):
            complete(model, fake, **kwargs)
    with torch.no_grad():
        model.node_emb.weight[3] = float("nan")
    with pytest.raises(ValueError, match="NaN or infinite"):
        complete(model, fake)
    assert model.training
