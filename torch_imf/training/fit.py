import difflib
import os
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Embedding, Parameter
from torch.optim import Optimizer
from torch_geometric.data import Data
from tqdm import tqdm

from torch_imf.data.graph import has_inverse, prepare
from torch_imf.evaluation.evaluate import evaluate
from torch_imf.evaluation.ranking import NotFinite
from torch_imf.training.checkpoint import History, TrainingState
from torch_imf.transforms import AddInverse

METRICS = ("mr", "mrr", "hits@1", "hits@3", "hits@10")


class Diverged(RuntimeError):
    r"""A loss or a parameter is NaN or infinite."""


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
        loader (Iterable): The batches, each the arguments of a loss.
        optimizers (list[torch.optim.Optimizer]): One optimizer per objective.
        precision (str, optional): The type of matrix products,
            :obj:`"fp32"` or :obj:`"bf16"` (about four times faster where the
            hardware has it). (default: :obj:`"fp32"`)
        progress (bool, optional): If set to :obj:`True`, shows a progress bar
            in a terminal. (default: :obj:`False`)
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
    objectives = model.objectives()  # type: ignore[operator]
    total, num_batches = torch.zeros(len(objectives), device=device), 0
    num_finite = torch.zeros_like(total, dtype=torch.long)  # Batches before one that is not.
    bar = tqdm(loader, desc="Epoch", disable=None if progress else True, leave=False)
    for batch in bar:
        for i, ((_, _, loss_fn), optimizer) in enumerate(zip(objectives, optimizers, strict=True)):
            optimizer.zero_grad()
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                loss = loss_fn(*batch)
            loss.backward()
            optimizer.step()
            total[i] += loss.detach()
        num_finite += total.isfinite()
        num_batches += 1
    means = (total / max(num_batches, 1)).tolist()
    problems = []
    for (_, params, loss_fn), mean, count in zip(
        objectives, means, num_finite.tolist(), strict=True
    ):
        name = getattr(loss_fn, "__name__", "loss").replace("_", " ")
        if count < num_batches:
            problems.append((count, f"{name} is {mean} from batch {count + 1} on"))
        elif not all(bool(p.isfinite().all()) for p in params):  # By the last step.
            problems.append((count, f"{name} has left parameters NaN or infinite"))
    if problems:
        problems.sort(key=lambda problem: problem[0])  # The first one first.
        raise Diverged(
            f"The {', the '.join(text for _, text in problems)}: training has diverged in epoch "
            f"{epoch}. Lower the learning rate"
        )
    return means[0]


def fit(
    model: torch.nn.Module,
    data: Data,
    epochs: int = 100,
    batch_size: int = 1024,
    lr: float | Sequence[float] = 1e-3,
    lr_decay: float = 1.0,
    weight_decay: float = 0.0,
    optimizer: str = "adamw",
    dense_lr: float | None = None,
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
    every epoch, and the same call continues from it: the outcome equals that
    of an uninterrupted run bit for bit on a CPU. However training
    ends, the model is left with its best parameters so far. Before the first
    validation, these are those it had at the start if training diverges, and
    what it has learned if training is interrupted or fails otherwise.

    Args:
        model (torch.nn.Module): The model.
        data (Data): All facts with split masks, with or without inverse
            triples, which are added if absent. Only training facts are seen
            by the loss, only validation facts are ranked.
        epochs (int, optional): The number of epochs. (default: :obj:`100`)
        batch_size (int, optional): Number of queries per step.
            (default: :obj:`1024`)
        lr (float or list[float], optional): The learning rate, or that of each
            objective (such as model, sampler and generators).
            (default: :obj:`1e-3`)
        lr_decay (float, optional): The factor of the learning rate per epoch.
            (default: :obj:`1.`)
        weight_decay (float, optional): The weight decay, decoupled in AdamW.
            (default: :obj:`0.`)
        optimizer (str, optional): The name of an optimizer of PyTorch:
            :obj:`"adamw"`, or :obj:`"adagrad"`, which wants a learning rate
            near 0.1 for embeddings. (default: :obj:`"adamw"`)
        dense_lr (float, optional): The learning rate of all parameters that
            are no embedding table, which Adagrad wants much lower; of the first
            objective only, if :obj:`lr` gives one for each. If :obj:`None`, it
            is :obj:`lr`. (default: :obj:`None`)
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
        ValueError: If arguments are invalid, a split is empty, there is
            nothing to train, or the checkpoint belongs to another model or
            other settings.
        RuntimeError: If training diverges, or the checkpoint cannot be read.
    """
    sizes = {"epochs": epochs, "batch_size": batch_size, "eval_every": eval_every}
    for name, value in {**sizes, "patience": patience}.items():
        if value is not None and value < 1:
            raise ValueError(f"'{name}' needs to be positive (got {value})")
    if metric not in METRICS:
        raise ValueError(f"Invalid 'metric' argument (got '{metric}', choose of {METRICS})")
    data = prepare(model, data)
    data = data if has_inverse(data) else AddInverse()(data)
    for split in ("train", "val"):
        if not bool(data[f"{split}_mask"].any()):
            raise ValueError(f"The '{split}' split holds no facts")
    # The only graph that the loader may see:
    (head_index, tail_index) = data.edge_index[:, data.train_mask]
    rel_type = data.edge_type[data.train_mask]
    loader = model.loader(  # type: ignore[operator]
        head_index, rel_type, tail_index, batch_size=batch_size, shuffle=True
    )
    objectives = model.objectives()  # type: ignore[operator]
    rates = [lr] * len(objectives) if isinstance(lr, int | float) else list(lr)
    if len(rates) != len(objectives):
        raise ValueError(f"'lr' needs one rate for each of {len(objectives)} objectives (got {lr})")
    if not all(params for _, params, _ in objectives):
        raise ValueError("There is an objective without parameters to train. Are they frozen?")
    # Rates that are given for each objective are those of its parameters, beside the first:
    others = dense_lr if isinstance(lr, int | float) else None
    dense_rates = [dense_lr, *[others] * (len(objectives) - 1)]
    optimizers: list[Optimizer] = [
        _optimizer(optimizer)(
            _groups(model, params, rate, dense_rate),
            weight_decay=weight_decay,
            **_fused(optimizer, params[0].device),
        )
        for (_, params, _), rate, dense_rate in zip(objectives, rates, dense_rates, strict=True)
    ]
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
    facts = (head_index, rel_type, tail_index)
    names = {name: list(data[name]) for name in ("node_ids", "rel_ids") if name in data}
    state = TrainingState(model, optimizers, settings, checkpoint, facts, names)
    state.load()

    def validate() -> None:
        result = evaluate(model, data, split="val", progress=progress)
        entry = {key: x for key, x in result.items() if not isinstance(x, dict)}
        state.add({"epoch": state.epoch, "loss": loss, **entry})
        bar.set_postfix(loss=f"{loss:.4f}", **{metric: f"{entry[metric]:.4f}"})
        if callback is not None:
            callback(state.history[-1])

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
            for opt in optimizers:
                for group in opt.param_groups:
                    group["lr"] = group["base_lr"] * lr_decay ** (epoch - 1)
            loss = train(model, loader, optimizers, precision, progress, epoch)
            state.epoch = epoch
            if epoch % eval_every == 0:
                validate()
            elif epoch == epochs:
                # Not saved: a longer run that goes on from here would not validate now.
                validate()
                continue
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


def _optimizer(name: str) -> Any:
    known = {
        key.lower(): x
        for key, x in vars(torch.optim).items()
        if isinstance(x, type) and issubclass(x, Optimizer) and x is not Optimizer
    }
    if name.lower() not in known:
        near = difflib.get_close_matches(name.lower(), known, n=1)
        raise ValueError(
            f"There is no optimizer '{name}'."
            + (f" Did you mean '{near[0]}'?" if near else "")
            + f" Choose of {sorted(known)}"
        )
    return known[name.lower()]


def _groups(
    model: torch.nn.Module, params: list[Parameter], lr: float, dense_lr: float | None
) -> list[dict[str, Any]]:
    # Parameters with their learning rate, embedding tables apart from all others.
    tables = {id(m.weight) for m in model.modules() if isinstance(m, Embedding)}
    groups = [
        ([p for p in params if id(p) in tables], lr),
        ([p for p in params if id(p) not in tables], lr if dense_lr is None else dense_lr),
    ]
    return [{"params": group, "lr": x, "base_lr": x} for group, x in groups if group]


def _fused(optimizer: str, device: torch.device) -> dict[str, bool]:
    # Faster where PyTorch has it; older versions have no fused Adagrad for an accelerator.
    names = {"adam", "adamw", "sgd", *(["adagrad"] if device.type == "cpu" else [])}
    return {"fused": True} if optimizer.lower() in names else {}
