import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import Embedding
from torch.optim import Optimizer
from torch_geometric.data import Data
from torch_geometric.resolver import resolver
from tqdm import tqdm

from torch_imf.data.graph import prepare
from torch_imf.data.index import both_sides
from torch_imf.evaluation.evaluate import evaluate
from torch_imf.evaluation.ranking import NotFinite
from torch_imf.training.checkpoint import History, TrainingState

if TYPE_CHECKING:
    from torch_imf.sampler.base import Objective

METRICS = ("mr", "mrr", "hits@1", "hits@3", "hits@10")


class Diverged(RuntimeError):
    r"""A loss or a parameter is NaN or infinite."""


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
    r"""Trains a model on the training facts of a graph until its validation
    metric stops improving, and leaves it with the parameters of its best
    epoch. A loop of one's own has the same parts:

    .. code-block:: python

        loader = make_loader(model, data, batch_size=128)
        optimizers = make_optimizers(model, lr=0.01)
        for epoch in range(1, 31):
            loss = train(model, loader, optimizers)
            print(epoch, loss, validate(model, data)["mrr"])

    Given a :obj:`checkpoint` file, the state of training is kept there after
    every epoch, and the same call continues from it: the outcome equals that
    of an uninterrupted run bit for bit on a CPU. However training
    ends, the model is left with its best parameters so far. Before the first
    validation, these are those it had at the start if training diverges, and
    what it has learned if training is interrupted or fails otherwise.

    Args:
        model (torch.nn.Module): The model.
        data (Data): All facts with split masks, with or without inverse
            triples. Only training facts are seen by the loss, only validation
            facts are ranked.
        epochs (int, optional): The number of epochs. (default: :obj:`100`)
        batch_size (int, optional): Number of queries per step.
            (default: :obj:`1024`)
        lr (float or dict[str, float], optional): The learning rate, or that of
            each objective by name, as in :obj:`{"model": 0.01, "generator":
            0.001}`. (default: :obj:`1e-3`)
        lr_decay (float, optional): The factor of the learning rate per epoch.
            (default: :obj:`1.`)
        weight_decay (float, optional): The weight decay, decoupled in AdamW.
            (default: :obj:`0.`)
        optimizer (str, optional): The name of an optimizer of PyTorch:
            :obj:`"adamw"`, or :obj:`"adagrad"`, which wants a learning rate
            near 0.1 for embeddings. (default: :obj:`"adamw"`)
        dense_lr (float or dict[str, float], optional): The learning rate of all
            parameters that are no embedding table, which Adagrad wants much
            lower. Objectives that it does not name, or all if it is
            :obj:`None`, have that of :obj:`lr`. (default: :obj:`None`)
        precision (str, optional): The type of matrix products in training,
            :obj:`"fp32"` or :obj:`"bf16"` (about four times faster where the
            hardware has it). (default: :obj:`"fp32"`)
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
        ValueError: If arguments are invalid, a split is empty, there is
            nothing to train, or the checkpoint belongs to another run or cannot
            be read (:class:`~torch_imf.training.checkpoint.CheckpointError`).
        RuntimeError: If training diverges.
    """
    sizes = {"epochs": epochs, "batch_size": batch_size, "eval_every": eval_every}
    for name, value in {**sizes, "patience": patience}.items():
        if value is not None and value < 1:
            raise ValueError(f"'{name}' needs to be positive (got {value})")
    if metric not in METRICS:
        raise ValueError(f"Invalid 'metric' argument (got '{metric}', choose of {METRICS})")
    data = prepare(model, data)
    facts = training_facts(data)
    if not bool(data.val_mask.any()):
        raise ValueError("The 'val' split holds no facts")
    loader = make_loader(model, data, batch_size)
    optimizers = make_optimizers(model, lr, dense_lr, optimizer, weight_decay)
    settings = {
        "batch_size": batch_size,
        "lr": lr,
        "lr_decay": lr_decay,
        "weight_decay": weight_decay,
        "optimizer": optimizer,
        "dense_lr": dense_lr,
        "precision": precision,
        "eval_every": eval_every,
        "metric": metric,
    }
    names = {name: list(data[name]) for name in ("node_ids", "rel_ids") if name in data}
    state = TrainingState(model, optimizers, settings, checkpoint, facts, names)
    state.load()
    bar = tqdm(
        range(state.epoch + 1, epochs + 1),
        desc="Training",
        initial=state.epoch,
        total=epochs,
        disable=None if progress else True,
    )
    diverged = False
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
        diverged = True
        raise
    finally:
        bar.close()
        state.close()
        if diverged or len(state.history) > 0:
            model.load_state_dict(state.best)
    return state.history


def training_facts(data: Data) -> tuple[Tensor, Tensor, Tensor]:
    r"""Returns head, relation and tail of the training facts in both
    directions, of shape :obj:`[E]` each: all that a loader may see.
    """
    mask = data.train_mask & (data.edge_type < data.num_relations)
    if not bool(mask.any()):
        raise ValueError("The 'train' split holds no facts")
    (head_index, tail_index), rel_type = data.edge_index[:, mask], data.edge_type[mask]
    return both_sides(head_index, rel_type, tail_index, int(data.num_relations))


def make_loader(
    model: torch.nn.Module, data: Data, batch_size: int = 1024
) -> Iterable[tuple[Tensor, ...]]:
    r"""Returns the loader of a model over the training facts of a graph, whose
    batches are the arguments of its losses.

    Raises:
        ValueError: If the graph does not fit the model or has no training facts.
    """
    facts = training_facts(prepare(model, data))
    return model.loader(*facts, batch_size=batch_size, shuffle=True)  # type: ignore[operator]


def make_optimizers(
    model: torch.nn.Module,
    lr: float | dict[str, float] = 1e-3,
    dense_lr: float | dict[str, float] | None = None,
    optimizer: str = "adamw",
    weight_decay: float = 0.0,
) -> list[Optimizer]:
    r"""Returns an optimizer for each of the :obj:`objectives()` of a model.
    Arguments are those of :meth:`fit`.

    Raises:
        ValueError: If there is no such optimizer or objective, a rate is
            missing, or an objective has nothing to train.
    """
    objectives: list[Objective] = model.objectives()  # type: ignore[operator]
    names = [objective.name for objective in objectives]
    rates = _by_name("lr", lr, names)
    if set(rates) < set(names):
        raise ValueError(f"'lr' needs a rate for each of the objectives {names} (got {lr})")
    if isinstance(lr, dict) and isinstance(dense_lr, int | float):
        raise ValueError(f"'dense_lr' needs to go by name as 'lr' does (got {dense_lr} and {lr})")
    dense_rates = rates if dense_lr is None else {**rates, **_by_name("dense_lr", dense_lr, names)}
    tables = {id(x.weight) for x in model.modules() if isinstance(x, Embedding)}
    known, out = [x for x in vars(torch.optim).values() if isinstance(x, type)], []
    for name, params, _ in objectives:
        if not params:
            raise ValueError(f"The objective '{name}' has no parameters to train. Are they frozen?")
        parts = [
            ([p for p in params if id(p) in tables], rates[name]),
            ([p for p in params if id(p) not in tables], dense_rates[name]),
        ]
        groups = [{"params": part, "lr": x, "base_lr": x} for part, x in parts if part]
        options: dict[str, float] = {"weight_decay": weight_decay}
        # Faster where PyTorch has it; older versions have no fused Adagrad for an accelerator.
        fused = {"adam", "adamw", "sgd", *(["adagrad"] if params[0].device.type == "cpu" else [])}
        options |= {"fused": True} if optimizer.lower() in fused else {}
        out.append(resolver(known, {}, optimizer, Optimizer, None, groups, **options))
    return out


def _by_name(argument: str, rate: float | dict[str, float], names: list[str]) -> dict[str, float]:
    if not isinstance(rate, dict):
        return dict.fromkeys(names, rate)
    unknown = sorted(set(rate) - set(names))
    if unknown:
        raise ValueError(f"'{argument}' names objectives {unknown}, but the model has {names}")
    return rate


def train(
    model: torch.nn.Module,
    loader: Iterable[tuple[Tensor, ...]],
    optimizers: list[Optimizer],
    precision: str = "fp32",
    progress: bool = False,
    epoch: int = 1,
) -> float:
    r"""Trains a model for one epoch: for each batch, one step on each of its
    :obj:`objectives()`.

    Args:
        model (torch.nn.Module): The model.
        loader (Iterable): The batches, see :meth:`make_loader`.
        optimizers (list[torch.optim.Optimizer]): One optimizer per objective.
        precision (str, optional): As in :meth:`fit`. (default: :obj:`"fp32"`)
        progress (bool, optional): As in :meth:`fit`. (default: :obj:`False`)
        epoch (int, optional): The number of the epoch, for messages.
            (default: :obj:`1`)

    Returns:
        The loss of the first objective, averaged over batches.

    Raises:
        ValueError: If :obj:`precision` is invalid.
        RuntimeError: If a loss or a parameter is NaN or infinite.
    """
    if precision not in {"fp32", "bf16"}:
        raise ValueError(
            f"Invalid 'precision' argument (got '{precision}', choose 'fp32' or 'bf16')"
        )
    model.train()
    device = next(model.parameters()).device
    objectives: list[Objective] = model.objectives()  # type: ignore[operator]
    total, num_batches = torch.zeros(len(objectives), device=device), 0
    num_finite = torch.zeros_like(total, dtype=torch.long)  # Batches before one that is not.
    for batch in tqdm(loader, desc="Epoch", disable=None if progress else True, leave=False):
        for i, (objective, optimizer) in enumerate(zip(objectives, optimizers, strict=True)):
            optimizer.zero_grad()
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                loss = objective.loss(*batch)
            loss.backward()
            optimizer.step()
            total[i] += loss.detach()
        num_finite += total.isfinite()
        num_batches += 1
    means = (total / max(num_batches, 1)).tolist()
    problems = []
    for objective, mean, count in zip(objectives, means, num_finite.tolist(), strict=True):
        name = "loss" if objective.name == "model" else f"{objective.name} loss"
        if count < num_batches:
            problems.append((count, f"{name} is {mean} from batch {count + 1} on"))
        elif not all(bool(p.isfinite().all()) for p in objective.parameters):  # By the last step.
            problems.append((count, f"{name} has left parameters NaN or infinite"))
    if problems:
        problems.sort(key=lambda problem: problem[0])  # The first one first.
        raise Diverged(
            f"The {', the '.join(text for _, text in problems)}: training has diverged in epoch "
            f"{epoch}. Lower the learning rate"
        )
    return means[0]


def validate(model: torch.nn.Module, data: Data, progress: bool = False) -> dict[str, float]:
    r"""Returns the metrics of :meth:`evaluate` over both sides of the
    validation facts, without those of each side.
    """
    result = evaluate(model, data, split="val", progress=progress)
    return {name: value for name, value in result.items() if not isinstance(value, dict)}
