import math

import pytest
import torch

from torch_imf.data import modalities
from torch_imf.nn import IMF
from torch_imf.predict import predict


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
