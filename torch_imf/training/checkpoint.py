import copy
import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import torch
from filelock import FileLock
from torch import Tensor
from torch.optim import Optimizer

from torch_imf.data.distributed import Shard, barrier, is_main
from torch_imf.io.atomic import claim, replacing
from torch_imf.io.hash import hash_tensor
from torch_imf.io.sealed import seal, unseal

History = list[dict[str, float]]
Entry = TypeVar("Entry", bound=Mapping[str, float])

#: The version of what a checkpoint holds.
FORMAT = 2


class CheckpointError(ValueError):
    r"""A checkpoint cannot be read or written, or belongs to another run."""


class TrainingState:
    r"""Everything a training run needs to go on as if it had never stopped: a model, its optimizers
    and the settings of the run. It is kept in memory only or, with a path, in a file that is
    replaced in one step and, until :meth:`close`, locked against other processes. A run is told
    from others by its facts, too, by split, and the identifiers of entities and relations, in the
    order of their embeddings.

    Raises:
        CheckpointError: If the file cannot be written.
        RuntimeError: If another process trains with the same file.
    """

    def __init__(
        self,
        model: torch.nn.Module,
        optimizers: list[Optimizer],
        settings: dict[str, Any],
        path: str | os.PathLike[str] | None = None,
        facts: Mapping[str, Tensor] | None = None,
        names: dict[str, list[str]] | None = None,
    ) -> None:
        self.model, self.optimizers = model, optimizers
        self.settings, self.names = settings, names or {}
        self.path = None if path is None else Path(path)
        self.shard: Shard | None = getattr(model, "shard", None)
        self.epoch = 0
        self.history: History = []
        self.best = copy.deepcopy(model.state_dict())
        self.claim: FileLock | None = None
        if self.path is not None:
            self.facts = {name: hash_tensor(fact) for name, fact in (facts or {}).items()}
            self.fingerprint = fingerprint(model)
            with suppress(OSError):
                self.path.parent.mkdir(parents=True, exist_ok=True)
            if self.path.is_dir() or not os.access(self.path.parent, os.W_OK):
                raise CheckpointError(f"The checkpoint '{path}' cannot be written")
            self.claim = claim(self.path) if is_main() else None
            self.lock = self._lock()

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
            self.best = copy.deepcopy(self.model.state_dict())

    def save(self) -> None:
        r"""Writes the file, if there is one, by one process of several."""
        if self.path is None or not (is_main() or self.shard is not None):
            return
        state: dict[str, Any] = {
            "format": FORMAT,
            "versions": {name: version(name) for name in ("torch", "torch-geometric")},
            "names": self.names,
            "facts": self.facts,
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
        if self.shard is not None:
            state = self._with_shards(state, self.shard)
        if is_main():
            self._check_claim()
            with replacing(self.path) as file:
                seal(state, file)
            named = [name for name, *_ in state.get("shards", {}).get("files", [])]
            for old in self.path.parent.glob(f"{self.path.name}.*-of-*"):
                if old.name not in named:
                    old.unlink()

    def load(self) -> None:
        r"""Continues from the file, if it is there. Raises a :class:`CheckpointError` if it cannot
        be read or belongs to another run.
        """
        if self.path is None or not self.path.exists():
            barrier()  # None of several processes may write before all have looked.
            return
        state = read_state(self.path)
        barrier()
        for part in ("names", "facts", "fingerprint", "settings"):
            old, new = state.get(part, {}), getattr(self, part)
            differ: Any = [x for x in sorted({**old, **new}) if old.get(x) != new.get(x)][:5]
            if part == "settings":
                differ = {x: (old.get(x), new.get(x)) for x in differ}
            if differ and part == "facts":
                raise CheckpointError(
                    f"The checkpoint '{self.path}' belongs to other {' and '.join(differ)}. Choose "
                    f"another file"
                )
            if differ:
                raise CheckpointError(
                    f"The checkpoint '{self.path}' belongs to another model, graph or features, or "
                    f"to other settings: {differ}. Choose another file"
                )
        self._take_shards(state)
        self.model.load_state_dict(state["model"])
        for optimizer, value in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(value)
        self.best, self.epoch, self.history = (state[x] for x in ("best", "epoch", "history"))
        torch.set_rng_state(state["rng"])
        for i, rng in enumerate(state["cuda_rng"][: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(rng, i)

    def _with_shards(self, state: dict[str, Any], shard: Shard) -> dict[str, Any]:
        # Writes the rows of entities that this process holds to a file of its own, which the file
        # of all else names. They are under a name of this epoch, so that those of before stay until
        # that file is replaced.
        assert self.path is not None
        state = _without_links(state)
        paths = self._row_paths(state)
        rows = [_get(state, path) for path in paths]
        for path in paths:
            _set(state, path, None)
        name, size = f"{self.path.name}.{self.epoch}", shard.size
        names = [f"{name}.{i + 1}-of-{size}" for i in range(size)]
        files = [[x, *shard.bounds[i : i + 2]] for i, x in enumerate(names)]
        with replacing(self.path.parent / names[shard.rank]) as file:
            seal(rows, file)
        barrier()
        return state | {"shards": {"files": files, "paths": paths}}

    def _take_shards(self, state: dict[str, Any]) -> None:
        # Puts the rows of entities that this process holds in their places.
        shards = state.get("shards")
        if shards is None and self.shard is None:
            return
        start, end = (0, None) if self.shard is None else (self.shard.start, self.shard.end)
        if shards is None:
            paths = self._row_paths(state)
            rows = [_get(state, path)[start:end] for path in paths]
        else:
            assert self.path is not None
            paths, parts = shards["paths"], []
            for name, first, last in shards["files"]:
                if last > start and (end is None or first < end):
                    found = unsealed(self.path.parent / name)
                    low, high = max(start - first, 0), None if end is None else end - first
                    parts.append([x[low:high] for x in found])
            rows = [torch.cat(x) for x in zip(*parts, strict=True)]
        for path, x in zip(paths, rows, strict=True):
            _set(state, path, x)

    def _row_paths(self, state: dict[str, Any]) -> list[list[Any]]:
        # Where there are rows of entities: of embeddings, and of what optimizers know of them.
        weight: Any = self.model.node_emb.weight  # type: ignore[union-attr]
        size = state["model"]["node_emb.weight"].size(0)
        paths: list[list[Any]] = [[x, "node_emb.weight"] for x in ("model", "best")]
        for i, optimizer in enumerate(self.optimizers):
            parts = getattr(optimizer, "parts", [optimizer])
            for j, part in enumerate(parts):
                params = [p for group in part.param_groups for p in group["params"]]
                where = ["optimizers", i, *(["parts", j] if len(parts) > 1 else []), "state"]
                known = _get(state, where)
                for k in (k for k, p in enumerate(params) if p is weight and k in known):
                    items = known[k].items()
                    is_row = [x for x, y in items if isinstance(y, Tensor) and y.dim() == 2]
                    paths += [[*where, k, x] for x in is_row if known[k][x].size(0) == size]
        return paths

    def close(self) -> None:
        r"""Leaves the file to others."""
        self.claim = None

    def _lock(self) -> tuple[int, int] | None:
        # Which file the lock is: if its folder is removed, another run may have one of this name.
        if self.claim is None or not os.path.exists(self.claim.lock_file):
            return None
        info = os.stat(self.claim.lock_file)
        return info.st_dev, info.st_ino

    def _check_claim(self) -> None:
        if self.claim is not None and self._lock() != self.lock:
            raise RuntimeError(
                f"The checkpoint '{self.path}' is not written, as its folder was removed during "
                f"this training, or is now that of another one. Please start again"
            )


def _without_links(tree: Any) -> Any:
    # The same tensors in dictionaries and lists of their own: optimizers give away theirs.
    if isinstance(tree, Mapping):
        return {key: _without_links(x) for key, x in tree.items()}
    return [_without_links(x) for x in tree] if isinstance(tree, list) else tree


def _get(tree: Any, path: Sequence[Any]) -> Any:
    for key in path:
        tree = tree[key]
    return tree


def _set(tree: Any, path: Sequence[Any], value: object) -> None:
    _get(tree, path[:-1])[path[-1]] = value


def best_entry(history: Sequence[Entry], metric: str) -> Entry:
    r"""Returns the entry of a history by which :meth:`~torch_imf.fit` selects."""
    sign = -1 if metric == "mr" else 1
    return max(history, key=lambda entry: sign * entry[metric])


def read_state(path: Path) -> dict[str, Any]:
    r"""Returns what a checkpoint holds."""
    state = unsealed(path)
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise CheckpointError(
            f"'{path}' is no checkpoint of this version of 'fit'. Choose another file, or delete it"
        )
    return state


def unsealed(path: Path) -> Any:
    r"""Returns what a file of a checkpoint holds."""
    try:
        return unseal(os.fspath(path))
    except (ValueError, OSError) as error:
        raise CheckpointError(
            f"The checkpoint '{path}' cannot be read. Delete it to start anew ({error})"
        ) from error


def first_seed(path: Path) -> int:
    r"""Returns the seed that a training began with, as its random state tells."""
    return torch.Generator().set_state(read_state(path)["rng"]).initial_seed()


def fingerprint(model: torch.nn.Module) -> dict[str, str]:
    r"""Describes what a model is rather than what it has learned: arguments of modules, shapes of
    parameters, and hashes of buffers that are not saved, such as features.
    """
    whole: dict[str, str] | None = getattr(model, "whole", None)
    if whole is not None:  # As it was before it was shared between processes.
        return whole
    saved = model.state_dict()
    out = {name: f"{value.dtype}{list(value.size())}" for name, value in saved.items()}
    out |= {name: hash_tensor(x) for name, x in model.named_buffers() if name not in saved}
    for name, module in model.named_modules():
        # As the registry has recorded them; what has no record tells them by itself.
        arguments = repr(getattr(module, "init_args", module))
        arguments = arguments.replace(", sparse=True", "")  # Which is up to how it is trained.
        out[f"{name or 'model'} ({type(module).__name__})"] = arguments
    return out
