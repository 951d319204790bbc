import pytest
import torch

from torch_imf import evaluate, fit, train
from torch_imf.data import modalities
from torch_imf.nn import (
    IMF,
    ContextualRelationalScorer,
    Contrastive,
    DecisionFusion,
    OneToN,
    contrastive_loss,
    info_nce_loss,
)
from torch_imf.registry import resolve


def test_imf_views(fake, build):
    x_dict = modalities(fake)[0]
    model = build(IMF)
    assert model.views == ["struct", *x_dict, "fused"]
    assert len(model.scorers) == len(model.views)
    assert model.rel_emb.weight.size() == (2 * fake.num_relations, 8)
    model = build(IMF, views=["fused"])  # w/o DF
    assert model.decision is None and len(model.scorers) == 1
    model = build(IMF, views=["struct"])  # w/o MF
    assert model.fusion is None and len(model.features) == 0
    assert IMF(5, 2, 8).views == ["struct"]
    assert set(build(IMF, shared_relations=False).rel_emb) == set(build(IMF).views)


def test_any_modality_without_touching_the_model(fake, build):
    data = fake.clone()
    data.x_audio = torch.randn(data.num_nodes, 5)
    model = build(IMF, data=data)
    assert "audio" in model.views and "audio" in model.fusion.in_channels


def test_every_view_scores_by_its_own_scorer(fake, build):
    views = ["struct", "text", "fused"]
    model = build(IMF, views=views, shared_relations=False).eval()
    head, rel = fake.edge_index[0, :4], fake.edge_type[:4]
    z = model.encode()
    query = model.query({view: x[head] for view, x in z.items()}, rel)
    scores = model.view_similarity(query, model.key(z))
    for view in views:
        part = model.scorers[view](z[view][head], model.rel_emb[view](rel), z[view][:4])
        assert torch.allclose(scores[view][:, :4].diag(), part, atol=1e-5)


@pytest.mark.parametrize("loss, sigmoid", [("bce", True), ("ce", False), ("sampled", False)])
def test_pooling_follows_the_loss(fake, build, batch, loss, sigmoid):
    facts = batch[:3] if loss != "sampled" else batch
    given = (loss, resolve("loss", loss), *([OneToN] if loss == "bce" else []))
    models = [build(IMF, loss=x) for x in given]
    assert all(model.decision.sigmoid == sigmoid for model in models)
    score, views, weights = models[0].predict(*facts[:2], return_views=True)
    expected = sum(weights[v] * (x.sigmoid() if sigmoid else x) for v, x in views.items())
    assert torch.allclose(score, expected, atol=1e-6)
    for model in models[1:]:  # As objects and as names alike.
        assert torch.equal(model.predict(*facts[:2]), score)
        assert torch.equal(model.loss(*facts), models[0].loss(*facts))


@pytest.mark.parametrize("fusion", ["imf", "mutan"])
@pytest.mark.parametrize("pairs", [None, [("struct", "text")]])
@pytest.mark.parametrize("temperature", [None, 0.1])
def test_imf_loss_adds_its_parts(fake, build, batch, fusion, pairs, temperature):
    term = Contrastive(0.5, temperature, pairs)
    model = build(IMF, decision=1.0, contrastive=term, fusion=fusion).eval()
    facts = batch[:3]
    z, index = model.encode(), facts[0].unique()
    without = model.view_loss(z, *facts)
    latent = model.fusion.latent({k: v for k, v in z.items() if k != "fused"})
    args = [
        {name: x[index] for name, x in latent.items()},
        {name: mask[index] for name, mask in modalities(fake)[1].items()},
        *([] if temperature is None else [temperature]),
        pairs,
    ]
    loss = contrastive_loss if temperature is None else info_nce_loss
    assert torch.allclose(model.loss(*facts), without + 0.5 * loss(*args))
    for none in (False, Contrastive(0.0)):
        plain = build(IMF, decision=1.0, contrastive=none, fusion=fusion).eval()
        assert torch.equal(plain.loss(*facts), without)


def test_weights_of_views(build):
    model = build(IMF, decision=1)
    assert model.view_weights() == pytest.approx(dict.fromkeys(model.views, 0.2))
    assert not model.decision.log_var.requires_grad and build(IMF).decision.learned
    weights = dict(zip(model.views, (1.0, 2.0, 3.0, 4.0, 5.0), strict=True))
    expected = pytest.approx({view: weight / 15 for view, weight in weights.items()})
    assert build(IMF, decision=weights).view_weights() == expected
    decision = DecisionFusion(["text", "fused"], {"text": 1.0, "fused": 3.0}, sigmoid=False)
    model = build(IMF, decision=decision, views=["text", "fused"])
    assert model.decision is decision and model.view_weights()["fused"] == pytest.approx(0.75)
    with pytest.raises(ValueError, match="'decision' joins the views"):
        build(IMF, decision=decision)


def test_checkpoint_carries_no_features(fake, build):
    model, other = build(IMF), build(IMF, decision=1.0)
    assert not any(key.endswith(("_mask", ".x", ".row")) for key in model.state_dict())
    other.load_state_dict(model.state_dict())
    query = fake.edge_index[0, :8], fake.edge_type[:8]
    assert torch.equal(model.eval().predict(*query), other.eval().predict(*query))


def test_scorers(fake, build):
    model = build(IMF, scorer=ContextualRelationalScorer(8, 4, similarity="dot", dropout=0.2))
    first, second = list(model.scorers.values())[:2]  # Copies.
    assert first.dropout == second.dropout == 0.2
    assert not torch.equal(first.weight, second.weight)
    assert model.rel_emb.weight.size(1) == 4
    bias = -torch.tensor(float(fake.num_nodes)).log()  # The log-odds of a random triple.
    for scorer in ("contextual", "Contextual", ContextualRelationalScorer):
        model = build(IMF, scorer=scorer, rel_channels=4)
        assert torch.isclose(model.scorers["text"].logit_bias, bias)
    assert first.logit_bias is None
    for args, kwargs in (((4,), {}), ((8, 4), {"rel_channels": 2})):
        with pytest.raises(ValueError, match="'channels' and 'rel_channels' need to equal"):
            build(IMF, scorer=ContextualRelationalScorer(*args), **kwargs)


def test_modalities_answer_what_structure_cannot(fake, build):
    scores = {}
    for view in ("struct", "fused"):
        model = build(IMF, 32, views=[view], scorer="distmult", loss="ce")
        fit(model, fake, epochs=40, batch_size=64, lr=0.01, eval_every=5, patience=None)
        scores[view] = evaluate(model, fake, by=["relation"])["relation"]
    # Classes are drawn at random, and shown by one modality each.
    for name in ("has_colour", "has_topic", "has_size"):
        assert scores["fused"][name]["mrr"] > scores["struct"][name]["mrr"] + 0.2


def test_an_entity_without_any_modality(fake, build):
    # It has its structural embedding, and a vector per view that such entities share:
    data = fake.clone()
    for name in modalities(data)[0]:
        data[f"{name}_mask"] = data[f"{name}_mask"].clone()
        data[f"{name}_mask"][:2] = False
    model = build(IMF, 16, data)
    fit(model, data, epochs=2, batch_size=64)
    z = model.eval().encode()
    for name in modalities(data)[0]:
        assert torch.equal(z[name][0], z[name][1])
    assert not torch.equal(z["fused"][0], z["fused"][1])
    assert model.predict(torch.tensor([0, 1]), torch.tensor([0, 0])).isfinite().all()


@pytest.mark.parametrize("temperature", [None, 0.1])
@pytest.mark.parametrize("scorer", ["contextual", "conve"])
def test_single_facts(fake, build, scorer, temperature):
    # Of entities with and without each modality.
    model = build(IMF, 12, scorer=scorer, contrastive=Contrastive(temperature=temperature))
    facts = fake.edge_index[0, :10], fake.edge_type[:10], fake.edge_index[1, :10]
    loader = model.loader(*facts, batch_size=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = [train(model, loader, [optimizer]) for _ in range(5)]
    assert losses[-1] < losses[0]
    assert all(p.isfinite().all() for p in model.parameters())


def test_a_relation_unseen_in_training(fake, build):
    data = fake.clone()
    data.num_relations += 1
    data.rel_names = [*data.rel_names, "new"]
    data.edge_type = data.edge_type.clone()
    data.edge_type[data.test_mask.nonzero()[:3, 0]] = data.num_relations - 1
    model = build(IMF, 16, data)
    fit(model, data, epochs=2, batch_size=64)
    assert 0 < evaluate(model, data, by=["relation"])["relation"]["new"]["mrr"] < 0.5


def test_errors(fake, build):
    size = (fake.num_nodes, fake.num_relations, 8)
    for views in ([], ["struct", "smell"], ["text", "text"]):
        with pytest.raises(ValueError, match="'views' need to be distinct ones of .*'fused'"):
            build(IMF, views=views)
    with pytest.raises(ValueError, match="'views' need to be distinct"):
        IMF(*size, views=["fused"])
    with pytest.raises(ValueError, match="'weight' needs a positive number"):
        build(IMF, decision=0.0)
    with pytest.raises(ValueError, match="'pairs' need to be two of"):
        build(IMF, contrastive=Contrastive(pairs=[("struct", "smell")]))
    with pytest.raises(ValueError, match="There is no fusion 'nope'"):
        build(IMF, fusion="nope")
    x = torch.zeros(fake.num_nodes, 3)
    for features, match in (
        ({"text": x + float("nan")}, "hold NaN or infinite values"),
        ({"text": x[:3]}, "need to be floats of shape"),
        ({"struct": x}, "cannot be called 'struct'. Rename 'x_struct'"),
        ({"values": x}, "cannot be called 'values'"),
    ):
        with pytest.raises(ValueError, match=match):
            IMF(*size, features)
    with pytest.raises(ValueError, match="missing for every entity"):
        IMF(*size, {"text": x}, {"text": torch.zeros(fake.num_nodes, dtype=torch.bool)})
    with pytest.raises(ValueError, match="Mask of unknown modality"):
        IMF(*size, {"text": x}, {"audio": torch.ones(fake.num_nodes, dtype=torch.bool)})
