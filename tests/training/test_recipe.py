import copy
import math

import pytest
import torch

from torch_imf import evaluate, fit, nn, recipe
from torch_imf.nn import AdaMF, AdaMFFusion, IMFFusion, MutanFusion, TuckER
from torch_imf.training.published import PUBLISHED
from torch_imf.training.recipe import _Trial

SEARCHED = ["loss.regularizer.weight", "hidden_channels"]


def test_trains_well(fake):
    given, state = {"hidden_channels": 32, "epochs": 6}, torch.get_rng_state()
    settings = recipe("kge", fake, given)
    assert torch.equal(torch.get_rng_state(), state)
    # The same again, in which test facts have no part:
    other = copy.copy(fake)
    other.edge_index = fake.edge_index.clone()
    other.edge_index[:, fake.test_mask] = fake.edge_index[:, fake.test_mask].roll(1, dims=1)
    assert recipe("kge", other, given) == settings
    assert {**settings.model, **settings.fit} == settings
    model = settings.build(fake)
    fit(model, fake, **settings.fit)
    chance = sum(1 / rank for rank in range(1, fake.num_nodes + 1)) / fake.num_nodes
    assert evaluate(model, fake)["mrr"] > 5 * chance


def test_the_best_of_what_is_tried(fake, monkeypatch):
    # As if a weight of 0.01 were best, and larger embeddings too much:
    tried = []

    def run(trial, epochs):
        trial.epoch += epochs
        tried.append((trial.weight, trial.size, trial.epoch))
        trial.mrr = -abs(math.log(trial.weight / 0.01)) - trial.size / 1e4

    monkeypatch.setattr(_Trial, "run", run)
    settings = recipe("imf", fake)
    assert [settings[name] for name in SEARCHED] == [0.01, 128]
    weights = [0.1, 0.03, 0.01, 0.003]
    assert tried[:4] == [(weight, 128, 3) for weight in weights] and len(tried) == 7
    assert sorted(tried[4:]) == [(0.01, 128, 6), (0.01, 256, 3), (0.03, 128, 6)]
    tried.clear()
    assert recipe("imf", fake, search=False) == {**settings, SEARCHED[0]: 0.05} and not tried


def test_settings_of_a_scorer_or_model(fake):
    for given in ({"scorer": "hake"}, {"scorer": nn.HAKE, "scorer.margin": 3.0, "epochs": 7}):
        settings = recipe("kge", fake, given)  # Nothing is tried.
        expected = {"loss": "sampled", "lr": 0.01, "hidden_channels": 128, "epochs": 60, **given}
        assert expected.items() <= settings.items()
        assert isinstance(settings.build(fake).scorers["struct"], nn.HAKE)
    assert recipe("gcote", fake)["loss"] == "sampled"
    assert recipe("kge", fake, {"scorer": "bique"})["optimizer"] == "adagrad"
    for given in ({"scorer": "conve"}, {"scorer": nn.HAKE(8)}):
        assert recipe("kge", fake, given) == given
    assert recipe("kge", fake, {"scorer": "hake", "lr": 0.1})["lr"] == 0.1
    given = {"scorer": "hake", "loss": "sampled"}  # Who chooses the loss has other plans.
    assert recipe("kge", fake, given) == given
    # A loss of another kind takes none of the settings of its own:
    assert not any(x.startswith("loss.") for x in recipe("gcote", fake, {"loss": "ce"}))


def test_given_settings_win(fake):
    given = {"hidden_channels": 8, "epochs": 2, "contrastive": False}
    settings = recipe("imf", fake, given, search=False)
    assert {key: settings[key] for key in given} == given and "contrastive.weight" not in settings
    assert settings["scorer"] == "complex"
    # Who chooses one of the settings that belong together has other plans:
    for given in ({"optimizer": "adam"}, {"scorer.dropout": 0.1}):
        assert recipe("imf", fake, given) == given
    assert recipe("rsme", fake) == {}
    # Some have settings of their own, of which a part that is given leaves nothing:
    settings = recipe("transae", fake, {"lr": 0.1, "loss": "ce"})
    assert (settings["lr"], settings["batch_size"]) == (0.1, 128)
    assert not any(key.startswith("loss.") for key in settings)
    rates = recipe("adamf", fake, {"adversary.weight": 0.02}, search=False)["lr"]
    assert rates == {"model": 0.1, "generator": 0.015}


@pytest.mark.parametrize("name, model", [(x, y) for x in PUBLISHED for y in PUBLISHED[x]])
def test_published(fake, name, model):
    given = {"hidden_channels": 8, "epochs": 2, "eval_every": 1, "scorer.margin": 3.0}
    given |= {"rel_channels": 8} if (name, model) == ("released", "imf") else {}
    if model == "imf":
        del given["scorer.margin"]
    settings = recipe(model, fake, given, name)
    assert {key: settings[key] for key in given} == given
    if "structure" in settings:
        settings["structure"]["fit"].update(epochs=2, eval_every=1)
        assert recipe(model, fake, given, name)["structure"]["fit"]["epochs"] == 3000
    built = settings.build(fake)
    history = fit(built, fake, **settings.fit)
    assert len(history) == 2 and all(math.isfinite(entry["loss"]) for entry in history)


def test_as_printed_and_as_released(fake):
    small = {"hidden_channels": 8}
    settings = recipe("imf", fake, small, "paper")
    settings["structure"]["fit"].update(epochs=1)
    model, scorer = (built := settings.build(fake)), built.scorers["fused"]
    assert model.struct.freeze and not model.node_emb.weight.requires_grad
    assert float(model.node_emb.weight.norm(dim=-1).std()) > 1e-4  # Of any length.
    assert isinstance(model.fusion, IMFFusion) and not model.fusion.all_orders
    score = scorer(torch.randn(50, 8), torch.randn(50, 8), torch.randn(50, 8))
    assert float(score.detach().abs().max()) <= 1 and float(scorer.log_scale) == 0
    assert not any(p.requires_grad for p in (scorer.log_scale, model.decision.log_var))
    assert model.loss_fn.reduction == "mean" and model.contrastive.weight == 1

    model = recipe("imf", fake, {**small, "rel_channels": 8}, "released").build(fake)
    assert isinstance(model.fusion, MutanFusion) and isinstance(model.scorers["text"], TuckER)
    assert set(model.rel_emb) == {*model.views} and model.contrastive is None

    model = recipe("adamf", fake, small, "paper").build(fake)
    assert isinstance(model, AdaMF) and isinstance(model.fusion, AdaMFFusion)
    assert model.fusion.elementwise and model.adversary.weight == 0.01
    assert model.rel_emb.num_embeddings == fake.num_relations  # One for both directions.
    assert recipe("adamf", fake, small, "released").build(fake).adversary is None

    # What is set of a part has no meaning for another one:
    settings = recipe("adamf", fake, {"scorer": "distmult"}, "paper")
    assert "scorer.margin" not in settings and settings["fusion.elementwise"]


@pytest.mark.parametrize("name", ["transae", "mmkrl", "kbat", "momok", "vbkgc", "gcote"])
def test_models_with_settings_of_their_own(fake, name):
    settings = recipe(name, fake, {"hidden_channels": 16, "epochs": 2, "batch_size": 256})
    if "structure" in settings:
        settings["structure"]["fit"]["epochs"] = 2
        assert recipe(name, fake)["structure"]["fit"]["epochs"] == 60
    model = settings.build(fake)
    assert math.isfinite(fit(model, fake, **settings.fit)[-1]["loss"])
    assert model.struct is None or model.struct.freeze == ("structure" in settings)


def test_errors(fake, refuses):
    refuses(
        ("no recipe 'papers' of 'imf' .choose 'best'", lambda: recipe("imf", fake, None, "papers")),
        ("'released' of .'adamf', 'imf'.", lambda: recipe("kge", fake, name="released")),
    )
