import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager
from typing import Any, cast

import torch
from torch import Tensor
from torch.optim import Optimizer
from torch_geometric.data import Data

from torch_imf.data.distributed import all_true, own_draws, shared
from torch_imf.data.graph import (
    facts_by_split,
    is_finite,
    prepare,
    remember,
    split_facts,
    warn_of_leaks,
    without_test,
)
from torch_imf.evaluation.evaluate import evaluate
from torch_imf.evaluation.ranking import NotFinite
from torch_imf.io import require
from torch_imf.io.progress import watched
from torch_imf.registry import checked
from torch_imf.training.checkpoint import History, TrainingState
from torch_imf.training.distributed import agree, check_shared, reduce_gradients
from torch_imf.training.optimizers import make_optimizers, objectives_of

METRICS = ("mr", "mrr", "hits@1", "hits@3", "hits@10")


class Diverged(RuntimeError):
    r"""A loss or a parameter is NaN or infinite."""


@checked
def fit(
    model: torch.nn.Module,
    data: Data,
    epochs: int = 100,
    batch_size: int = 1024,
    lr: float | dict[str, float] = 1e-3,
    lr_decay: float = 1.0,
    weight_decay: float = 0.0,
    optimizer: str = "adamw",
    dense_lr: float | dict[str, float] | None = None,
    precision: str = "fp32",
    eval_every: int = 1,
    patience: int | None = 10,
    metric: str = "mrr",
    checkpoint: str | os.PathLike[str] | None = None,
    callback: Callable[[dict[str, float]], None] | None = None,
    progress: bool = True,
) -> History:
    r"""Trains a model on training facts until its validation metric stops improving, and leaves it
    with the parameters of its best epoch, however training ends. It then knows the names of the
    graph, and refuses graphs with others. A loop of one's own has the same parts:

    .. code-block:: python

        loader = make_loader(model, data, batch_size=128)
        optimizers = make_optimizers(model, lr=0.01)
        for epoch in range(1, 31):
            loss = train(model, loader, optimizers)
            print(epoch, loss, validate(model, data)["mrr"])

    Args:
        model (torch.nn.Module): A model of this package or of :obj:`torch_geometric.nn.kge`.
        data (Data): All facts with split masks. Test facts have no part in it: in validation, they
            are not known to be true, as in :meth:`~torch_imf.tune`.
        epochs (int, optional): The number of epochs. (default: :obj:`100`)
        batch_size (int, optional): Queries per step. (default: :obj:`1024`)
        lr (float or dict[str, float], optional): The learning rate, or that of each objective by
            name, as in :obj:`{"model": 0.01, "generator": 0.001}`. (default: :obj:`1e-3`)
        lr_decay (float, optional): Its factor per epoch. (default: :obj:`1.`)
        weight_decay (float, optional): The weight decay. (default: :obj:`0.`)
        optimizer (str, optional): The name of an optimizer of PyTorch. :obj:`"adagrad"` wants a
            learning rate near 0.1 for embeddings. (default: :obj:`"adamw"`)
        dense_lr (float or dict[str, float], optional): That of all parameters but embedding tables,
            if not :obj:`lr`. Adagrad wants it much lower. (default: :obj:`None`)
        precision (str, optional): The type of matrix products in training, :obj:`"fp32"` or
            :obj:`"bf16"`. (default: :obj:`"fp32"`)
        eval_every (int, optional): Epochs per validation. (default: :obj:`1`)
        patience (int, optional): Validations without a new best to stop after, or :obj:`None` to go
            on. (default: :obj:`10`)
        metric (str, optional): The metric of :meth:`evaluate` to select by. (default: :obj:`"mrr"`)
        checkpoint (str, optional): The file that keeps the state of training. The same call goes on
            from it, on a CPU bit for bit as if it had never stopped. One with other facts, of any
            split, or other settings is refused. (default: :obj:`None`)
        callback (Callable, optional): Called after each validation with its entry of the history.
            (default: :obj:`None`)
        progress (bool, optional): Whether to show progress in a terminal. (default: :obj:`True`)

    Processes that :obj:`torchrun` has started (:doc:`/tutorial/scale`) find each other: each takes
    its share of every batch, and all end with the same parameters and history.

    Returns:
        One dictionary per validation, with :obj:`'epoch'`, :obj:`'loss'` and the metrics of
        :meth:`evaluate`.

    Raises:
        ValueError: If an argument is invalid, a split is empty, there is nothing to train, or the
            checkpoint is of another run (:class:`~torch_imf.training.CheckpointError`). If several
            processes differ, or cannot share the loss of the model.
        RuntimeError: If training diverges.
    """
    data = prepare(model, data)
    check_run(data, metric)
    if lr_decay <= 0:
        raise ValueError(f"'lr_decay' needs to be positive (got {lr_decay})")
    warn_of_leaks(data, "validation", "test")
    loader = make_loader(model, data, batch_size)
    optimizers = make_optimizers(model, lr, dense_lr, optimizer, weight_decay)
    rates = {"lr": lr, "lr_decay": lr_decay, "dense_lr": dense_lr, "weight_decay": weight_decay}
    others = {"optimizer": optimizer, "precision": precision, "metric": metric}
    names = {name: list(data[name]) for name in ("node_ids", "rel_ids") if name in data}
    sizes = {"batch_size": batch_size, "eval_every": eval_every}
    run = {**sizes, **rates, **others}, checkpoint, facts_by_split(data), names
    agree(model, {**run[0], "names": names}, run[2], batch_size)
    state = TrainingState(model, optimizers, *run)
    state.load()
    left, known = range(state.epoch + 1, epochs + 1), {"initial": state.epoch, "total": epochs}
    bar = watched(left, "Training", progress, leave=True, delay=0, **known)
    try:
        for epoch in bar:
            if patience is not None and state.stale >= patience:
                break
            for group in (group for opt in optimizers for group in opt.param_groups):
                group["lr"] = group["base_lr"] * lr_decay ** (epoch - 1)
            loss = train(model, loader, optimizers, precision, progress, epoch)
            state.epoch = epoch
            is_due = epoch % eval_every == 0
            if is_due or epoch == epochs:
                entry = {"epoch": epoch, "loss": loss, **validate(model, data, progress)}
                state.add(entry)
                bar.set_postfix(loss=f"{loss:.4f}", **{metric: f"{entry[metric]:.4f}"})
                if callback is not None:
                    callback(entry)
            # A longer run that went on from an epoch that is not due would not validate then:
            if is_due or epoch < epochs:
                state.save()
    except (Diverged, NotFinite):
        model.load_state_dict(state.best)
        raise
    finally:
        bar.close()
        state.close()
        if len(state.history) > 0:
            model.load_state_dict(state.best)
    return state.history


def check_run(data: Data, metric: str) -> None:
    r"""Raises if a metric is unknown, or a split to train with empty."""
    if metric not in METRICS:
        raise ValueError(f"Invalid 'metric' argument (got '{metric}', choose of {METRICS})")
    for split in ("train", "val"):
        split_facts(data, split)  # Raises, if there are none.


def make_loader(
    model: torch.nn.Module, data: Data, batch_size: int = 1024
) -> Iterable[tuple[Tensor, ...]]:
    r"""Returns the loader of training facts whose batches are the arguments of a model's losses.
    The model knows the names of the graph from then on.
    """
    facts = split_facts(prepare(model, data), "train")
    if not hasattr(model, "loader"):
        raise ValueError(
            f"A model to train is one of this package or of 'torch_geometric.nn.kge', with a "
            f"'loader' and a 'loss' (got a '{type(model).__name__}')"
        )
    remember(model, data)
    if not hasattr(model, "objectives"):  # One of PyTorch Geometric, which knows no inverses.
        facts = tuple(x.tensor_split(2)[0] for x in facts)  # type: ignore[assignment]
    return model.loader(*facts, batch_size=batch_size, shuffle=True)  # type: ignore[operator]


def train(
    model: torch.nn.Module,
    loader: Iterable[tuple[Tensor, ...]],
    optimizers: list[Optimizer],
    precision: str = "fp32",
    progress: bool = False,
    epoch: int = 1,
) -> float:
    r"""Trains a model for one epoch, by a step on each of its :obj:`objectives()` for each batch,
    and returns the mean loss of the first.

    Args:
        model (torch.nn.Module): The model.
        loader (Iterable): The batches, see :meth:`make_loader`.
        optimizers (list[torch.optim.Optimizer]): See :meth:`make_optimizers`.
        precision (str, optional): As in :meth:`fit`. (default: :obj:`"fp32"`)
        progress (bool, optional): As in :meth:`fit`. (default: :obj:`False`)
        epoch (int, optional): Its number, for errors. (default: :obj:`1`)

    Raises:
        RuntimeError: If a loss or a parameter is NaN or infinite.
    """
    if precision not in ("fp32", "bf16"):
        raise ValueError(f"Invalid 'precision' argument (got '{precision}', not 'fp32' or 'bf16')")
    model.train()
    device = next(model.parameters()).device
    objectives = objectives_of(model)
    total, num_batches = torch.zeros(len(objectives), device=device), 0
    num_finite = torch.zeros_like(total, dtype=torch.long)  # Batches before one that is not.
    steps = list(zip(objectives, optimizers, strict=True))
    shard = getattr(model, "shard", None)
    with shared(shard) as sharing:
        if sharing is not None:
            check_shared(model)
        for batch in watched(loader, "Epoch", progress):
            for i, (objective, optimizer) in enumerate(steps):
                optimizer.zero_grad()
                kind = device.type, torch.bfloat16, precision == "bf16"
                with own_draws(epoch, num_batches, i), torch.autocast(*kind):
                    loss = objective.loss(*batch)
                if sharing is None:
                    loss.backward()
                else:  # The loss of the whole batch, which each process has.
                    (loss / sharing.size).backward()
                    own: Any = [] if shard is None else [cast(Any, model).node_emb.weight]
                    reduce_gradients(objective.parameters, own)
                optimizer.step()
                total[i] += loss.detach()
            num_finite += total.isfinite()
            num_batches += 1
    means = (total / max(num_batches, 1)).tolist()
    found = zip(num_finite.tolist(), means, objectives, strict=True)
    for count, mean, objective in sorted(found, key=lambda x: x[0]):  # The first one first.
        problem = f"is {mean} from batch {count + 1} on"
        if count == num_batches:  # The last step may have left what the loss does not show yet.
            problem = "has left parameters NaN or infinite"
        if count < num_batches or not all_true(all(map(is_finite, objective.parameters))):
            name = "" if objective.name == "model" else f"{objective.name} "
            raise Diverged(
                f"The {name}loss {problem}: training has diverged in epoch {epoch}. Lower the "
                f"learning rate"
            )
    return means[0]


def validate(model: torch.nn.Module, data: Data, progress: bool = False) -> dict[str, float]:
    r"""Returns the metrics of :meth:`evaluate` over both sides of validation, without test facts,
    which are not even known answers.
    """
    result = evaluate(model, without_test(data), split="val", progress=progress)
    return {name: value for name, value in result.items() if not isinstance(value, dict)}


class TensorBoard(AbstractContextManager):
    r"""A callback of :meth:`~torch_imf.fit` that writes the loss and the validation metrics of each
    epoch for TensorBoard.

    .. code-block:: python

        with TensorBoard("logs/first") as board:
            fit(model, data, callback=board)

    Args:
        log_dir (str): The folder of the run.
    """

    def __init__(self, log_dir: str | os.PathLike[str]) -> None:
        require("tensorboard", "Curves", "tensorboard")
        from torch.utils.tensorboard import SummaryWriter

        self.writer: Any = SummaryWriter(os.fspath(log_dir))

    def __call__(self, entry: Mapping[str, float]) -> None:
        r"""Writes an entry of the history of :meth:`~torch_imf.fit`."""
        metrics = {name: x for name, x in entry.items() if name not in ("epoch", "loss")}
        self.writer.add_scalar("train/loss", entry["loss"], int(entry["epoch"]))
        self.log("val", metrics, int(entry["epoch"]))

    def log(self, split: str, metrics: Mapping[str, Any], epoch: int) -> None:
        r"""Writes the metrics of :meth:`~torch_imf.evaluate` on a split."""
        for name, value in metrics.items():
            if not isinstance(value, Mapping):
                self.writer.add_scalar(f"{split}/{name.replace('@', '_at_')}", value, epoch)
        self.writer.flush()

    def __exit__(self, *args: object) -> None:
        self.writer.close()
