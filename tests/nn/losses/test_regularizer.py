import pytest
import torch
import torch.nn.functional as F

from torch_imf.nn import (
    DURA,
    IMF,
    KGE,
    L2,
    N3,
    RSME,
    AdaMF,
    ComplEx,
    DistMult,
    FactTerm,
    OneToN,
    Regularizer,
    RelationPrediction,
    TransE,
)
from torch_imf.registry import build_model, describe, make, resolve


@pytest.mark.parametrize("scorer", [TransE(8), DistMult(8)])
def test_dura(scorer):
    query, key = torch.randn(4, 8), torch.randn(9, 8)
    row, col = pos_index = torch.tensor([[0, 1, 1, 2, 3], [8, 0, 3, 5, 2]])
    loss = OneToN("ce", regularizer=DURA(0.2))
    norm = query[row].square().sum(-1) + key[col].square().sum(-1)
    out = loss(scorer, query, key, pos_index) - OneToN("ce")(scorer, query, key, pos_index)
    assert torch.allclose(out, 0.2 * norm.mean())
    assert loss(scorer, query, key, torch.empty(2, 0, dtype=torch.long)) == 0


def test_dura_as_published(fake, build, facts, refuses):
    # Over a fact and its inverse triple, the weights of the released code:
    regularizer = DURA(0.2, query_weight=3.0)
    losses = [OneToN("ce", regularizer=x) for x in (regularizer, None)]
    model = build(KGE, scorer="complex", tie_inverses=True, loss=losses[0])
    head_index, rel_type, tail_index = facts(6)
    index = torch.cat([head_index, tail_index]), torch.cat([tail_index, head_index])
    batch = index[0], torch.cat([rel_type, rel_type + fake.num_relations]), index[1]
    out = model.loss(*batch)
    model.loss_fn = losses[1]
    h, r, t = (
        torch.view_as_complex(x.unflatten(-1, (2, -1)).mT.contiguous())
        for x in (model.node_emb(head_index), model.rel_emb(rel_type), model.node_emb(tail_index))
    )
    sides = 0.5 * (h.abs() ** 2 + t.abs() ** 2) + 1.5 * ((h * r).abs() ** 2 + (t * r).abs() ** 2)
    assert torch.allclose(out - model.loss(*batch), 0.2 * sides.sum(-1).mean(), rtol=1e-3)
    refuses(("'key_weight' cannot be negative", lambda: DURA(key_weight=-1.0)))


def test_a_regularizer_of_your_own():
    class Spread(Regularizer):
        def forward(self, query, key, pos_index, count):
            return self.weight * count.max()

    args = DistMult(4), torch.randn(2, 4), torch.randn(5, 4), torch.tensor([[0, 0], [1, 2]])
    for given in (Spread, Spread(0.1)):
        out = OneToN("ce", regularizer=given)(*args) - OneToN("ce")(*args)
        assert torch.allclose(out, torch.tensor(0.2))


def naive(scorer, entity, rel, head_index, rel_type, tail_index, power):
    total = 0.0
    for h, r, t in zip(head_index, rel_type, tail_index, strict=True):
        for x in (entity[h], rel[r], entity[t]):
            if isinstance(scorer, ComplEx):
                real, imag = x.chunk(2)
                x = torch.complex(real, imag)
            total = total + x.abs().pow(power).sum()
    return total / head_index.numel()


MODELS = {
    "complex": (KGE, {"scorer": "complex"}),
    "tied": (KGE, {"scorer": "complex", "tie_inverses": True}),
    "distmult": (KGE, {"scorer": "distmult"}),
    "joint": (AdaMF, {"scorer": "complex"}),
    "views": (IMF, {"scorer": "complex", "shared_relations": False, "contrastive": False}),
}


@pytest.mark.parametrize("regularizer, power", [(N3(0.3), 3), (L2(0.3), 2)])
@pytest.mark.parametrize("name", MODELS)
def test_terms_count_each_fact_once(fake, build, same, name, regularizer, power):
    cls, kwargs = MODELS[name]
    if cls is IMF:
        kwargs = {**kwargs, "decision": 1.0}  # The sum over views.
    model = build(cls, **kwargs, loss=OneToN("ce", regularizer=regularizer)).double()
    every = torch.arange(2 * fake.num_relations)
    head_index, rel_type = every.remainder(3), every  # Heads are shared, and so are positives:
    pos_index = (torch.rand(every.numel(), fake.num_nodes) < 0.02).nonzero().t()
    params = [p for n, p in model.named_parameters() if "emb" in n]

    z = model.encode()
    row, tail_index = pos_index
    expected = 0.0
    for view, scorer in model.scorers.items():
        facts = head_index[row], rel_type[row], tail_index
        rel = model.relation(view, every)
        expected = expected + 0.3 * naive(scorer, z[view], rel, *facts, power)
    out = model.loss(head_index, rel_type, pos_index)
    model.loss_fn = OneToN("ce")
    same(out, model.loss(head_index, rel_type, pos_index) + expected, params)


def test_terms_by_name_and_of_your_own(fake, build, facts, refuses):
    loss = resolve("loss", "ce", regularizer="n3")
    assert str(loss.regularizer) == "N3(0.1)" and loss.terms == [loss.regularizer]
    assert describe(make(describe(loss))) == describe(loss)
    assert OneToN("ce", regularizer="dura").terms == []

    class Few(FactTerm):
        def forward(self, scorer, entity, rel, facts):
            return self.weight * (entity.size(0) + rel.size(0) + facts[0].numel())

    models = [build(KGE, loss=OneToN("ce", regularizer=x)) for x in (None, Few(2.0))]
    plain, out = (model.loss(*facts(6)) for model in models)
    assert out - plain == 2 * (fake.num_nodes + 2 * fake.num_relations + 6)
    side_by_side = build(RSME, loss=OneToN("ce", regularizer=N3()))
    refuses((r"N3\(0.1\) needs one embedding per entity", lambda: side_by_side.loss(*facts(6))))


@pytest.mark.parametrize("name", ["complex", "distmult", "views"])
def test_relation_prediction(fake, build, facts, same, name):
    cls, kwargs = MODELS[name]
    kwargs = {**kwargs, "decision": 1.0} if cls is IMF else kwargs
    loss = OneToN("ce", regularizer=N3(), auxiliary=RelationPrediction(0.4))
    model = build(cls, **kwargs, loss=loss).double()
    batch = head_index, rel_type, tail_index = facts(6)
    params = [p for n, p in model.named_parameters() if "emb" in n]

    out, z = model.loss(*batch), model.encode()
    expected = 0.0
    for view, scorer in model.scorers.items():
        scores = [  # Of each relation.
            scorer(
                z[view][head_index], model.relation(view, torch.full((6,), r)), z[view][tail_index]
            )
            for r in range(2 * fake.num_relations)
        ]
        expected = expected + 0.4 * F.cross_entropy(torch.stack(scores, dim=-1), rel_type)
    model.loss_fn = OneToN("ce", regularizer=N3())
    same(out, model.loss(*batch) + expected, params)


def test_relation_prediction_by_name(fake, facts, refuses):
    settings = {"loss.auxiliary": "relation-prediction", "loss.auxiliary.weight": 4.0}
    model = build_model("kge", fake, hidden_channels=8, loss="ce", scorer="rotate", **settings)
    assert str(model.loss_fn.terms) == "[RelationPrediction(4.0)]"
    assert describe(make(describe(model.loss_fn))) == describe(model.loss_fn)
    by_name = OneToN("ce", auxiliary="relation-prediction")
    assert describe(make(describe(by_name))) == describe(by_name)
    words = "'RotatE' does not predict relations"
    refuses((words, lambda: model.loss(*facts(6))), error=NotImplementedError)
