from inspect import signature

import pytest
import torch

from torch_imf import evaluate, fit
from torch_imf.data import TripletIndex, modalities
from torch_imf.nn import IMF, KBAT, KGE, AdaMF, MoMoK, OneToN, RotatE, Sampled, TuckER
from torch_imf.registry import class_names, classes, describe, lookup, make

MODELS = {cls.__name__: cls for cls in classes("model").values()}
#: What trains faster.
SMALL = {KBAT: {"loss": Sampled(4, 0.0)}}


@pytest.mark.parametrize(
    ("name", "scorer"),
    [(x, y) for x in ("KGE", "IMF", "AdaMF") for y in class_names("scorer")]
    + [(x, None) for x in MODELS if x not in ("KGE", "IMF", "AdaMF")],
)
def test_scores_agree(fake, build, name, scorer):
    kwargs = {} if scorer is None else {"scorer": lookup("scorer", scorer)}  # The class itself.
    model = build(MODELS[name], 16, **kwargs).eval()
    assert str(model) == (
        f"{name}({fake.num_nodes}, num_relations={fake.num_relations}, hidden_channels=16)"
    )
    head, rel = fake.edge_index[0, :7], fake.edge_type[:7] + fake.num_relations
    score = model.predict(head, rel)
    assert score.size() == (7, fake.num_nodes)
    tail = torch.randint(fake.num_nodes, (7, 5))
    for i in range(5):
        out = model(head, rel, tail[:, i])
        assert torch.allclose(out, score.gather(1, tail[:, i : i + 1]).squeeze(1), atol=1e-5)
    query = model.query(model.encode(head), rel)
    out = model.similarity(query, model.key(model.encode(tail)))
    assert torch.allclose(out, score.gather(1, tail), atol=1e-5)
    assert torch.allclose(model.score(head, rel, tail), score.gather(1, tail), atol=1e-5)

    fused, views, weights = model.predict(head, rel, return_views=True)
    assert torch.equal(fused, score)
    assert list(views) == list(weights) == model.views
    # The parts make up the whole (Eq. 11):
    is_binary = model.decision is not None and model.decision.sigmoid
    parts = [weights[v] * (x.sigmoid() if is_binary else x) for v, x in views.items()]
    assert sum(weights.values()) == pytest.approx(1.0)
    assert torch.allclose(torch.stack(parts).sum(0), score, atol=1e-6)


@pytest.mark.parametrize(
    "cls, kwargs",
    [*((cls, SMALL.get(cls, {})) for cls in MODELS.values()), (AdaMF, {"adversary": True})],
)
def test_every_model_beats_chance(fake, build, cls, kwargs):
    if cls is MoMoK:  # Its own is for larger graphs.
        kwargs = {"scorer": TuckER(32, None, 0.0, 0.0, 0.0)}
    model = build(cls, 32, **kwargs)
    # A model may know something of similar features before it learns, but not a structural one:
    chance, before = (evaluate(x, fake)["mrr"] for x in (build(KGE, 32), model))
    assert chance < 0.1
    fit(model, fake, epochs=30, batch_size=128, lr=0.01, eval_every=5)
    assert evaluate(model, fake)["mrr"] > max(3 * chance, before + 0.1)


@pytest.mark.parametrize("cls", MODELS.values())
def test_every_model_goes_on(fake, build, cls, tmp_path):
    settings = {"batch_size": 512, "lr": 0.01, "progress": False}
    kwargs, path = SMALL.get(cls, {}), tmp_path / "run.pt"
    history = fit(whole := build(cls, **kwargs), fake, 2, **settings)
    fit(build(cls, **kwargs), fake, 1, checkpoint=path, **settings)
    model = build(cls, **kwargs)
    model.reset_parameters()
    assert fit(model, fake, 2, checkpoint=path, **settings) == history
    state = model.state_dict()
    assert all(torch.equal(x, state[name]) for name, x in whole.state_dict().items())


@pytest.mark.parametrize("cls", MODELS.values())
def test_one_signature(fake, build, facts, cls):
    parameters = signature(cls).parameters
    sizes = ["num_nodes", "num_relations", "hidden_channels"]
    assert list(parameters)[:5] == [*sizes, "x_dict", "mask_dict"]
    assert all(p.kind is p.KEYWORD_ONLY for p in list(parameters.values())[5:])
    assert {"loss", "struct"} <= set(parameters) and len(parameters) <= 14
    # A model is made again from its arguments, and the features of the graph:
    model, (x_dict, mask_dict) = build(cls, loss=OneToN("ce", regularizer="dura")), modalities(fake)
    other = make(describe(model), x_dict=x_dict, mask_dict=mask_dict)
    other.load_state_dict(model.state_dict())
    losses = []
    for x in (model, other):
        torch.manual_seed(1)
        losses.append(x.loss(*facts(5)))
    assert torch.equal(*losses)


def test_pyg_protocol(fake, build, facts):
    model = build(IMF, 16)
    loss = model.loss(*next(iter(model.loader(*facts(), batch_size=32))))
    assert loss.dim() == 0 and loss.isfinite()
    (objective,) = model.objectives()
    assert objective.name == "model" and objective.loss == model.loss
    assert len(objective.parameters) == len(list(model.parameters()))

    triples = facts(20)
    mr, mrr, hits = model.test(*triples, batch_size=6, k=3, log=False)
    score = model.eval().predict(*triples[:2])
    ranks = []
    for i, t in enumerate(triples[2].tolist()):
        same = (triples[0] == triples[0][i]) & (triples[1] == triples[1][i])
        row = score[i].clone()
        row[triples[2][same]] = -1.0
        row[t] = score[i, t]
        ranks.append(int((row > row[t]).sum()) + 1 + (int((row == row[t]).sum()) - 1) / 2)
    ranks = torch.tensor(ranks, dtype=torch.double)
    assert mr == pytest.approx(float(ranks.mean()))
    assert mrr == pytest.approx(float((1 / ranks).mean()))
    assert hits == pytest.approx(float((ranks <= 3).double().mean()))


def test_one_tail_per_query_and_unfiltered_ranks(fake, build, facts):
    model = build(KGE, 16)
    head, rel, tail = facts(9)
    pos_index = torch.stack([torch.arange(9), tail])
    assert torch.equal(model.loss(head, rel, tail), model.loss(head, rel, pos_index))

    empty = TripletIndex(*torch.empty(3, 0, dtype=torch.long))
    # Inverse relations lead to many tails:
    triples = fake.edge_index[1], fake.edge_type + fake.num_relations, fake.edge_index[0]
    unfiltered = model.test(*triples, log=False, index=empty)
    assert unfiltered[0] > model.test(*triples, log=False)[0]


@pytest.mark.parametrize("scorer", ["ComplEx", "DistMult", "RotatE", "TransE"])
def test_tied_inverses(fake, build, facts, scorer):
    head_index, rel_type, tail_index = facts(20)
    inverse = rel_type + fake.num_relations
    for cls in (KGE, AdaMF):
        model = build(cls, 12, scorer=scorer, tie_inverses=True)
        assert model.rel_emb.weight.size(0) == fake.num_relations
        before = model.rel_emb.weight.clone()
        fit(model, fake, 1, lr=0.01, progress=False)
        assert not (model.rel_emb.weight == before).all(dim=1).any()
        score = model(head_index, rel_type, tail_index)
        assert torch.allclose(score, model(tail_index, inverse, head_index), atol=1e-5)
        out = model.predict(tail_index, inverse)[range(20), head_index]
        assert torch.allclose(score, out, atol=1e-5)
        # As with rows for inverses that say the same:
        other, rel = build(cls, 12, scorer=scorer), model.rel_emb.weight
        rel = torch.cat([rel, model.scorers[model.views[0]].invert(rel)])
        other.load_state_dict(model.state_dict() | {"rel_emb.weight": rel})
        for facts in ((head_index, rel_type, tail_index), (tail_index, inverse, head_index)):
            assert torch.equal(other(*facts), model(*facts))


def test_tied_inverses_of_no_relation(refuses):
    model, node = KGE(9, 5, 8, scorer="transe", tie_inverses=True), torch.tensor([0])
    for rel_type in (-1, 10, 11):
        refuses(("index", lambda x=rel_type: model(node, node + x, node)), error=IndexError)
    assert model(node, node + 9, node).size() == (1,)
    tie = {"scorer": "conve", "tie_inverses": True}
    refuses(("does not tie inverse", lambda: KGE(9, 5, 8, **tie)), error=NotImplementedError)


@pytest.mark.parametrize("scorer", ["contextual", "tucker", "distmult"])
def test_no_queries(scorer):
    model = KGE(20, 3, 8, scorer=scorer).eval()
    empty = torch.empty(0, dtype=torch.long)
    assert model.predict(empty, empty).size() == (0, 20)
    assert model(empty, empty, empty).size() == (0,)


def test_errors(refuses):
    model, ids, zero = KGE(10, 3, 16), torch.tensor([0, 10]), torch.zeros(2, dtype=torch.long)
    refuses(
        ("'num_nodes' needs to be positive", lambda: KGE(0, 3, 16)),
        ("There is no loss 'hinge'", lambda: KGE(10, 3, 16, loss="hinge")),
        ("There is no scorer 'hinge'", lambda: KGE(10, 3, 16, scorer="hinge")),
        (
            "'loss' needs to be of type str . type.Loss. . Loss",
            lambda: KGE(10, 3, 16, loss=torch.nn.BCELoss()),
        ),
        (r"\(8, 4\) \(expected \(16, 4\)\)", lambda: KGE(10, 3, 16, scorer=RotatE(8))),
        (r"'head_index' holds ids outside \[0, 10\)", lambda: model.predict(ids, zero)),
        (r"'rel_type' holds ids outside \[0, 6\)", lambda: model.predict(zero, ids)),
        (r"'tail_index' holds ids outside \[0, 10\)", lambda: model.loader(zero, zero, ids)),
    )
