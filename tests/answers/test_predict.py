import math

import pytest
import torch

from torch_imf.answers.predict import Answers, Completion, predict
from torch_imf.answers.probability import Temperature
from torch_imf.data import modalities
from torch_imf.nn import IMF, KGE


def test_predict(fake):
    model = IMF(fake.num_nodes, fake.num_relations, 8, *modalities(fake))
    head, rel = fake.edge_index[0, :3], fake.edge_type[:3]
    out = predict(model, fake, head, rel, k=5)
    assert [len(answers) for answers in out] == [5, 5, 5]
    score = model.eval().predict(head, rel)
    facts = set(
        zip(
            fake.edge_index[0].tolist(),
            fake.edge_type.tolist(),
            fake.edge_index[1].tolist(),
            strict=True,
        )
    )
    for i, answers in enumerate(out):
        assert [a.index for a in answers] == score[i].topk(5).indices.tolist()
        for answer in answers:
            assert answer.name == fake.node_names[answer.index]
            assert answer.score == pytest.approx(float(score[i, answer.index]))
            assert answer.known == ((int(head[i]), int(rel[i]), answer.index) in facts)
            assert list(answer.views) == list(answer.weights) == model.views
            parts = [answer.weights[v] / (1 + math.exp(-x)) for v, x in answer.views.items()]
            assert answer.score == pytest.approx(sum(parts))
            assert list(answer.parts.values()) == pytest.approx(parts)


def test_predict_hides_known_facts(fake):
    model = IMF(fake.num_nodes, fake.num_relations, 8, *modalities(fake))
    i = int(fake.test_mask.nonzero()[0])
    h, r, t = int(fake.edge_index[0, i]), int(fake.edge_type[i]), int(fake.edge_index[1, i])
    nothing = torch.zeros_like(fake.test_mask)
    (answers,) = predict(model, fake, h, r, k=fake.num_nodes, keep=nothing)
    assert not any(a.known for a in answers) and t not in {a.index for a in answers}
    (answers,) = predict(model, fake, h, r, k=fake.num_nodes, keep=fake.test_mask)
    assert t in {a.index for a in answers if a.known}
    # Heads are tails of the inverse:
    (answers,) = predict(model, fake, t, r + fake.num_relations, k=fake.num_nodes)
    assert h in {a.index for a in answers if a.known}


def test_predict_by_name(fake):
    model = IMF(fake.num_nodes, fake.num_relations, 8, *modalities(fake), loss="ce")
    rel = fake.rel_names.index("has_topic")
    answers = predict(model, fake, head="Thing_3", relation="has_topic", k=4)
    assert isinstance(answers, Answers) and answers.query == "thing 3  has_topic  ?"
    assert answers == predict(model, fake, 3, rel, k=4)[0]
    for answer in answers:
        assert sum(answer.parts.values()) == pytest.approx(answer.score, abs=1e-5)
        assert answer.node_id == fake.node_ids[answer.index] and answer.probability is None
    # Heads are the tails of the inverse relation, by name or number, alone or together:
    answers = predict(model, fake, tail="topic 2", relation="has_topic", k=4)
    topic = fake.node_names.index("topic 2")
    assert answers.query == "?  has_topic  topic 2"
    inverse = predict(model, fake, topic, rel + fake.num_relations, k=4)[0]
    assert answers == inverse == predict(model, fake, relation=rel, tail=topic, k=4)[0]
    both = predict(model, fake, ["thing 3", "thing 4"], "has_topic", k=4, batch_size=1)
    other = predict(model, fake, torch.tensor([3, 4]), torch.tensor([rel, rel]), k=4)
    assert [a.query for a in both] == [a.query for a in other]
    for one, two in zip(both, other, strict=True):
        assert [a.index for a in one] == [a.index for a in two]


def test_known_and_probability(fake):
    model = IMF(fake.num_nodes, fake.num_relations, 8, *modalities(fake))
    temperature = Temperature(2.0, 0.5, 1.0, is_prob=True)
    kwargs = {"k": fake.num_nodes, "temperature": temperature}
    marked = predict(model, fake, "thing 3", "next_to", known="mark", **kwargs)
    removed = predict(model, fake, "thing 3", "next_to", known="remove", **kwargs)
    assert len(marked) == fake.num_nodes - 1 and any(a.known for a in marked)  # All but itself.
    assert removed == [a for a in marked if not a.known]
    score = model.eval().predict(torch.tensor([3]), torch.tensor([0]))
    probability = temperature(score)[0]
    assert [a.probability for a in marked] == pytest.approx(
        [float(probability[a.index]) for a in marked]
    )


def test_print():
    one = Completion(7, "Rome", 0.5, True, parts={"text": 0.5}, probability=0.25)
    two = Completion(8, "San Marino", -12.0, False, parts={"text": -12.0}, probability=0.0)
    assert str(Answers([one, two], "Italy  capital  ?")).split("\n") == [
        "Italy  capital  ?",
        "     answer             probability    score  of text",
        "  1  Rome        known       25.0 %    0.500    0.500",
        "  2  San Marino             < 0.1 %  -12.000  -12.000",
    ]
    assert str(Answers([], "a  b  ?")) == "a  b  ?\n  no answer is left"


def test_errors_of_queries(fake):
    model = KGE(fake.num_nodes, fake.num_relations, 8)
    for kwargs, match in (
        ({"head": "thing 3", "relation": "next_too"}, "Did you mean 'next_to'"),
        ({"head": "think 3", "relation": "next_to"}, "no entity 'think 3'. Did you mean 'thing 3'"),
        ({"head": 3}, "Give 'relation' and one of"),
        ({"relation": 0}, "Give 'relation' and one of"),
        ({"head": 3, "tail": 4, "relation": 0}, "Give 'relation' and one of"),
        ({"head": 3, "relation": 0, "known": "hide"}, "Invalid 'known' argument"),
        ({"head": 3, "relation": 0, "batch_size": 0}, "need to be positive|needs to be positive"),
        ({"head": ["thing 3", 4], "relation": 0}, "'head' needs to hold either names or numbers"),
        ({"tail": [], "relation": 0}, "'tail' is empty"),
        ({"head": object(), "relation": 0}, "'head' needs to be names or numbers"),
        ({"head": [1, 2], "relation": [0, 1, 2]}, "same length"),
        ({"head": 0.5, "relation": 0}, "'head_index' needs to be a one-dimensional integer"),
    ):
        with pytest.raises(ValueError, match=match):
            predict(model, fake, **kwargs)


def test_errors(fake):
    model = IMF(fake.num_nodes, fake.num_relations, 8)
    with pytest.raises(ValueError, match="'k' needs to be positive"):
        predict(model, fake, 0, 0, k=0)
    with pytest.raises(ValueError, match="'head_index' holds ids outside"):
        predict(model, fake, fake.num_nodes, 0)
    with torch.no_grad():
        model.node_emb.weight[3] = float("nan")
    with pytest.raises(ValueError, match="NaN or infinite scores"):
        predict(model, fake, 0, 0)
    assert model.training


def test_loops(fake):
    model = IMF(fake.num_nodes, fake.num_relations, 8, *modalities(fake))
    everyone = {"head": list(range(fake.num_nodes)), "k": fake.num_nodes}
    for head, answers in enumerate(predict(model, fake, relation=0, **everyone)):
        assert head not in {answer.index for answer in answers}
    # One training fact of the kind, and entities may be answers to themselves:
    data = fake.clone()
    data.edge_index = torch.cat([fake.edge_index, torch.tensor([[3], [3]])], dim=1)
    data.edge_type = torch.cat([fake.edge_type, torch.tensor([0])])
    for name in ("train_mask", "val_mask", "test_mask"):
        data[name] = torch.cat([fake[name], torch.tensor([name == "train_mask"])])
    for relation in (0, fake.num_relations):
        for head, answers in enumerate(predict(model, data, relation=relation, **everyone)):
            known = {answer.index: answer.known for answer in answers}
            assert known[head] == (head == 3)
    assert all(len(x) == fake.num_nodes - 1 for x in predict(model, data, relation=1, **everyone))
    # That of validation gives nothing away, but is a known fact:
    data.train_mask[-1], data.val_mask[-1] = False, True
    found = [x for x in predict(model, data, relation=0, **everyone) if len(x) == fake.num_nodes]
    assert len(found) == 1 and found[0].query.startswith(fake.node_names[3])
