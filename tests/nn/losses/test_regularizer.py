import pytest
import torch

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
    TransE,
)
from torch_imf.registry import describe, make, resolve


@pytest.mark.parametrize("scorer", [TransE(8), DistMult(8)])
def test_dura(scorer):
    query, key = torch.randn(4, 8), torch.randn(9, 8)
    row, col = pos_index = torch.tensor([[0, 1, 1, 2, 3], [8, 0, 3, 5, 2]])
    loss = OneToN("ce", regularizer=DURA(0.2))
    norm = query[row].square().sum(-1) + key[col].square().sum(-1)
    out = loss(scorer, query, key, pos_index) - OneToN("ce")(scorer, query, key, pos_index)
    assert torch.allclose(out, 0.2 * norm.mean())
    assert loss(scorer, query, key, torch.empty(2, 0, dtype=torch.long)) == 0


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
