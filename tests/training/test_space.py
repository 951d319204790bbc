import pytest

from torch_imf import build_model
from torch_imf.nn import KGE, TransE
from torch_imf.training.space import SPACES, SearchSpace

optuna = pytest.importorskip("optuna")
optuna.logging.set_verbosity(optuna.logging.WARNING)


def ask(space, **params):
    trial = optuna.trial.FixedTrial(params)
    return *space.suggest(trial), trial


def test_values():
    space = SearchSpace(
        "imf",
        {
            "hidden_channels": (8, 16),
            "label_smoothing": (0.01, 0.1),
            "scorer.dropout": (0, 0.5),
            "lr": (1e-4, 1e-2),
            "loss": ["bce", "ce"],
            "views": [["struct"], ["struct", "fused"]],
            "contrastive_temperature": [None, 1, 0.5],
            "decision_weight": 1.0,
            "weight_decay": [0.0, 1e-4],
            "patience": 3,
        },
    )
    params = {"hidden_channels": 8, "label_smoothing": 0.05, "scorer.dropout": 0.5, "lr": 1e-3}
    others = {"loss": "ce", "views": '["struct", "fused"]', "contrastive_temperature": None}
    own, fit, trial = ask(space, **params, **others, weight_decay=1e-4)
    assert own == {
        **{k: params[k] for k in ("hidden_channels", "label_smoothing", "scorer.dropout")},
        **others,
        "views": ["struct", "fused"],
        "decision_weight": 1.0,
    }
    assert fit == {"lr": 1e-3, "weight_decay": 1e-4, "patience": 3}
    log = {k: getattr(x, "log", None) for k, x in trial.distributions.items()}
    assert log["lr"] is True  # It spans more than a factor of ten.
    assert log["label_smoothing"] is log["scorer.dropout"] is log["hidden_channels"] is False


def test_settings_of_parts_that_are_chosen():
    space = {"hidden_channels": 36, "scorer": ["conve", "contextual"], "loss": ["ce", "sampled"]}
    space |= {"scorer.dropout": (0.0, 0.5), "scorer.num_filters": [8], "loss.num_negatives": [4]}
    space = SearchSpace("kge", space)
    params = {"scorer.dropout": 0.1, "scorer.num_filters": 8, "loss.num_negatives": 4}
    own, _, trial = ask(space, scorer="conve", loss="ce", **params)
    assert own == {"hidden_channels": 36, "scorer": "conve", "loss": "ce", "scorer.num_filters": 8}
    assert "scorer.dropout" not in trial.params
    own, _, _ = ask(space, scorer="contextual", loss="sampled", **params)
    assert own["loss.num_negatives"] == 4 and own["scorer.dropout"] == 0.1
    assert "scorer.num_filters" not in own

    space = {"hidden_channels": 8, "adversary": [True, False], "adversary.weight": [0.1, 0.2]}
    space = SearchSpace("adamf", space)
    assert ask(space, adversary=False)[0] == {"hidden_channels": 8, "adversary": False}
    assert ask(space, adversary=True, **{"adversary.weight": 0.1})[0]["adversary.weight"] == 0.1


@pytest.mark.parametrize("name", SPACES)
def test_default_spaces(fake, name):
    space = SearchSpace(name)
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(5):
        own, fit = space.suggest(study.ask())
        assert type(build_model(name, fake, **own)).__name__ == name
        assert set(fit) == {"lr", "dense_lr", "optimizer", "batch_size"}
    with pytest.raises(ValueError, match=r"'KGE' has no default space.* takes \['hidden_channels'"):
        SearchSpace(KGE)


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({}, "KGE needs 'hidden_channels' in the space"),
        (
            {"epochs": 3},
            "Neither KGE nor 'fit' takes 'epochs'. The model takes .* 'fit' takes",
        ),
        ({"scorer.dropout": 0.1}, "Neither KGE nor 'fit' takes 'scorer.dropout'"),
        ({"scorer": ["conve", "what"]}, r"Invalid 'scorer' \(got 'what', choose of"),
        ({"loss": "mse"}, r"Invalid 'loss' \(got 'mse', choose of"),
        ({"hidden_channels": ["a"]}, "'hidden_channels' needs to be of type int .got 'a'"),
        ({"hidden_channels": (1.5, 2)}, "'hidden_channels' needs to be of type int .got 1.5"),
        ({"lr": "a"}, "'lr' needs to be of type float or Sequence .got 'a'"),
        ({"batch_size": True}, "'batch_size' needs to be of type int .got True"),
        ({"lr": []}, "choices of 'lr' need to be distinct, one or more"),
        ({"lr": [0.1, 0.1]}, "choices of 'lr' need to be distinct, one or more"),
        ({"lr": (0.1, 0.1)}, "range of 'lr' needs to be a pair of numbers, the lower one first"),
        ({"lr": (0.1, 0.2, 0.3)}, "range of 'lr' needs to be a pair .* A choice is a list"),
        ({"tie_inverses": (False, True)}, "range of 'tie_inverses' needs to be a pair of num"),
        ({"lr": (0.1, float("inf"))}, "'lr' needs plain, finite values"),
        ({"scorer": TransE(8)}, "'scorer' needs plain, finite values .* Derive a class"),
    ],
)
def test_bad_spaces(space, message):
    with pytest.raises(ValueError, match=message):
        SearchSpace("kge", {"hidden_channels": 8, **space} if space else {})
