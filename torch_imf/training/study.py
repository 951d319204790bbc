import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from filelock import FileLock, Timeout
from torch import Tensor
from torch_geometric.data import Data

from torch_imf.data import modalities

if TYPE_CHECKING:
    from optuna import Study
    from optuna.pruners import BasePruner

#: The name of the study in its storage.
STUDY = "torch_imf"


def open_study(
    optuna: Any,
    storage: str | os.PathLike[str] | None,
    settings: dict[str, Any],
    pruner: "BasePruner",
) -> "Study":
    r"""Opens or creates the study in a storage, in which no trial is running.

    Raises:
        ValueError: If the storage holds another study, or is no database.
    """
    study: Study = optuna.create_study(
        storage=find_address(storage),
        study_name=STUDY,
        direction="minimize" if settings["metric"] == "mr" else "maximize",
        pruner=pruner,
        load_if_exists=True,
    )
    old = study.user_attrs.get("settings", {} if study.trials else settings)
    if old != settings:
        names = [name for name in settings if old.get(name) != settings[name]]
        raise ValueError(
            f"The storage '{storage}' holds a study with other settings: {names} differ (it has "
            f"{ {x: old.get(x) for x in names} }, got { {x: settings[x] for x in names} }). Choose "
            f"another storage, or the same settings"
        )
    study.set_user_attr("settings", settings)
    for trial in study.get_trials(states=[optuna.trial.TrialState.RUNNING]):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)
    return study


def num_finished(study: "Study") -> int:
    r"""Returns the number of trials that have an outcome."""
    return sum(trial.state.name in ("COMPLETE", "PRUNED") for trial in study.get_trials(False))


def find_address(storage: str | os.PathLike[str] | None) -> str | None:
    r"""Returns the database address of a storage, which may be a SQLite file
    of any name.
    """
    if storage is None or "://" in os.fspath(storage):
        return None if storage is None else os.fspath(storage)
    path = Path(storage).absolute()
    is_other = path.is_dir()
    if path.is_file() and path.stat().st_size > 0:
        with path.open("rb") as file:
            is_other = file.read(6) != b"SQLite"
    if is_other:
        raise ValueError(f"'{storage}' is no SQLite file. Choose another storage")
    from sqlalchemy.engine import URL, make_url

    address = URL.create("sqlite", database=str(path)).render_as_string()
    if make_url(address).database != str(path):  # Older versions do not quote names.
        raise ValueError(f"'{storage}' cannot be named in an address. Choose another storage")
    return address


def digest(data: Data) -> str:
    r"""Returns a hash of the facts and features of a graph."""
    x_dict, mask_dict = modalities(data)
    tensors: dict[str, Tensor] = {f"x_{name}": x for name, x in x_dict.items()}
    tensors |= {f"{name}_mask": mask for name, mask in mask_dict.items()}
    names = ("edge_index", "edge_type", "train_mask", "val_mask")
    out = hashlib.sha256(f"{data.num_nodes} {data.num_relations}".encode())
    for name, x in [*((name, data[name]) for name in names), *tensors.items()]:
        out.update(f"{name} {x.dtype} {list(x.size())}".encode())
        out.update(x.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return out.hexdigest()


@contextmanager
def locked(storage: str | os.PathLike[str] | None) -> Iterator[None]:
    r"""Keeps other processes from a file."""
    if storage is None or "://" in os.fspath(storage):
        yield
        return
    path = Path(storage).absolute()
    path.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(f"{path}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise ValueError(
            f"Another process works on '{storage}'. Wait, or choose another"
        ) from error
    try:
        yield
    finally:
        lock.release()


@contextmanager
def database_errors(optuna: Any, storage: str | os.PathLike[str] | None) -> Iterator[None]:
    r"""Tells of errors of a database by the storage, rather than by its
    statements.

    Raises:
        ValueError: If there is one.
    """
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except (SQLAlchemyError, optuna.exceptions.StorageInternalError) as error:
        first = str(error.__cause__ or error).partition("\n")[0]
        raise ValueError(
            f"The storage '{storage}' cannot be worked on: it is damaged, holds something else, "
            f"or cannot be reached or written to ({first}). Choose another storage"
        ) from error


@contextmanager
def quiet(optuna: Any) -> Iterator[None]:
    r"""Keeps Optuna from logging anything but warnings."""
    verbosity = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(verbosity)


def import_optuna() -> Any:
    r"""Returns the module."""
    try:
        import optuna
    except ImportError as error:
        raise ImportError("'tune' requires Optuna, run 'pip install torch_imf[tune]'") from error
    return optuna
