import functools
import shutil
import sqlite3
import sys

import pytest
import torch
from filelock import FileLock

from torch_imf import best_settings, build_model, evaluate, fit, tune
from torch_imf.nn import KGE, TransE
from torch_imf.training.tune import SPACES, SearchSpace, digest, without_test

optuna = pytest.importorskip("optuna")

SPACE = {"hidden_channels": [4, 8], "loss": ["bce", "ce"], "lr": (1e-3, 1e-1), "batch_size": 1024}


def search(data, trials=3, space=SPACE, **kwargs):
    return tune("kge", data, space, trials, **{"epochs": 1, **kwargs})


def outcome(study):
    keys = ("seed", "settings", "metrics")
    return [
        (x.params, x.value, x.intermediate_values, {k: x.user_attrs.get(k) for k in keys})
        for x in study.trials
        if x.state.name != "FAIL"
    ]


def test_tune(fake, capfd):
    state, verbosity = torch.get_rng_state(), optuna.logging.get_verbosity()
    study = search(fake, trials=4, epochs=3)
    assert torch.equal(torch.get_rng_state(), state)
    assert optuna.logging.get_verbosity() == verbosity
    assert len(study.trials) == 4 and set(study.best_params) == {"hidden_channels", "loss", "lr"}
    assert len({trial.user_attrs["seed"] for trial in study.trials}) == 4
    for trial in study.trials:
        assert list(trial.intermediate_values) == [1, 2, 3]
        assert max(trial.intermediate_values.values()) == trial.value
    assert capfd.readouterr() == ("", "")

    # The model of the best trial can be trained again:
    best = study.best_trial.user_attrs
    own, others = best_settings(study)
    assert own == {k: study.best_params[k] for k in ("hidden_channels", "loss")}
    assert others == {"epochs": 3, "metric": "mrr", "lr": study.best_params["lr"]} | {
        "batch_size": 1024
    }
    torch.manual_seed(best["seed"])
    model = build_model("kge", fake, **own)
    history = fit(model, without_test(fake), **others)
    assert max(entry["mrr"] for entry in history) == study.best_value == best["metrics"]["mrr"]
    assert evaluate(model, without_test(fake), "val")["mrr"] == study.best_value


def test_test_facts_have_no_part(fake):
    study = search(fake)
    for split in ("test", "val"):  # Whereas validation facts are what is searched for.
        data, mask = fake.clone(), fake[f"{split}_mask"]
        data.edge_index[1, mask] = data.edge_index[1, mask].roll(1)
        assert (outcome(search(data)) == outcome(study)) == (split == "test")


@pytest.fixture(scope="module")
def one_trial(fake, tmp_path_factory):
    # Optuna takes long to make the tables of a new file, so this is done once.
    path = tmp_path_factory.mktemp("tune") / "runs" / "a.db"
    assert len(search(fake, 1, storage=path).trials) == 1
    return path


@pytest.fixture
def storage(one_trial, tmp_path):
    return shutil.copy(one_trial, tmp_path / "a.db")


def test_resumed_study_equals_uninterrupted(fake, storage, monkeypatch):
    # The first two are drawn at random, and others by what came before:
    sampler = functools.partial(optuna.samplers.TPESampler, n_startup_trials=2)
    monkeypatch.setattr(optuna.samplers, "TPESampler", sampler)
    whole = search(fake, 5)
    for trials in (3, 5):
        study = search(fake, trials, storage=storage)
        assert len(study.trials) == trials
        assert outcome(study) == outcome(whole)[:trials]
    assert outcome(search(fake, 2, seed=4)) != outcome(whole)[:2]
    # Nothing is left to do:
    assert len(search(fake, 2, storage=storage).trials) == 5


def test_killed_trial_is_repeated(fake, storage):
    study = optuna.load_study(study_name="torch_imf", storage=f"sqlite:///{storage}")
    study.ask()  # Nobody tells how it ends.
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "RUNNING"]
    study = search(fake, 2, storage=storage)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "FAIL", "COMPLETE"]
    assert outcome(study) == outcome(search(fake, 2))


def fail(monkeypatch, error, at):
    calls = []

    @functools.wraps(fit)
    def failing(*args, **kwargs):
        calls.append(0)
        if len(calls) == at:
            raise error
        return fit(*args, **kwargs)

    monkeypatch.setattr(sys.modules["torch_imf.training.tune"], "fit", failing)


def test_interrupted(fake, storage, monkeypatch):
    for path, text in ((storage, "kept in '.*a.db'"), (None, "lost")):
        fail(monkeypatch, KeyboardInterrupt(), at=1 if path else 2)
        with pytest.raises(KeyboardInterrupt, match=f"after 1 of 2 trials, which are {text}"):
            search(fake, 2, storage=path)
    # An error of which nobody knows what it means is not taken for an outcome:
    fail(monkeypatch, TypeError("Oh"), at=1)
    with pytest.raises(TypeError, match="Oh"):
        search(fake, 2, storage=storage)
    study = search(fake, 2, storage=storage)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "FAIL", "FAIL", "COMPLETE"]
    assert study.trials[2].user_attrs["reason"] == "TypeError: Oh"
    assert outcome(study) == outcome(search(fake, 2))


def test_out_of_memory(fake, monkeypatch):
    with pytest.raises(RuntimeError) as caught:  # The CPU has no class of its own for it.
        torch.empty(2**60)
    for error in (torch.OutOfMemoryError("CUDA"), MemoryError("No memory"), caught.value):
        fail(monkeypatch, error, at=1)
        first, second = search(fake, 2).trials
        assert (first.state.name, second.state.name) == ("PRUNED", "COMPLETE")
        assert first.user_attrs["reason"] == f"{type(error).__name__}: {error}"


def test_divergence_and_refused_settings(fake):
    study = search(fake, 6, {**SPACE, "lr": [0.01, 1e18]}, seed=1)
    for trial in study.trials:
        reason = trial.user_attrs.get("reason", "").partition(":")[0]
        is_pruned = trial.state.name == "PRUNED"
        assert (reason in ("Diverged", "NotFinite")) == is_pruned == (trial.params["lr"] == 1e18)
    assert {trial.state.name for trial in study.trials} == {"COMPLETE", "PRUNED"}

    with pytest.raises(ValueError, match="None of 2 trials .* an even number"):
        search(fake, 2, {**SPACE, "scorer": "complex", "hidden_channels": 7})


def test_pruning(fake):
    class Pruner(optuna.pruners.BasePruner):
        def prune(self, study, trial):
            return trial.number == 1 and trial.last_step == 2

    study = search(fake, epochs=3, pruner=Pruner(), metric="mr")
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "PRUNED", "COMPLETE"]
    first, pruned, last = study.trials
    assert list(pruned.intermediate_values) == [1, 2]
    assert pruned.user_attrs["reason"].endswith("Stopped by Pruner at epoch 2")
    assert study.best_value == min(first.value, last.value)  # The mean rank is minimised.
    assert first.value == min(first.intermediate_values.values())


def test_storages(fake, storage, tmp_path):
    for name, kwargs in {
        "space": {"space": {**SPACE, "lr": [*SPACE["lr"]]}},
        "epochs": {"epochs": 2},
        "seed": {"seed": 1},
        "metric": {"metric": "mr"},
        "facts and features": {"data": fake.edge_subgraph(torch.arange(fake.num_edges) > 9)},
    }.items():
        with pytest.raises(ValueError, match=f"with other settings: .*'{name}'.* Choose another"):
            search(**{"data": fake, "storage": storage, **kwargs})
    with pytest.raises(ValueError, match="'model': .'KGE', 'IMF'."):
        tune("imf", fake, SPACE, epochs=1, storage=storage)
    assert len(search(fake, 1, storage=storage).trials) == 1  # As it was.
    with FileLock(tmp_path / ".a.db.lock"), pytest.raises(RuntimeError, match="in use by another"):
        search(fake, storage=storage)

    (tmp_path / "facts.db").write_bytes(b"facts")
    with sqlite3.connect(tmp_path / "other.db") as database:
        database.execute("CREATE TABLE trials (name)")  # Of somebody else.
    database.close()
    for path in (tmp_path / "facts.db", tmp_path / "other.db", tmp_path, "magic://host/name"):
        with pytest.raises(ValueError, match=f"'{path}' cannot be worked on.* Choose another"):
            search(fake, storage=path)
    assert (tmp_path / "facts.db").read_bytes() == b"facts"

    # The file is that of the name, whatever it means in an address:
    name = "a?b%20c#d@e:f ü☃.db"
    search(fake, 1, storage=tmp_path / "new" / name)
    assert {path.name for path in (tmp_path / "new").iterdir()} == {name, f".{name}.lock"}


def test_bad_arguments(fake, monkeypatch):
    for kwargs, message in (
        ({"trials": 0}, "'trials' needs to be positive"),
        ({"epochs": 0}, "'epochs' needs to be positive"),
        ({"seed": -1}, "'seed' cannot be negative"),
        ({"metric": "auc"}, "Invalid 'metric'"),
    ):
        with pytest.raises(ValueError, match=message):
            search(fake, **kwargs)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(ImportError, match=r"pip install \"torch_imf\[tune\]\""):
        tune(KGE, fake, SPACE)


def test_digest(fake):
    assert digest(fake) == digest(fake.clone())
    changes = {name: fake[name].flip(-1) for name in ("edge_index", "edge_type", "val_mask")}
    changes |= {"text_mask": fake.text_mask.flip(-1), "x_text": fake.x_text.to(torch.float64)}
    for name, value in changes.items():
        data = fake.clone()
        data[name] = value
        assert digest(data) != digest(fake)


# The space ######################################################################################


def ask(space, **params):
    trial = optuna.trial.FixedTrial(params)
    return *space.suggest(trial), trial


def test_values():
    space = SearchSpace(
        "imf",
        {
            "hidden_channels": (8, 16),
            "loss.label_smoothing": (0.01, 0.1),
            "scorer.dropout": (0, 0.5),
            "lr": (1e-4, 1e-2),
            "loss": ["bce", "ce"],
            "views": [["struct"], ["struct", "fused"]],
            "contrastive.temperature": [None, 1, 0.5],
            "decision": 1.0,
            "weight_decay": [0.0, 1e-4],
            "patience": [None, 3],
        },
    )
    params = {"hidden_channels": 8, "loss.label_smoothing": 0.05, "scorer.dropout": 0.5, "lr": 1e-3}
    others = {"loss": "ce", "views": '["struct", "fused"]', "contrastive.temperature": None}
    own, fit, trial = ask(space, **params, **others, weight_decay=1e-4, patience=3)
    assert own == {
        **{k: params[k] for k in ("hidden_channels", "loss.label_smoothing", "scorer.dropout")},
        **others,
        "views": ["struct", "fused"],
        "decision": 1.0,
    }
    assert fit == {"lr": 1e-3, "weight_decay": 1e-4, "patience": 3}
    log = {k: getattr(x, "log", None) for k, x in trial.distributions.items()}
    assert log["lr"] is True  # It spans more than a factor of ten.
    assert log["loss.label_smoothing"] is log["scorer.dropout"] is log["hidden_channels"] is False


def test_settings_of_parts_that_are_chosen():
    space = {"hidden_channels": 36, "scorer": ["conve", "contextual"], "loss": ["ce", "sampled"]}
    params = {"scorer.dropout": 0.1, "scorer.num_filters": 8, "loss.num_negatives": 4}
    space = SearchSpace("kge", space | {key: [value] for key, value in params.items()})
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
        ({}, "KGE needs a value for 'hidden_channels'"),
        ({"epochs": 3}, "KGE has no setting 'epochs'.* It takes .*'batch_size', .*'scorer'"),
        ({"scorer.dropout": 0.1}, "no setting 'scorer.dropout' where 'scorer' is '"),
        ({"scorer": ["conve", "what"]}, "There is no scorer 'what'. Choose of"),
        ({"hidden_channels": ["a"]}, "'hidden_channels' needs to be of type int .got 'a'"),
        ({"hidden_channels": (1.5, 2)}, "'hidden_channels' needs to be of type int .got 1.5"),
        ({"lr": "a"}, "'lr' needs to be of type float . .* .got 'a'"),
        ({"batch_size": True}, "'batch_size' needs to be of type int .got True"),
        *(
            ({"lr": lr}, "'lr' needs a list of choices, a pair of numbers .the lower one first.")
            for lr in ([], (0.1, 0.1), (0.1, 0.2, 0.3), (False, True), (0.1, float("inf")))
        ),
        ({"scorer": TransE(8)}, "'scorer' needs .* plain and finite"),
    ],
)
def test_bad_spaces(space, message):
    with pytest.raises(ValueError, match=message):
        SearchSpace("kge", {"hidden_channels": 8, **space} if space else {})
