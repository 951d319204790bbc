import pytest
import torch

from torch_imf import evaluate
from torch_imf.data import TripletIndex
from torch_imf.evaluation.evaluate import rank_facts
from torch_imf.nn import IKRL, IMF, KGE, RSME, AdaMF, Ensemble, FeatureView, RuleView, TypePrior


@pytest.fixture
def ensemble(fake, build):
    views = [cls().fit(fake) for cls in (RuleView, TypePrior)]
    models = [build(IMF, scorer="complex"), build(KGE), build(AdaMF), build(RSME)]
    out = Ensemble([views[0], *models, views[1], build(IKRL)]).eval()
    out.weight.copy_(torch.rand(len(out.views)))
    out.scale.copy_(0.5 + torch.rand_like(out.scale))
    return out


def test_names_of_views(fake, build, ensemble):
    imf = ["struct", "numeric", "text", "visual", "fused"]
    rest = ["struct 2", "fused 2", "fused 3", "types", "fused 4"]
    rules = ["paths", "best path", "constants", "candidates"]
    assert ensemble.views == [*rules, *imf, *rest]
    assert repr(ensemble) == "Ensemble([RuleView, IMF, KGE, AdaMF, RSME, TypePrior, IKRL])"
    assert Ensemble([ensemble.members[0], ensemble.members[0]]).views[4:] == [
        f"{x} 2" for x in rules
    ]
    # Modalities of what is only fused are those of the ensemble, too:
    assert set(Ensemble([build(AdaMF)]).features) == {"numeric", "text", "visual"}
    assert set(ensemble.view_masks()) == {"numeric", "text", "visual"}
    masks = Ensemble([FeatureView().fit(fake)]).view_masks()
    assert set(masks) == {
        f"{x} {y}" for x in ("near", "votes") for y in ("numeric", "text", "visual")
    }
    assert torch.equal(masks["votes text"], fake.text_mask)


def test_scores_agree(fake, facts, ensemble):
    head, rel, tail = facts(40)
    score, by_view, weights = ensemble.predict(head, rel, return_views=True)
    with torch.no_grad():
        expected = score.gather(1, tail[:, None]).squeeze(1)
        assert torch.allclose(ensemble(head, rel, tail), expected, atol=1e-4)
        index = torch.randint(fake.num_nodes, (40, 7))
        z = ensemble.encode()
        query = ensemble.query({v: x[head] for v, x in z.items()}, rel)
        key = ensemble.key(ensemble.encode(index))
        few = ensemble.similarity(query, key)
    assert torch.allclose(few, score.gather(1, index), atol=1e-4)
    # By hand: what its members score, each in its own way.
    total, views = torch.zeros_like(score), iter(ensemble.views)
    for member in ensemble.members:
        is_view = isinstance(member, RuleView | TypePrior)
        own = member(head, rel) if is_view else member.predict(head, rel, return_views=True)[1]
        for x in own.values():
            view = next(views)
            i = ensemble.views.index(view)
            part = x / ensemble.scale[rel, i, None]
            assert torch.allclose(by_view[view], part, atol=1e-4)
            total += weights[view] * part
    assert torch.allclose(score, total, atol=1e-4)


def test_chunks_and_batches(fake, ensemble):
    ranks = [rank_facts(ensemble, fake, "test", *size) for size in ((512, 2**15), (3, 7), (1, 150))]
    assert torch.equal(ranks[0], ranks[1]) and torch.equal(ranks[0], ranks[2])
    index = TripletIndex.from_data(fake)
    base = fake.test_mask & (fake.edge_type < fake.num_relations)
    facts = fake.edge_index[0, base], fake.edge_type[base], fake.edge_index[1, base]
    tails = evaluate(ensemble, fake)["tail"]["mrr"]
    assert ensemble.test(*facts, index=index, log=False)[1] == pytest.approx(tails)


def test_members_that_do_not_fit(fake, build, refuses):
    rules, model = RuleView(), build(KGE)
    refuses(
        (r"of models and views of this package .got \[\]", lambda: Ensemble([])),
        ("got .'Linear'.", lambda: Ensemble([torch.nn.Linear(1, 1)])),
        ("got .'Ensemble'.", lambda: Ensemble([Ensemble([model])])),
        ("to which views have been fitted", lambda: Ensemble([model, rules])),
        ("to which views have been fitted", lambda: Ensemble([rules])),
        (r"sizes \[.20, 5., .150, 5.\]", lambda: Ensemble([model, KGE(20, 5, 8)])),
    )
