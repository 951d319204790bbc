from inspect import signature

import pytest
import torch

from torch_imf import evaluate, fit
from torch_imf.data import TripletIndex, modalities
from torch_imf.nn import IMF, KGE
from torch_imf.nn import models as models_module
from torch_imf.registry import class_names, resolve
from torch_imf.transforms import AddInverse


def build(name, data, channels=16, **kwargs):
    args = modalities(data) if name != "KGE" else ()
    return resolve("model", name, data.num_nodes, data.num_relations, channels, *args, **kwargs)


def takes_scorer(name):
    return "scorer" in signature(getattr(models_module, name)).parameters


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        (x, {"scorer": y})
        for x in class_names("model")
        for y in class_names("scorer")
        if takes_scorer(x)
    ]
    + [(x, {}) for x in class_names("model") if not takes_scorer(x)],
)
def test_scores_agree(fake, name, kwargs):
    model = build(name, fake, **kwargs).eval()
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


@pytest.mark.parametrize("name", class_names("model"))
def test_every_model_beats_chance(fake, name):
    model = build(name, fake, channels=32)
    # A model may know something of similar features before it learns, but not a structural one:
    chance, before = (evaluate(x, fake)["mrr"] for x in (build("KGE", fake, channels=32), model))
    assert chance < 0.1
    fit(model, fake, epochs=30, batch_size=128, lr=0.01, eval_every=5)
    assert evaluate(model, fake)["mrr"] > max(3 * chance, before + 0.1)


def test_pyg_protocol(fake):
    model = IMF(fake.num_nodes, fake.num_relations, 16, *modalities(fake))
    data = AddInverse()(fake)
    data = data.edge_subgraph(data.train_mask)
    loader = model.loader(data.edge_index[0], data.edge_type, data.edge_index[1], batch_size=32)
    loss = model.loss(*next(iter(loader)))
    assert loss.dim() == 0 and loss.isfinite()
    ((_, params, loss_fn),) = model.objectives()
    assert loss_fn == model.loss and len(params) == len(list(model.parameters()))

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


def test_one_tail_per_query_and_unfiltered_ranks(fake):
    model = KGE(fake.num_nodes, fake.num_relations, 16)
    head, rel, tail = fake.edge_index[0, :9], fake.edge_type[:9], fake.edge_index[1, :9]
    pos_index = torch.stack([torch.arange(9), tail])
    assert torch.equal(model.loss(head, rel, tail), model.loss(head, rel, pos_index))

    empty = TripletIndex(*torch.empty(3, 0, dtype=torch.long))
    # Inverse relations lead to many tails:
    triples = fake.edge_index[1], fake.edge_type + fake.num_relations, fake.edge_index[0]
    unfiltered = model.test(*triples, log=False, index=empty)
    assert unfiltered[0] > model.test(*triples, log=False)[0]


def test_errors(fake):
    with pytest.raises(ValueError, match="need to be positive"):
        KGE(0, 3, 16)
    with pytest.raises(ValueError, match="Invalid 'loss' argument"):
        KGE(10, 3, 16, loss="hinge")
    with pytest.raises(ValueError, match=r"'label_smoothing' needs to be in \[0, 1\)"):
        KGE(10, 3, 16, label_smoothing=1.0)
    with pytest.raises(ValueError, match="Could not resolve 'kgee'"):
        resolve("model", "kgee", 10, 3, 16)
    model = KGE(10, 3, 16)
    ids = torch.tensor([0, 10])
    with pytest.raises(ValueError, match=r"'head_index' holds ids outside \[0, 10\)"):
        model.predict(ids, ids * 0)
    with pytest.raises(ValueError, match=r"'rel_type' holds ids outside \[0, 6\)"):
        model.predict(ids * 0, ids)
    with pytest.raises(ValueError, match=r"'tail_index' holds ids outside \[0, 10\)"):
        model.loader(ids * 0, ids * 0, ids)
