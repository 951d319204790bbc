from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch_geometric.data import Data

from torch_imf.build import build_model
from torch_imf.training.checkpoint import best_entry
from torch_imf.training.fit import Diverged, fit
from torch_imf.training.space import SearchSpace, Settings
from torch_imf.training.study import num_finished

if TYPE_CHECKING:
    from optuna import Study


def run_trial(
    optuna: Any,
    study: "Study",
    search: SearchSpace,
    data: Data,
    fixed: Settings,
    seed: int,
    device: str | torch.device | None = None,
) -> None:
    r"""Runs the next trial of a study, and tells the study about it whatever
    its outcome.
    """
    # Neither depends on trials that have been killed, nor on when the study was opened:
    seeds = np.random.SeedSequence([seed, num_finished(study)]).generate_state(2).tolist()
    study.sampler = optuna.samplers.TPESampler(seed=seeds[0])
    trial = study.ask()
    trial.set_user_attr("seed", seeds[1])
    pruned = optuna.trial.TrialState.PRUNED

    def report(entry: dict[str, float]) -> None:
        trial.report(entry[fixed["metric"]], step=int(entry["epoch"]))
        if trial.should_prune():
            name = type(study.pruner).__name__
            raise optuna.TrialPruned(f"Stopped by {name} at epoch {entry['epoch']}")

    try:
        own, others = search.suggest(trial)
        others = {**fixed, **others}
        trial.set_user_attr("settings", {"model": own, "fit": others})
        device = torch.device("cpu" if device is None else device)
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(seeds[1])
            model = build_model(search.cls, data, **own).to(device)
            history = fit(model, data, **others, callback=report, progress=False)
        best = best_entry(history, fixed["metric"])
        trial.set_user_attr("metrics", best)
        study.tell(trial, best[fixed["metric"]])
    except BaseException as error:
        trial.set_user_attr("reason", f"{type(error).__name__}: {error}")
        is_outcome = isinstance(error, optuna.TrialPruned | Diverged | ValueError)
        is_outcome = is_outcome or is_out_of_memory(error)
        study.tell(trial, state=pruned if is_outcome else optuna.trial.TrialState.FAIL)
        if not is_outcome:
            raise


def is_out_of_memory(error: BaseException) -> bool:
    r"""Tells whether an error is for want of memory, of whichever device."""
    kinds = (MemoryError, torch.OutOfMemoryError)
    # That of a CPU has no class of its own:
    return isinstance(error, kinds) or (
        isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)
    )
