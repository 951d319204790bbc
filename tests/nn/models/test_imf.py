import pytest
import torch

from torch_imf import evaluate, fit, fit_view_weights, train
from torch_imf.data import modalities
from torch_imf.nn import (
    IMF,
    ContextualRelationalScorer,
    Contrastive,
    DecisionFusion,
    MoSE,
    OneToN,
    contrastive_loss,
    info_nce_loss,
)
from torch_imf.registry import resolve


def test_views(fake, build):
    data = fake.clone()
    data.x_audio = torch.randn(data.num_nodes, 5)  # Any modality.
    x_dict = modalities(data)[0]
    model = build(IMF, data=data)
    assert model.views == list(model.scorers) == ["struct", *x_dict, "fused"]
    assert "audio" in x_dict and list(model.fusion.in_channels) == model.views[:-1]
    assert model.rel_emb.weight.size() == (2 * fake.num_relations, 8)
    model = build(IMF, views=["fused"])  # w/o DF
    assert model.decision is None and len(model.scorers) == 1
    model = build(IMF, views=["struct"])  # w/o MF
    assert model.fusion is None and len(model.features) == 0
    assert IMF(5, 2, 8).views == ["struct"]


def test_every_view_scores_by_its_own_scorer(build, facts):
    views = ["struct", "text", "fused"]
    model = build(IMF, views=views, shared_relations=False).eval()
    assert list(model.rel_emb) == views
    head, rel, _ = facts(4)
    z = model.encode()
    query = model.query({view: x[head] for view, x in z.items()}, rel)
    scores = model.view_similarity(query, model.key(z))
    for view in views:
        part = model.scorers[view](z[view][head], model.rel_emb[view](rel), z[view][:4])
        assert torch.allclose(scores[view][:, :4].diag(), part, atol=1e-5)


@pytest.mark.parametrize("loss, sigmoid", [("bce", True), ("ce", False), ("sampled", False)])
def test_pooling_follows_the_loss(build, batch, loss, sigmoid):
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
def test_loss_adds_its_parts(fake, build, facts, fusion, pairs, temperature):
    term = Contrastive(0.5, temperature, pairs)
    model = build(IMF, decision=1.0, contrastive=term, fusion=fusion).eval()
    z, index = model.encode(), facts(6)[0].unique()
    without = model.view_loss(z, *facts(6))
    latent = model.fusion.latent({k: v for k, v in z.items() if k != "fused"})
    args = [
        {name: x[index] for name, x in latent.items()},
        {name: mask[index] for name, mask in modalities(fake)[1].items()},
        *([] if temperature is None else [temperature]),
        pairs,
    ]
    loss = contrastive_loss if temperature is None else info_nce_loss
    assert torch.allclose(model.loss(*facts(6)), without + 0.5 * loss(*args))
    for none in (False, Contrastive(0.0)):
        plain = build(IMF, decision=1.0, contrastive=none, fusion=fusion).eval()
        assert torch.equal(plain.loss(*facts(6)), without)


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


def test_scorers(fake, build):
    model = build(IMF, scorer=ContextualRelationalScorer(8, 4, similarity="dot", dropout=0.2))
    first, second = list(model.scorers.values())[:2]  # Copies.
    assert first.dropout == second.dropout == 0.2 and first.logit_bias is None
    assert not torch.equal(first.weight, second.weight)
    assert model.rel_emb.weight.size(1) == 4
    bias = -torch.tensor(float(fake.num_nodes)).log()  # The log-odds of a random triple.
    for scorer in ("contextual", "Contextual", ContextualRelationalScorer):
        model = build(IMF, scorer=scorer, rel_channels=4)
        assert torch.isclose(model.scorers["text"].logit_bias, bias)


def test_modalities_answer_what_structure_cannot(fake, build):
    scores = {}
    for view in ("struct", "fused"):
        model = build(IMF, 32, views=[view], scorer="distmult", loss="ce")
        fit(model, fake, epochs=40, batch_size=64, lr=0.01, eval_every=5, patience=None)
        scores[view] = evaluate(model, fake, by=["relation"])["relation"]
    # Classes are drawn at random, and shown by one modality each.
    for name in ("has_colour", "has_topic", "has_size"):
        assert scores["fused"][name]["mrr"] > scores["struct"][name]["mrr"] + 0.2


def test_what_is_unseen_in_training(bare, build):
    # An entity without modalities has its structural embedding, and a vector per view that such
    # entities share:
    data = bare
    for name in modalities(data)[0]:
        data[f"{name}_mask"][1] = False
    data.num_relations += 1
    data.rel_names, data.rel_ids = [*data.rel_names, "new"], [*data.rel_ids, "new"]
    data.edge_type[data.test_mask.nonzero()[:3, 0]] = data.num_relations - 1
    model = build(IMF, 16, data)
    fit(model, data, epochs=2, batch_size=64)
    assert 0 < evaluate(model, data, by=["relation"])["relation"]["new"]["mrr"] < 0.5
    z = model.eval().encode()
    for name in modalities(data)[0]:
        assert torch.equal(z[name][0], z[name][1])
    assert not torch.equal(z["fused"][0], z["fused"][1])


@pytest.mark.parametrize("temperature", [None, 0.1])
@pytest.mark.parametrize("scorer", ["contextual", "conve"])
def test_single_facts(build, facts, scorer, temperature):
    # Of entities with and without each modality.
    model = build(IMF, 12, scorer=scorer, contrastive=Contrastive(temperature=temperature))
    loader = model.loader(*facts(10), batch_size=1)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    losses = [train(model, loader, [optimizer]) for _ in range(5)]
    assert losses[-1] < losses[0]
    assert all(p.isfinite().all() for p in model.parameters())


def test_errors(build, refuses):
    def imf(x_dict=None, mask_dict=None, **kwargs):
        return lambda: IMF(4, 2, 8, x_dict, mask_dict, **kwargs)

    x, mask, pairs = torch.zeros(4, 3), torch.ones(4, dtype=torch.bool), [("struct", "smell")]
    decision = DecisionFusion(["text", "fused"])
    refuses(
        *(
            ("'views' need to be distinct ones of .*'fused'", imf({"text": x}, views=views))
            for views in ([], ["struct", "smell"], ["text", "text"])
        ),
        ("'views' need to be distinct", imf(views=["fused"])),
        ("'struct' cannot be False without modalities", imf(struct=False)),
        ("'decision' joins the views", lambda: build(IMF, decision=decision)),
        ("'weight' needs a positive number", lambda: build(IMF, decision=0.0)),
        ("'pairs' need to be two of", imf({"text": x}, contrastive=Contrastive(pairs=pairs))),
        ("There is no fusion 'nope'", imf({"text": x}, fusion="nope")),
        ("expected .8, 8", imf(scorer=ContextualRelationalScorer(4, 8))),
        ("expected .8, 2", imf(scorer=ContextualRelationalScorer(8, 4), rel_channels=2)),
        ("hold NaN or infinite values", imf({"text": x + float("nan")})),
        ("need to be floats of shape", imf({"text": x[:3]})),
        ("cannot be called 'struct'. Rename 'x_struct'", imf({"struct": x})),
        ("cannot be called 'values'", imf({"values": x})),
        ("cannot be called 'training'", imf({"training": x})),
        ("cannot be called ''", imf({"": x})),
        ("missing for every entity", imf({"text": x}, {"text": ~mask})),
        ("Mask of unknown modality", imf({"text": x}, {"audio": mask})),
    )


def test_mose_equals_the_equation_of_the_paper(bare, build, facts, known):
    model = build(MoSE, data=bare)
    assert model.views == ["struct", *model.features] and len(model.rel_emb) == 4
    for h, r, t, score in zip(*facts(12), model(*facts(12)), strict=True):
        heads, tails, total = known(model, h), known(model, t), 0.0
        for view in model.views:
            missing = None if view == "struct" else model.features[view].missing.double()
            ends = [torch.complex(*x.get(view, missing).chunk(2)) for x in (heads, tails)]
            rel = torch.complex(*model.rel_emb[view].weight[r].double().chunk(2))
            total += (ends[0] * rel * ends[1].conj()).sum().real / 4
        assert torch.allclose(score.double(), total, atol=1e-5)


def test_weights_by_relation(fake, build):
    model = build(MoSE)
    found = [fit_view_weights(model, fake, extra=[], by=by) for by in ("all", "relation")]
    assert [x.fitted["by"] for x in found] == ["all", "relation"]
    assert torch.equal(found[0].scale, found[0].scale[:1].expand_as(found[0].scale))
    assert not torch.allclose(found[1].scale, found[1].scale[:1].expand_as(found[1].scale))
