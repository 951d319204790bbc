import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch_geometric.data import Data
from tqdm import tqdm

from torch_imf.evaluate import evaluate
from torch_imf.transforms import AddInverse
from torch_imf.transforms.add_inverse import has_inverse

History = list[dict[str, float]]

METRICS = ("mr", "mrr", "hits@1", "hits@3", "hits@10")


def train(
    model: torch.nn.Module,
    loader: Iterable[tuple[Tensor, ...]],
    optimizers: list[Optimizer],
    precision: str = "fp32",
    progress: bool = False,
) -> float:
    r"""Trains a model for one epoch: for each batch, one step on each of its
    :obj:`objectives()`.

    Args:
        model (torch.nn.Module): The model.
        loader (Iterable): The batches, each the arguments of a loss.
        optimizers (list[torch.optim.Optimizer]): One optimizer per objective.
        precision (str, optional): The type of matrix products,
            :obj:`"fp32"` or :obj:`"bf16"` (about four times faster where the
            hardware has it). (default: :obj:`"fp32"`)
        progress (bool, optional): If set to :obj:`True`, shows a progress bar
            in a terminal. (default: :obj:`False`)

    Returns:
        The loss of the first objective, averaged over batches.

    Raises:
        RuntimeError: If a loss is NaN or infinite.
    """
    if precision not in {"fp32", "bf16"}:
        raise ValueError(
            f"Invalid 'precision' argument (got '{precision}', choose 'fp32' or 'bf16')"
        )
    model.train()
    device = next(model.parameters()).device
    objectives = model.objectives()  # type: ignore[operator]
    total, num_batches = torch.zeros((), device=device), 0
    bar = tqdm(loader, desc="Epoch", disable=None if progress else True, leave=False)
    for batch in bar:
        for i, ((_, loss_fn), optimizer) in enumerate(zip(objectives, optimizers, strict=True)):
            optimizer.zero_grad()
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                loss = loss_fn(*batch)
            loss.backward()
            optimizer.step()
            if i == 0:
                total += loss.detach()
        num_batches += 1
    mean = float(total) / max(num_batches, 1)
    if mean != mean or mean in {float("inf"), float("-inf")}:
        raise RuntimeError(
            f"The loss is {mean} after an epoch: training has diverged. Lower the learning rate"
        )
    return mean


def fit(
    model: torch.nn.Module,
    data: Data,
    epochs: int = 100,
    batch_size: int = 1024,
    lr: float = 1e-3,
    lr_decay: float = 1.0,
    weight_decay: float = 0.0,
    precision: str = "fp32",
    eval_every: int = 1,
    patience: int | None = 10,
    metric: str = "mrr",
    checkpoint: str | os.PathLike[str] | None = None,
    callback: Callable[[dict[str, float]], None] | None = None,
    progress: bool = True,
) -> History:
    r"""Trains a model on the training facts of a graph until its validation
    metric stops improving, and leaves it with the parameters of its best
    epoch.

    Given a :obj:`checkpoint` file, the state of training is kept there after
    each validation, and the same call continues from it: the outcome equals
    that of an uninterrupted run bit for bit on a CPU.

    Args:
        model (torch.nn.Module): The model.
        data (Data): All facts with split masks, with or without inverse
            triples, which are added if absent. Only training facts are seen
            by the loss, only validation facts are ranked.
        epochs (int, optional): The number of epochs. (default: :obj:`100`)
        batch_size (int, optional): Number of queries per step.
            (default: :obj:`1024`)
        lr (float, optional): The learning rate of Adam.
            (default: :obj:`1e-3`)
        lr_decay (float, optional): The factor of the learning rate per epoch.
            (default: :obj:`1.`)
        weight_decay (float, optional): The decoupled weight decay.
            (default: :obj:`0.`)
        precision (str, optional): The type of matrix products in training,
            :obj:`"fp32"` or :obj:`"bf16"`. (default: :obj:`"fp32"`)
        eval_every (int, optional): Number of epochs between validations.
            (default: :obj:`1`)
        patience (int, optional): Number of validations without a new best to
            stop after. If :obj:`None`, training never stops early.
            (default: :obj:`10`)
        metric (str, optional): The metric of :meth:`evaluate` to select by.
            (default: :obj:`"mrr"`)
        checkpoint (str, optional): The file to keep the state of training in.
            (default: :obj:`None`)
        callback (Callable, optional): Called after each validation with its
            entry of the history. (default: :obj:`None`)
        progress (bool, optional): If set to :obj:`False`, shows no progress
            bars. They are only shown in a terminal. (default: :obj:`True`)

    Returns:
        One dictionary per validation, with :obj:`'epoch'`, :obj:`'loss'` and
        the metrics of :meth:`evaluate`.

    Raises:
        ValueError: If arguments are invalid, a split is empty, or the
            checkpoint belongs to another model or other settings.
        RuntimeError: If training diverges, or the checkpoint cannot be read.
    """
    for name, value in (("epochs", epochs), ("batch_size", batch_size), ("eval_every", eval_every)):
        if value < 1:
            raise ValueError(f"'{name}' needs to be positive (got {value})")
    if metric not in METRICS:
        raise ValueError(f"Invalid 'metric' argument (got '{metric}', choose of {METRICS})")
    for split in ("train", "val"):
        if not bool(data[f"{split}_mask"].any()):
            raise ValueError(f"The '{split}' split holds no facts")
    if not has_inverse(data):
        data = AddInverse()(data)
    # The only graph that the loader may see:
    edge_index, edge_type = data.edge_index[:, data.train_mask], data.edge_type[data.train_mask]
    loader = model.loader(  # type: ignore[operator]
        edge_index[0], edge_type, edge_index[1], batch_size=batch_size, shuffle=True
    )
    optimizers: list[Optimizer] = [
        torch.optim.AdamW(params, lr=lr, weight_decay=weight_decay, fused=True)
        for params, _ in model.objectives()  # type: ignore[operator]
    ]
    state = _TrainingState(
        model,
        optimizers,
        settings={
            "batch_size": batch_size,
            "lr": lr,
            "lr_decay": lr_decay,
            "weight_decay": weight_decay,
            "precision": precision,
            "eval_every": eval_every,
            "metric": metric,
        },
        path=None if checkpoint is None else Path(checkpoint),
    )
    state.load()
    bar = tqdm(
        range(state.epoch + 1, epochs + 1),
        desc="Training",
        initial=state.epoch,
        total=epochs,
        disable=None if progress else True,
    )
    for epoch in bar:
        if patience is not None and state.stale >= patience:
            break
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = lr * lr_decay ** (epoch - 1)
        loss = train(model, loader, optimizers, precision, progress)
        state.epoch = epoch
        if epoch % eval_every == 0 or epoch == epochs:
            result = evaluate(model, data, split="val", progress=progress)
            entry = {k: v for k, v in result.items() if not isinstance(v, dict)}
            state.add({"epoch": epoch, "loss": loss, **entry})
            state.save()
            bar.set_postfix(loss=f"{loss:.4f}", **{metric: f"{entry[metric]:.4f}"})
            if callback is not None:
                callback(state.history[-1])
    bar.close()
    model.load_state_dict(state.best)
    return state.history


class _TrainingState:
    # Everything a run needs to go on as if it had never stopped.

    def __init__(
        self,
        model: torch.nn.Module,
        optimizers: list[Optimizer],
        settings: dict[str, Any],
        path: Path | None,
    ) -> None:
        self.model = model
        self.optimizers = optimizers
        self.settings = settings
        self.path = path
        self.epoch = 0
        self.history: History = []
        self.best = {k: v.clone() for k, v in model.state_dict().items()}

    @property
    def stale(self) -> int:
        # Validations since the best one.
        if len(self.history) == 0:
            return 0
        return len(self.history) - 1 - self._argbest()

    def add(self, entry: dict[str, float]) -> None:
        self.history.append(entry)
        if self.stale == 0:
            self.best = {k: v.detach().clone() for k, v in self.model.state_dict().items()}

    def _argbest(self) -> int:
        sign = -1 if self.settings["metric"] == "mr" else 1
        values = [sign * entry[self.settings["metric"]] for entry in self.history]
        return values.index(max(values))

    def save(self) -> None:
        if self.path is None:
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(f"{self.path.name}.{os.getpid()}.tmp")
        try:
            torch.save(self._state(), temporary)
            os.replace(temporary, self.path)
        finally:
            temporary.unlink(missing_ok=True)

    def _state(self) -> dict[str, Any]:
        return {
            "version": 1,
            "model_name": repr(self.model),
            "model": self.model.state_dict(),
            "best": self.best,
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers],
            "settings": self.settings,
            "epoch": self.epoch,
            "history": self.history,
            "rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }

    def load(self) -> None:
        if self.path is None or not self.path.exists():
            return
        device = next(self.model.parameters()).device
        try:
            state = torch.load(self.path, map_location=device, weights_only=True)
        except Exception as error:
            raise RuntimeError(
                f"The checkpoint '{self.path}' cannot be read ({error}). Delete it to start anew"
            ) from error
        self._check(state)
        self.model.load_state_dict(state["model"])
        for optimizer, value in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(value)
        self.best = state["best"]
        self.epoch, self.history = state["epoch"], state["history"]
        torch.set_rng_state(state["rng"].cpu())
        if state["cuda_rng"] and torch.cuda.is_available():
            torch.cuda.set_rng_state_all([x.cpu() for x in state["cuda_rng"]])

    def _check(self, state: Any) -> None:
        if not isinstance(state, dict) or "model_name" not in state:
            raise ValueError(f"'{self.path}' is no checkpoint of 'fit'")
        own = {k: list(v.size()) for k, v in self.model.state_dict().items()}
        other = {k: list(v.size()) for k, v in state["model"].items()}
        if state["model_name"] != repr(self.model) or own != other:
            raise ValueError(
                f"The checkpoint '{self.path}' belongs to another model ({state['model_name']} "
                f"instead of {self.model!r}, or parameters of other shapes). Choose another file"
            )
        changed = {
            k: (state["settings"].get(k), v)
            for k, v in self.settings.items()
            if state["settings"].get(k) != v
        }
        if changed:
            raise ValueError(
                f"The checkpoint '{self.path}' was written with other settings "
                f"{ {k: old for k, (old, _) in changed.items()} } (got "
                f"{ {k: new for k, (_, new) in changed.items()} }). Choose another file, or the "
                f"same settings"
            )
