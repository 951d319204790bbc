import pytest
import torch

from torch_imf import evaluate, fit, fit_view_weights
from torch_imf.data import modalities
from torch_imf.io import TorchIMFWarning
from torch_imf.nn import IMF, KGE, AdaMF, Ensemble, RuleView, TypePrior
from torch_imf.training import weights


@pytest.fixture
def trained(fake):
    def trained(cls=KGE, **kwargs):
        if cls is KGE:
            model = KGE(fake.num_nodes, fake.num_relations, 16, scorer="complex", loss="ce")
        else:
            sizes = fake.num_nodes, fake.num_relations, 16
            model = cls(*sizes, *modalities(fake), loss="ce", **kwargs)
        fit(model, fake, epochs=8, batch_size=64, lr=0.02, eval_every=8, progress=False)
        return model

    return trained


def test_is_better_than_each_view(fake, trained):
    models = [trained(), trained(IMF, views=["struct", "text"], scorer="distmult"), trained(AdaMF)]
    state = [{k: v.clone() for k, v in model.state_dict().items()} for model in models]
    out = fit_view_weights(models, fake, ["types", "rules"])
    assert isinstance(out, Ensemble) and list(out.members[:3]) == models
    views = ["struct", "struct 2", "text", "fused", "types", *RuleView.scores]
    assert out.views == views and out.fitted["num_facts"] == int(fake.val_mask.sum())
    mrr = evaluate(out, fake, "val")["mrr"]
    assert mrr > max(evaluate(out, fake, "val", view=view)["mrr"] for view in views)
    assert mrr > max(evaluate(model, fake, "val")["mrr"] for model in models)
    # That of weights which have not seen the fact itself:
    assert mrr - 0.1 < out.fitted["mrr"] < mrr + 0.02
    for model, before in zip(models, state, strict=True):
        assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_test_facts_have_no_part_in_it(fake, trained):
    model, other = trained(), fake.clone()
    other.edge_index = other.edge_index.clone()
    other.edge_index[1, other.test_mask] = 0
    found = [fit_view_weights(model, data) for data in (fake, other)]
    assert found[0].fitted == found[1].fitted
    for key, x in found[0].state_dict().items():
        assert torch.equal(x, found[1].state_dict()[key]), key
    assert not torch.equal(fit_view_weights(model, fake, seed=1, num_facts=40).weight, x)


@pytest.mark.parametrize(("at_most", "num_facts"), [(1, 21), (25, 25), (10**6, 30)])
def test_many_entities_take_fewer_facts(fake, trained, monkeypatch, at_most, num_facts):
    monkeypatch.setattr(weights, "NUM_FACTS", (21, 30))
    monkeypatch.setattr(weights, "NUM_SCORES", 2 * fake.num_nodes * at_most)
    assert fit_view_weights(trained(), fake, []).fitted["num_facts"] == num_facts


def test_noise_gets_next_to_nothing(fake, trained):
    model, noise = trained(), KGE(fake.num_nodes, fake.num_relations, 16)
    weights = fit_view_weights([model, noise], fake, []).view_weights()
    assert list(weights) == ["struct", "struct 2"]
    assert weights["struct 2"] < 0.05 * weights["struct"]


def test_few_facts_do_not_tell(fake, trained):
    data = fake.clone()
    data.val_mask[data.val_mask.nonzero()[10:]] = False
    data.val_mask[fake.val_mask.nonzero()[-5:]] = True
    with pytest.warns(TorchIMFWarning, match="count the same, as .* validation facts do not tell"):
        out = fit_view_weights(trained(), data, ["types"])
    assert out.fitted["by"] == "none" and out.fitted["num_facts"] < 20
    assert len(set(out.view_weights().values())) == 1
    evaluate(out, data)


def test_a_view_that_says_nothing(fake):
    model = KGE(fake.num_nodes, fake.num_relations, 8)
    with torch.no_grad():
        model.rel_emb.weight.zero_()
    out = fit_view_weights(model, fake, [TypePrior])
    assert out.view_weights()["struct"] == 0 < out.view_weights()["types"]
    alone = fit_view_weights(model, fake, [])
    assert alone.view_weights() == {"struct": 0.0} and alone.scale.isfinite().all()


def test_graphs_and_models_that_do_not_fit(fake):
    model, other = KGE(fake.num_nodes, fake.num_relations, 8), fake.clone()
    fit(model, fake, epochs=1, batch_size=64, progress=False)
    other.node_ids = other.node_ids[::-1]
    with pytest.raises(ValueError, match="trained with other entities, or in another order"):
        fit_view_weights([KGE(fake.num_nodes, fake.num_relations, 8), model], other)
    with pytest.raises(ValueError, match="graphs of other entities, or in another order"):
        Ensemble([model, TypePrior().fit(other)])
    with pytest.raises(ValueError, match="There is no view 'typo'"):
        fit_view_weights(model, fake, ["typo"])
