from inspect import signature

import pytest
import torch

from torch_imf import evaluate, fit
from torch_imf.data import TripletIndex, modalities
from torch_imf.nn import IMF, KGE, AdaMF, OneToN, RotatE
from torch_imf.registry import class_names, classes, describe, lookup, make, resolve
from torch_imf.transforms import AddInverse

MODELS = {cls.__name__: cls for cls in classes("model").values()}


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
    parts = [weights[v] * (x.sigmoid() if len(views) > 1 else x) for v, x in views.items()]
    assert sum(weights.values()) == pytest.approx(1.0)
    assert torch.allclose(torch.stack(parts).sum(0), score, atol=1e-6)


@pytest.mark.parametrize("cls", MODELS.values())
def test_every_model_beats_chance(fake, build, cls):
    model = build(cls, 32)
    # A model may know something of similar features before it learns, but not a structural one:
    chance, before = (evaluate(x, fake)["mrr"] for x in (build(KGE, 32), model))
    assert chance < 0.1
    fit(model, fake, epochs=30, batch_size=128, lr=0.01, eval_every=5)
    assert evaluate(model, fake)["mrr"] > max(3 * chance, before + 0.1)


@pytest.mark.parametrize("cls", MODELS.values())
def test_one_signature(fake, build, cls):
    parameters = signature(cls).parameters
    sizes = ["num_nodes", "num_relations", "hidden_channels"]
    assert list(parameters)[:5] == [*sizes, "x_dict", "mask_dict"]
    assert all(p.kind is p.KEYWORD_ONLY for p in list(parameters.values())[5:])
    assert {"loss", "struct"} <= set(parameters) and len(parameters) <= 14
    # A model is made again from its arguments, and the features of the graph:
    model = build(cls, loss=OneToN("ce", regularizer="dura"))
    facts = fake.edge_index[0, :5], fake.edge_type[:5], fake.edge_index[1, :5]
    other = make(
        describe(model), **dict(zip(("x_dict", "mask_dict"), modalities(fake), strict=True))
    )
    other.load_state_dict(model.state_dict())
    assert torch.equal(model.loss(*facts), other.loss(*facts))


def test_pyg_protocol(fake, build):
    model = build(IMF, 16)
    data = AddInverse()(fake)
    data = data.edge_subgraph(data.train_mask)
    loader = model.loader(data.edge_index[0], data.edge_type, data.edge_index[1], batch_size=32)
    loss = model.loss(*next(iter(loader)))
    assert loss.dim() == 0 and loss.isfinite()
    (objective,) = model.objectives()
    assert objective.name == "model" and objective.loss == model.loss
    assert len(objective.parameters) == len(list(model.parameters()))

    triples = fake.edge_index[0, :20], fake.edge_type[:20], fake.edge_index[1, :20]
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


def test_one_tail_per_query_and_unfiltered_ranks(fake, build):
    model = build(KGE, 16)
    head, rel, tail = fake.edge_index[0, :9], fake.edge_type[:9], fake.edge_index[1, :9]
    pos_index = torch.stack([torch.arange(9), tail])
    assert torch.equal(model.loss(head, rel, tail), model.loss(head, rel, pos_index))

    empty = TripletIndex(*torch.empty(3, 0, dtype=torch.long))
    # Inverse relations lead to many tails:
    triples = fake.edge_index[1], fake.edge_type + fake.num_relations, fake.edge_index[0]
    unfiltered = model.test(*triples, log=False, index=empty)
    assert unfiltered[0] > model.test(*triples, log=False)[0]


@pytest.mark.parametrize("scorer", class_names("scorer"))
def test_tied_inverses(fake, build, scorer):
    if scorer not in ("ComplEx", "DistMult", "RotatE", "TransE"):
        with pytest.raises(NotImplementedError, match="does not tie inverse relations"):
            build(KGE, 12, scorer=scorer, tie_inverses=True)
        return
    head_index, tail_index = fake.edge_index[:, :20]
    rel_type, inverse = fake.edge_type[:20], fake.edge_type[:20] + fake.num_relations
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


def test_tied_inverses_of_no_relation(fake):
    model = KGE(fake.num_nodes, 5, 12, scorer="transe", tie_inverses=True)
    node = torch.zeros(1, dtype=torch.long)
    for rel_type in (-1, 10, 11):
        with pytest.raises(IndexError):
            model(node, torch.tensor([rel_type]), node)
    assert model(node, torch.tensor([9]), node).size() == (1,)


def test_kge():
    model = KGE(10, 3, 8, {"text": torch.ones(10, 2)}, scorer=RotatE(8))  # Features are not used.
    assert model.views == ["struct"] and model.rel_emb.weight.size() == (6, 4)
    assert torch.equal(model.encode()["struct"], model.node_emb.weight)
    index = torch.tensor([3, 1])
    assert torch.equal(model.encode(index)["struct"], model.node_emb.weight[index])
    before = model.node_emb.weight.clone()
    model.reset_parameters()
    assert not torch.equal(before, model.node_emb.weight)
    assert model.rel_emb.weight.abs().max() > 1  # Phases, not Xavier.


@pytest.mark.parametrize("scorer", ["contextual", "tucker", "distmult"])
def test_no_queries(scorer):
    model = KGE(20, 3, 8, scorer=scorer).eval()
    empty = torch.empty(0, dtype=torch.long)
    assert model.predict(empty, empty).size() == (0, 20)
    assert model(empty, empty, empty).size() == (0,)


def test_errors():
    with pytest.raises(ValueError, match="need to be positive"):
        KGE(0, 3, 16)
    for part in ("loss", "scorer"):
        with pytest.raises(ValueError, match=f"There is no {part} 'hinge'"):
            KGE(10, 3, 16, **{part: "hinge"})
    with pytest.raises(ValueError, match="There is no model 'kgee'"):
        resolve("model", "kgee", 10, 3, 16)
    with pytest.raises(ValueError, match="Expected a loss, its class or its name"):
        KGE(10, 3, 16, loss=torch.nn.BCELoss())
    with pytest.raises(ValueError, match=r"need to equal .* \(got \(8, 4\) and \(16, 4\)\)"):
        KGE(10, 3, 16, scorer=RotatE(8))
    model, ids = KGE(10, 3, 16), torch.tensor([0, 10])
    with pytest.raises(ValueError, match=r"'head_index' holds ids outside \[0, 10\)"):
        model.predict(ids, ids * 0)
    with pytest.raises(ValueError, match=r"'rel_type' holds ids outside \[0, 6\)"):
        model.predict(ids * 0, ids)
    with pytest.raises(ValueError, match=r"'tail_index' holds ids outside \[0, 10\)"):
        model.loader(ids * 0, ids * 0, ids)
