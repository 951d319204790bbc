import math
from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import Embedding
from torch.optim import Optimizer, SparseAdam

from torch_imf.io import nearest
from torch_imf.sampler.base import Objective

#: Optimizers of PyTorch that need a closure, sparse gradients or matrices alone.
UNFIT = {"lbfgs", "muon", "rprop", "sparseadam"}
#: Those that can leave rows of a table alone, and how many rows make it worth while.
LAZY, LARGE = {"adagrad", "adam", "adamw", "sgd"}, 50_000


def make_optimizers(
    model: torch.nn.Module,
    lr: float | dict[str, float] = 1e-3,
    dense_lr: float | dict[str, float] | None = None,
    optimizer: str = "adamw",
    weight_decay: float = 0.0,
) -> list[Optimizer]:
    r"""Returns an optimizer for each objective of a model. Arguments are those of :meth:`fit`.

    Of a large table (:obj:`LARGE` entities) whose model compares with some entities only, Adagrad,
    Adam, AdamW and SGD change the rows that a batch touches alone: an entity has no momentum in
    batches where it is not, as in :class:`torch.optim.SparseAdam`.
    """
    objectives = objectives_of(model)
    names = [objective.name for objective in objectives]
    rates: dict[str, dict[str, float]] = {}
    for argument, given in (("lr", lr), ("dense_lr", lr if dense_lr is None else dense_lr)):
        rate = given if isinstance(given, dict) else dict.fromkeys(names, given)
        rates[argument] = {**rates.get("lr", {}), **rate}
        is_named = isinstance(given, dict) or not isinstance(lr, dict)
        if set(rates[argument]) != set(names) or not is_named:
            raise ValueError(
                f"'{argument}' needs a rate for each of the objectives {names}, by name (got "
                f"{given})"
            )
        if not all(isinstance(x, int | float) and 0 <= x < math.inf for x in rate.values()):
            raise ValueError(f"'{argument}' needs to be a number from 0 on (got {given!r})")
    found = [x for x in vars(torch.optim).values() if isinstance(x, type) and x is not Optimizer]
    known, out = {cls.__name__.lower(): cls for cls in found}, []
    kind = str(optimizer).lower()
    if kind not in known:
        named = {*known} - UNFIT
        hint = nearest(kind, named) or f" Choose of {sorted(named)}"
        raise ValueError(f"Could not resolve '{optimizer}' to an optimizer of PyTorch.{hint}")
    tables = [x for x in model.modules() if isinstance(x, Embedding)]
    is_lazy = kind in LAZY and weight_decay == 0
    is_lazy &= getattr(getattr(model, "loss_fn", None), "is_sparse", False)
    for table in tables:
        is_entity = table is getattr(model, "node_emb", None)  # Of which there may be a part only.
        size = int(model.num_nodes) if is_entity else table.num_embeddings  # type: ignore[arg-type]
        table.sparse = is_lazy and size >= LARGE
    is_table = {id(x.weight): x.sparse for x in tables}
    for name, params, _ in objectives:
        if not params:
            raise ValueError(f"The objective '{name}' has no parameters to train. Are they frozen?")
        groups: list[dict[str, Any]] = []
        lazy: list[dict[str, Any]] = []
        for argument, rate in rates.items():
            part = [p for p in params if (id(p) in is_table) == (argument == "lr")]
            for sparse, chosen in ((True, lazy), (False, groups)):
                some = [p for p in part if is_table.get(id(p), False) == sparse]
                group = {"params": some, "lr": rate[name], "base_lr": rate[name]}
                chosen.extend([group] if some else [])
        try:
            out.append(_make(known[kind], groups, lazy, weight_decay))
        except (TypeError, ValueError) as error:
            raise ValueError(f"The optimizer '{optimizer}' cannot be used ({error})") from error
    return out


def _make(
    cls: type[Optimizer], groups: list[dict], lazy: list[dict], weight_decay: float
) -> Optimizer:
    name, device = cls.__name__.lower(), (groups + lazy)[0]["params"][0].device.type
    options: dict[str, Any] = {"weight_decay": weight_decay}
    # Faster where PyTorch has it; older versions have no fused Adagrad for an accelerator.
    fused = {"adam", "adamw", "sgd", *(["adagrad"] if device == "cpu" else [])}
    if lazy and not torch.sparse.check_sparse_tensor_invariants.is_enabled():
        torch.sparse.check_sparse_tensor_invariants.disable()  # Or else PyTorch warns of these.
    if lazy and name not in ("adam", "adamw"):
        return cls(lazy + groups, **options)
    options |= {"fused": True} if name in fused else {}
    parts: list[Optimizer] = [SparseAdam(lazy)] if lazy else []
    parts += [cls(groups, **options)] if groups else []
    return parts[0] if len(parts) == 1 else Together(parts)


class Together(Optimizer):
    r"""Several optimizers that step as one."""

    def __init__(self, parts: Sequence[Optimizer]) -> None:
        self.parts = parts
        super().__init__([group for part in parts for group in part.param_groups], {})
        self.param_groups = [group for part in parts for group in part.param_groups]

    def zero_grad(self, set_to_none: bool = True) -> None:
        for part in self.parts:
            part.zero_grad(set_to_none)

    def step(self, closure: Any = None) -> None:  # type: ignore[override]
        for part in self.parts:
            part.step()

    def state_dict(self) -> dict[str, Any]:
        return {"parts": [part.state_dict() for part in self.parts]}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        for part, state in zip(self.parts, state_dict["parts"], strict=True):
            part.load_state_dict(state)
        self.param_groups = [group for part in self.parts for group in part.param_groups]


def objectives_of(model: torch.nn.Module) -> list[Objective]:
    r"""Returns what a model trains: its :obj:`objectives()` or, as those of
    :obj:`torch_geometric.nn.kge` have none, all parameters by its :obj:`loss`.
    """
    if hasattr(model, "objectives"):
        return model.objectives()  # type: ignore[operator]
    return [Objective("model", [p for p in model.parameters() if p.requires_grad], model.loss)]  # type: ignore[arg-type]
