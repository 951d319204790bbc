import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch_geometric.data import Data
from tqdm import tqdm

from torch_imf.data.graph import check_graph
from torch_imf.nn.models import MultimodalKGE
from torch_imf.training.fit import METRICS
from torch_imf.training.space import SearchSpace, Settings
from torch_imf.training.study import (
    database_errors,
    digest,
    import_optuna,
    locked,
    num_finished,
    open_study,
    quiet,
)
from torch_imf.training.trial import run_trial

if TYPE_CHECKING:
    from optuna import Study
    from optuna.pruners import BasePruner


def tune(
    model: str | type[MultimodalKGE],
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
    r"""Searches for the settings of a model, and of its training, that do best
    on validation facts, with `Optuna <https://optuna.org>`_
    (:obj:`pip install "torch_imf[tune]"`).

    .. code-block:: python

        space = {"hidden_channels": [64, 128], "lr": (1e-4, 1e-2), "scorer.dropout": (0.0, 0.5)}
        study = tune("imf", data, space, storage="runs/tune.db")
        model_settings, fit_settings = best_settings(study)
        model = build_model("imf", data, **model_settings)
        fit(model, data, **fit_settings)

    Each trial builds a model (:meth:`build_model`), trains it by :meth:`fit`
    and is stopped where it is worse than the median of those before. Test
    facts are taken off the graph at first: they have no part in anything, not
    as known answers either (:meth:`without_test`).

    With a :obj:`storage`, the same call goes on until there are :obj:`trials`
    in all. What a trial draws is a function of :obj:`seed` and of the trials
    that are finished, so that a study that was interrupted or killed goes on
    as if it had not been, with the same version of Optuna. A trial that was
    killed is marked as failed and repeated; one that diverges, runs out of
    memory, or whose settings the model refuses is pruned, with the
    :obj:`"reason"` among its user attributes. One process at a time can work
    on a storage.

    Args:
        model (str or type): The name of a model, *e.g.*, :obj:`"imf"`, or its
            class.
        data (Data): The graph, with split masks.
        space (dict, optional): What to try of each setting of the model
            (:meth:`describe_settings`) and of :meth:`fit`: a list is a choice;
            a pair of numbers is a range, logarithmic for floats that are
            positive and span more than a factor of ten; anything else is
            fixed. If :obj:`None`, a small space for IMF or AdaMF.
            (default: :obj:`None`)
        trials (int, optional): The number of trials, those that were pruned
            included. (default: :obj:`20`)
        epochs (int, optional): The number of epochs of each, unless it stops
            early. (default: :obj:`30`)
        storage (str, optional): The SQLite file to keep the study in, or a
            database address of Optuna. If :obj:`None`, it is in memory only.
            (default: :obj:`None`)
        seed (int, optional): The seed of everything random.
            (default: :obj:`0`)
        metric (str, optional): The validation metric to select by.
            (default: :obj:`"mrr"`)
        pruner (optuna.pruners.BasePruner, optional): What stops a trial. If
            :obj:`None`, a median pruner after five trials, and a fifth of the
            epochs. (default: :obj:`None`)
        device (str, optional): The device to train on. (default: :obj:`None`)
        progress (bool, optional): If set to :obj:`False`, shows no progress
            bar. It is only shown in a terminal. (default: :obj:`True`)

    Returns:
        The study, with :obj:`best_params` and :obj:`best_value`. A trial has
        its :obj:`"settings"`, :obj:`"seed"` and :obj:`"metrics"` (of its best
        epoch) among its user attributes.

    Raises:
        ValueError: If an argument is invalid, the storage holds another study,
            is in use or cannot be worked on, or no trial could be completed.
        ImportError: If Optuna is not installed.
    """
    optuna = import_optuna()
    for name, value in {"trials": trials, "epochs": epochs}.items():
        if value < 1:
            raise ValueError(f"'{name}' needs to be positive (got {value})")
    if seed < 0:
        raise ValueError(f"'seed' cannot be negative (got {seed})")
    if metric not in METRICS:
        raise ValueError(f"Invalid 'metric' argument (got '{metric}', choose of {METRICS})")
    search, data = SearchSpace(model, space), without_test(data)
    for split in ("train", "val"):
        if not bool(data[f"{split}_mask"].any()):
            raise ValueError(f"The '{split}' split holds no facts")
    if pruner is None:
        pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=epochs // 5)
    settings = {
        "model": search.cls.__name__,
        # A pair is not a list:
        "space": {name: repr(value) for name, value in search.space.items()},
        "epochs": epochs,
        "seed": seed,
        "metric": metric,
        "pruner": type(pruner).__name__,
        "facts and features": digest(data),
    }
    fixed = {"epochs": epochs, "metric": metric}
    completed = [optuna.trial.TrialState.COMPLETE]
    with quiet(optuna), locked(storage), database_errors(optuna, storage):
        study = open_study(optuna, storage, settings, pruner)
        bar = tqdm(
            desc="Tuning",
            initial=min(num_finished(study), trials),
            total=trials,
            disable=None if progress else True,
        )
        with bar:
            try:
                while num_finished(study) < trials:
                    run_trial(optuna, study, search, data, fixed, seed, device)
                    bar.update()
                    if study.get_trials(False, completed):
                        bar.set_postfix({f"best {metric}": f"{study.best_value:.4f}"})
            except KeyboardInterrupt:
                raise KeyboardInterrupt(
                    f"Stopped after {num_finished(study)} of {trials} trials, which are "
                    + (
                        "lost, as there is no 'storage'"
                        if storage is None
                        else f"kept. The same call goes on from '{storage}'"
                    )
                ) from None
        if not study.get_trials(False, completed):
            reason = study.trials[-1].user_attrs.get("reason")
            raise ValueError(f"None of {trials} trials could be completed. The last one: {reason}")
    return study


def best_settings(study: "Study") -> tuple[Settings, Settings]:
    r"""Returns the settings of the best trial of :meth:`tune`: those of
    :meth:`build_model`, and those of :meth:`fit`.

    .. code-block:: python

        torch.manual_seed(study.best_trial.user_attrs["seed"])
        model = build_model("imf", data, **model_settings)
        fit(model, without_test(data), **fit_settings)

    then trains the model of this trial again, to the same validation metric.

    Args:
        study (optuna.Study): The study.
    """
    settings = study.best_trial.user_attrs["settings"]
    return settings["model"], settings["fit"]


def without_test(data: Data) -> Data:
    r"""Returns a graph without its test facts. What is trained on it is the
    same; its validation facts are ranked a little lower, as entities that are
    answers by a test fact only are not known to be.
    """
    check_graph(data)
    return data.edge_subgraph(~data.test_mask)
