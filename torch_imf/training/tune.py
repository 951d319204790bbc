import functools
import inspect
import itertools
import json
import os
import os.path as osp
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch_geometric.data import Data

from torch_imf.data import modalities
from torch_imf.data.graph import without_test
from torch_imf.io import require
from torch_imf.io.atomic import claim
from torch_imf.io.hash import hash_content, hash_tensor
from torch_imf.io.progress import watched
from torch_imf.registry import (
    Setting,
    build_model,
    check_settings,
    checked,
    describe_settings,
    lookup,
)
from torch_imf.training.checkpoint import best_entry
from torch_imf.training.fit import Diverged, check_run, fit

if TYPE_CHECKING:
    from optuna import Study, Trial
    from optuna.pruners import BasePruner

    from torch_imf.nn.models import MultimodalKGE

Settings = dict[str, Any]

#: ComplEx against all entities, which learns in few epochs and on graphs of any size.
ADAGRAD: Settings = {
    "hidden_channels": [64, 128, 256],
    "scorer": "complex",
    "loss": "ce",
    "loss.regularizer": "dura",
    "loss.regularizer.weight": (0.01, 0.3),
    "optimizer": "adagrad",
    "lr": (0.02, 0.3),
    "dense_lr": (0.003, 0.05),
    "batch_size": [128, 256, 512, 1024],
}
#: What to try if nothing is said, by model: few settings, those that matter most.
SPACES = {"IMF": {**ADAGRAD, "contrastive.weight": (0.01, 1.0)}, "AdaMF": ADAGRAD}
#: Arguments of `fit` that are none of a trial: `tune` gives them.
GIVEN = ("model", "data", "epochs", "metric", "checkpoint", "callback", "progress")


@checked
def tune(
    model: "str | type[MultimodalKGE]",
    data: Data,
    space: Mapping[str, Any] | None = None,
    trials: int = 20,
    epochs: int = 30,
    storage: str | os.PathLike[str] | None = None,
    seed: int = 0,
    metric: str = "mrr",
    pruner: "BasePruner | None" = None,
    device: str | torch.device | None = None,
    progress: bool = True,
) -> "Study":
    r"""Searches for the settings of a model, and of its training, that do best on validation facts,
    with `Optuna <https://optuna.org>`_ (:obj:`pip install "torch_imf[tune]"`).

    .. code-block:: python

        space = {"hidden_channels": [64, 128], "lr": (1e-4, 1e-2), "scorer.dropout": (0.0, 0.5)}
        study = tune("imf", data, space, storage="runs/tune.db")
        model_settings, fit_settings = best_settings(study)
        model = build_model("imf", data, **model_settings)
        fit(model, data, **fit_settings)

    Each trial builds a model (:meth:`build_model`), trains it by :meth:`fit` and is stopped where
    it is worse than the median of those before. It is pruned if it diverges, runs out of memory, or
    the model refuses its settings. Test facts have no part in anything, not as known answers either
    (:meth:`without_test`).

    With a :obj:`storage`, the same call goes on until there are :obj:`trials` in all, as if it had
    not been interrupted or killed, with the same version of Optuna. A trial that was killed is
    marked as failed and repeated. One process at a time can work on a file.

    Args:
        model (str or type): The name of a model, or its class.
        data (Data): The graph, with split masks.
        space (dict, optional): What to try of each setting of the model (:meth:`describe_settings`)
            and of :meth:`fit`: a list is a choice; a pair of numbers is a range, logarithmic for
            floats that are positive and span more than a factor of ten; anything else is fixed. If
            :obj:`None`, a small space for IMF or AdaMF. (default: :obj:`None`)
        trials (int, optional): The number of trials, pruned ones included. (default: :obj:`20`)
        epochs (int, optional): The most epochs of each. (default: :obj:`30`)
        storage (str, optional): The SQLite file to keep the study in, or a database address of
            Optuna. If :obj:`None`, it is in memory only. (default: :obj:`None`)
        seed (int, optional): The seed of everything random. (default: :obj:`0`)
        metric (str, optional): The validation metric to select by. (default: :obj:`"mrr"`)
        pruner (optuna.pruners.BasePruner, optional): What stops a trial. If :obj:`None`, a median
            pruner after five trials, and a fifth of the epochs. (default: :obj:`None`)
        device (str, optional): The device to train on. (default: :obj:`None`)
        progress (bool, optional): Whether to show progress in a terminal. (default: :obj:`True`)

    Returns:
        The study. Among its user attributes, a trial has its :obj:`"settings"`, :obj:`"seed"`,
        :obj:`"metrics"` (of its best epoch) and, if it was not completed, the :obj:`"reason"`.

    Raises:
        ValueError: If an argument is invalid, the storage holds another study or cannot be worked
            on, or no trial could be completed.
        RuntimeError: If another process works on the storage.
    """
    require("optuna", "Searches", "tune")
    import optuna

    if seed < 0:
        raise ValueError(f"'seed' cannot be negative (got {seed})")
    search, data = SearchSpace(model, space), without_test(data)
    check_run(data, metric)
    try:
        device = torch.device("cpu" if device is None else device)
    except RuntimeError as error:
        raise ValueError(f"Invalid 'device' argument (got '{device}'): {error}") from error
    pruner = pruner or optuna.pruners.MedianPruner(n_warmup_steps=epochs // 5)
    fixed: Settings = {"epochs": epochs, "metric": metric}
    settings = {**fixed, "seed": seed, "facts and features": digest(data)}
    settings |= {"model": search.cls.__name__, "pruner": type(pruner).__name__}
    # A pair is not a list:
    settings["space"] = {name: repr(value) for name, value in search.space.items()}

    def run(seed: int, trial: "Trial") -> float:
        def report(entry: dict[str, float]) -> None:
            trial.report(entry[metric], step=int(entry["epoch"]))
            if trial.should_prune():
                name = type(trial.study.pruner).__name__
                raise optuna.TrialPruned(f"Stopped by {name} at epoch {entry['epoch']}")

        trial.set_user_attr("seed", seed)
        try:
            own, others = search.suggest(trial)
            trial.set_user_attr("settings", {"model": own, "fit": {**fixed, **others}})
            with torch.random.fork_rng([device] if device.type == "cuda" else []):
                torch.manual_seed(seed)
                model = build_model(search.cls, data, **own).to(device)
                history = fit(model, data, **fixed, **others, callback=report, progress=False)
        except BaseException as error:
            trial.set_user_attr("reason", f"{type(error).__name__}: {error}")
            # That of a CPU has no class of its own:
            is_full = isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
            outcomes = ValueError, Diverged, MemoryError, torch.OutOfMemoryError
            if is_full or isinstance(error, outcomes):
                raise optuna.TrialPruned(str(error)) from error  # An outcome, too.
            raise
        best = best_entry(history, metric)
        trial.set_user_attr("metrics", best)
        return best[metric]

    with (
        _open_study(storage, settings, pruner) as study,
        watched(None, "Tuning", progress, total=trials, leave=True, delay=0) as bar,
    ):
        bar.update(_num_finished(study))
        try:
            # One by one: Optuna seeds a sampler once per process, so that a study that goes on
            # would draw otherwise than one that was not interrupted.
            while (done := _num_finished(study)) < trials:
                seeds = np.random.SeedSequence([seed, done]).generate_state(2).tolist()
                study.sampler = optuna.samplers.TPESampler(seed=seeds[0])
                study.optimize(functools.partial(run, seeds[1]), n_trials=1)
                bar.update()
        except KeyboardInterrupt:
            kept = "lost" if storage is None else f"kept in '{storage}'"
            text = f"Stopped after {_num_finished(study)} of {trials} trials, which are {kept}"
            raise KeyboardInterrupt(text) from None
        if not study.get_trials(False, [optuna.trial.TrialState.COMPLETE]):
            reason = study.trials[-1].user_attrs.get("reason")
            raise ValueError(f"None of {trials} trials could be completed. The last one: {reason}")
    return study


def best_settings(study: "Study") -> tuple[Settings, Settings]:
    r"""Returns the settings of the best trial of :meth:`tune`: those of :meth:`build_model`, and
    those of :meth:`fit`. With the :obj:`"seed"` of the trial and the graph :meth:`without_test`,
    they give the same metric again.
    """
    if not hasattr(study, "user_attrs"):
        raise ValueError(f"'study' needs to be what 'tune' returns (got {study!r:.80})")
    settings = study.best_trial.user_attrs["settings"]
    return settings["model"], settings["fit"]


class SearchSpace:
    r"""The settings to try, each checked against what a model and :meth:`~torch_imf.fit` take, as
    in :meth:`tune`. Settings of a part are tried where that part is chosen.
    """

    def __init__(
        self, model: "str | type[MultimodalKGE]", space: Mapping[str, Any] | None = None
    ) -> None:
        self.cls = lookup("model", model)
        name = self.cls.__name__
        if space is None and name not in SPACES:
            takes = f"It takes {sorted(describe_settings(self.cls))}"
            raise ValueError(f"'{name}' has no default space, name one as 'space'. {takes}")
        self.space = dict(SPACES[name] if space is None else space)
        parameters = inspect.signature(fit).parameters
        self.fit = {k: Setting(x) for k, x in parameters.items() if k not in GIVEN}
        options = {key: _options(key, value) for key, value in self.space.items()}
        # All settings of the model that there are for some choice of parts:
        parts = [
            [(key, x) for x in values if isinstance(x, bool | str)]
            for key, values in options.items()
            if key not in self.fit
        ]
        known = dict(self.fit)
        for chosen in itertools.product(*filter(None, parts)):
            known |= describe_settings(self.cls, dict(chosen))
        check_settings(self.cls, options, known)

    def suggest(self, trial: Any) -> tuple[Settings, Settings]:
        r"""Returns the settings that an Optuna trial tries: those of the model and those of
        :meth:`fit`.
        """
        own: Settings = {}
        # Parts before what is set of them, as they tell what there is to set:
        for key in sorted(self.space, key=lambda key: key.count(".")):
            if key not in self.fit and ("." not in key or key in describe_settings(self.cls, own)):
                own[key] = _suggest(trial, key, self.space[key])
        return own, {k: _suggest(trial, k, x) for k, x in self.space.items() if k in self.fit}


def _options(key: str, value: Any) -> list[Any]:
    # The values that a setting can take: all of a choice, both ends of a range, or the one.
    options = list(value) if isinstance(value, list | tuple) else [value]
    try:
        json.dumps(options, allow_nan=False)
        low, high = options if isinstance(value, tuple) else (0, 1)
        if not options or {type(low), type(high)} - {int, float} or low >= high:
            raise ValueError
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"'{key}' needs a list of choices, a pair of numbers (the lower one first) or one "
            f"value, which are plain and finite (got {value!r})"
        ) from error
    return options


def _suggest(trial: Any, key: str, value: Any) -> Any:
    if isinstance(value, list):  # Optuna takes no lists and dictionaries among choices.
        labels = {json.dumps(x) if isinstance(x, list | dict | tuple) else x: x for x in value}
        return labels[trial.suggest_categorical(key, list(labels))]
    if not isinstance(value, tuple):
        return value
    low, high = value
    if isinstance(low, int) and isinstance(high, int):
        return trial.suggest_int(key, low, high)
    return trial.suggest_float(key, low, high, log=low > 0 and high > 10 * low)


@contextmanager
def _open_study(
    storage: str | os.PathLike[str] | None, settings: Settings, pruner: "BasePruner"
) -> "Iterator[Study]":
    # Opens or creates the study in a storage, in which no trial is running, and keeps other
    # processes from its file. Errors of a database are told by the storage, not by its statements.
    import optuna
    from sqlalchemy.engine import URL
    from sqlalchemy.exc import SQLAlchemyError

    lock, address = None, None if storage is None else os.fspath(storage)
    if address is not None and "://" not in address:
        os.makedirs(osp.dirname(osp.abspath(address)), exist_ok=True)
        # Optuna lets several processes add to one study, which would then be another one:
        lock = claim(address)
        address = URL.create("sqlite", database=osp.abspath(address)).render_as_string()
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(
            storage=address,
            study_name="torch_imf",
            direction="minimize" if settings["metric"] == "mr" else "maximize",
            pruner=pruner,
            load_if_exists=True,
        )
        old = study.user_attrs.get("settings", {} if study.trials else settings)
        differ = {k: (old.get(k), x) for k, x in settings.items() if old.get(k) != x}
        if differ:
            raise ValueError(
                f"The storage '{storage}' holds a study with other settings: {differ} (it has, "
                f"got). Choose another storage, or the same settings"
            )
        study.set_user_attr("settings", settings)
        # Optuna finds these by a heartbeat, after a minute; nobody else is at work here.
        for trial in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
            study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
        yield study
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        reason = str(error.__cause__ or error).partition("\n")[0]
        raise ValueError(
            f"The storage '{storage}' cannot be worked on ({reason}). Choose another storage"
        ) from error
    finally:
        optuna.logging.set_verbosity(verbosity)
        del lock


def _num_finished(study: "Study") -> int:
    return sum(trial.state.name in ("COMPLETE", "PRUNED") for trial in study.get_trials(False))


def digest(data: Data) -> str:
    r"""Returns a hash of the facts and features of a graph."""
    x_dict, mask_dict = modalities(data)
    tensors = {k: data[k] for k in ("edge_index", "edge_type", "train_mask", "val_mask")}
    for name, x in x_dict.items():
        tensors |= {f"x_{name}": x, f"{name}_mask": mask_dict[name]}
    words = [f"{name} {hash_tensor(x)}" for name, x in sorted(tensors.items())]
    return hash_content(" ".join([str(data.num_nodes), str(data.num_relations), *words]))
