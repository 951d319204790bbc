import hashlib
import os
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import torch
from filelock import FileLock
from torch import Tensor
from torch.optim import Optimizer

from torch_imf.io.atomic import claim, replacing

History = list[dict[str, float]]
Entry = TypeVar("Entry", bound=Mapping[str, float])

#: The version of what a checkpoint holds.
FORMAT = 1


class TrainingState:
    r"""Everything a training run needs to go on as if it had never stopped:
    parameters, those of the best epoch, optimizers, history, settings, random
    state, the names of entities and relations, and the versions of packages.

    It is kept in one file that is replaced in one step, so that the file is
    complete whatever happens. The file is locked against other processes as
    long as the state is there, or until :meth:`close`.

    Args:
        model (torch.nn.Module): The model.
        optimizers (list[torch.optim.Optimizer]): Its optimizers.
        settings (dict): The settings of the run. A run can only go on with
            the same ones.
        path (str, optional): The file, or :obj:`None` to keep the state in
            memory only. (default: :obj:`None`)
        facts (tuple[torch.Tensor], optional): The training facts, which are
            part of the fingerprint of a run. (default: :obj:`()`)
        names (dict[str, list[str]], optional): The identifiers of entities and
            relations, in the order of their embeddings. (default: :obj:`None`)

    Raises:
        ValueError: If the folder of the file cannot be written to.
        RuntimeError: If another process trains with the same file.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        optimizers: list[Optimizer],
        settings: dict[str, Any],
        path: str | os.PathLike[str] | None = None,
        facts: tuple[Tensor, ...] = (),
        names: dict[str, list[str]] | None = None,
    ) -> None:
        self.model = model
        self.optimizers = optimizers
        self.settings = settings
        self.names = names or {}
        self.path = None if path is None else Path(path)
        self.epoch = 0
        self.history: History = []
        self.best = copy_state(model)
        self.claim: FileLock | None = None
        if self.path is not None:
            self.fingerprint = fingerprint(model, *facts)
            self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.is_dir() or not os.access(self.path.parent, os.W_OK):
                raise ValueError(f"The checkpoint '{self.path}' cannot be written")
            self.claim = claim(self.path)

    @property
    def stale(self) -> int:
        r"""The number of validations since the best one."""
        if not self.history:
            return 0
        best = best_entry(self.history, self.settings["metric"])
        return len(self.history) - 1 - self.history.index(best)

    def add(self, entry: dict[str, float]) -> None:
        r"""Adds a validation of the model as it is now."""
        self.history.append(entry)
        if self.stale == 0:
            self.best = copy_state(self.model)

    def save(self) -> None:
        r"""Writes the file, if there is one."""
        if self.path is None:
            return
        state = {
            "format": FORMAT,
            "versions": {name: version(name) for name in ("torch", "torch-geometric")},
            "names": self.names,
            "fingerprint": self.fingerprint,
            "settings": self.settings,
            "model": self.model.state_dict(),
            "best": self.best,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "epoch": self.epoch,
            "history": self.history,
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
        with replacing(self.path) as file:
            torch.save(state, file)

    def load(self) -> None:
        r"""Continues from the file, if it is there.

        Raises:
            RuntimeError: If it cannot be read.
            ValueError: If it belongs to another run.
        """
        if self.path is None or not self.path.exists():
            return
        state = read_state(self.path)
        self._check(state)
        self.model.load_state_dict(state["model"])
        for optimizer, value in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(value)
        device = next(self.model.parameters()).device
        self.best = {key: value.to(device) for key, value in state["best"].items()}
        self.epoch, self.history = state["epoch"], state["history"]
        torch.set_rng_state(state["rng"])
        for i, rng in enumerate(state["cuda_rng"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(rng, i)

    def close(self) -> None:
        r"""Leaves the file to others."""
        self.claim = None

    def _check(self, state: Any) -> None:
        if not isinstance(state, dict) or "fingerprint" not in state:
            raise ValueError(f"'{self.path}' is no checkpoint of 'fit'")
        if state.get("format") != FORMAT:
            raise ValueError(
                f"The checkpoint '{self.path}' is of format {state.get('format')}, and this "
                f"version of torch_imf reads format {FORMAT}. Delete it to start anew"
            )
        if state["names"] != self.names:
            raise ValueError(
                f"The checkpoint '{self.path}' belongs to a graph of other entities or relations, "
                f"or of another order of them. Choose another file"
            )
        names = sorted(set(self.fingerprint) | set(state["fingerprint"]))
        other = [x for x in names if self.fingerprint.get(x) != state["fingerprint"].get(x)]
        if other:
            raise ValueError(
                f"The checkpoint '{self.path}' belongs to another model, other features or other "
                f"training facts: {other[:5]} differ. Choose another file"
            )
        names = sorted(set(self.settings) | set(state["settings"]))
        old, new = ({x: y.get(x) for x in names} for y in (state["settings"], self.settings))
        if old != new:
            raise ValueError(
                f"The checkpoint '{self.path}' was written with other settings "
                f"{ {x: old[x] for x in names if old[x] != new[x]} } (got "
                f"{ {x: new[x] for x in names if old[x] != new[x]} }). Choose another file, or "
                f"the same settings"
            )


def best_entry(history: Sequence[Entry], metric: str) -> Entry:
    r"""Returns the entry of a history of :meth:`~torch_imf.fit` by which its
    epoch was selected: the first of those with the best metric.
    """
    sign = -1 if metric == "mr" else 1
    return max(history, key=lambda entry: sign * entry[metric])


def read_state(path: Path) -> Any:
    r"""Returns what a checkpoint holds.

    Raises:
        RuntimeError: If it cannot be read.
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:
        raise RuntimeError(
            f"The checkpoint '{path}' cannot be read ({error}). Delete it to start anew"
        ) from error


def first_seed(path: Path) -> int:
    r"""Returns the seed that the training of a checkpoint began with, which its
    random state tells.

    Raises:
        RuntimeError: If the checkpoint cannot be read.
        ValueError: If it is none.
    """
    state = read_state(path)
    if not isinstance(state, dict) or "rng" not in state:
        raise ValueError(f"'{path}' is no checkpoint of 'fit'")
    return torch.Generator().set_state(state["rng"]).initial_seed()


def copy_state(model: torch.nn.Module) -> dict[str, Tensor]:
    r"""Returns a copy of the parameters and persistent buffers of a model."""
    return {key: value.detach().clone() for key, value in model.state_dict().items()}


def fingerprint(model: torch.nn.Module, *tensors: Tensor) -> dict[str, str]:
    r"""Describes what a model is rather than what it has learned: the class
    and settings of each module, the shape of each parameter, and a hash of
    each buffer that is not saved, such as features, and of further tensors.
    """
    out = {f"tensor {i}": _hash(x) for i, x in enumerate(tensors)}
    saved = model.state_dict()
    for name, value in saved.items():
        out[name] = f"{value.dtype}{list(value.size())}"
    out.update({name: _hash(x) for name, x in model.named_buffers() if name not in saved})
    for name, module in model.named_modules():
        settings = {
            key: value
            for key, value in sorted(vars(module).items())
            if isinstance(value, (bool, int, float, str, type(None), list, dict))
            and not key.startswith("_")
            and key != "training"
        }
        out[f"{name or 'model'} ({type(module).__name__})"] = repr(settings)
    return out


def _hash(x: Tensor) -> str:
    x = x.detach().cpu().contiguous()
    return f"{x.dtype}{list(x.size())} {hashlib.sha256(x.numpy().tobytes()).hexdigest()}"
