r"""What processes that work as one tell each other, by :obj:`torch.distributed`: shares of a batch,
and the few collectives that losses and ranking need. In one process, all of it does nothing.
"""

import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor

#: Tensors by name, such as views.
Tensors = dict[str, Tensor]


class RankLost(RuntimeError):
    r"""Another process of the job has ended."""


# Processes ######################################################################################


def world() -> tuple[int, int]:
    r"""Returns the rank of this process and how many there are. Those that :obj:`torchrun` has
    started find each other here, if they have not before.
    """
    if not dist.is_available():
        return 0, 1
    launched = dist.is_torchelastic_launched() and int(os.environ.get("WORLD_SIZE", "1")) > 1
    if launched and not dist.is_initialized():
        try:
            dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo")
        except (RuntimeError, ValueError) as error:
            where = ":".join(os.environ.get(x, "?") for x in ("MASTER_ADDR", "MASTER_PORT"))
            raise RuntimeError(
                f"The processes could not find each other at '{where}'. If the port is in use, "
                f"'torchrun --master-port' names another ({str(error).splitlines()[0]})"
            ) from error
        own = sys.excepthook  # One process tells why a job has failed.
        sys.excepthook = lambda *error: own(*error) if is_first_to_tell() else None
    return (dist.get_rank(), dist.get_world_size()) if dist.is_initialized() else (0, 1)


def is_main() -> bool:
    r"""Tells whether this is the one process that prints and writes files."""
    return world()[0] == 0


def is_first_to_tell() -> bool:
    r"""Tells whether no other process has told why the job ends."""
    if not dist.is_available() or not dist.is_initialized():
        return int(os.environ.get("RANK", "0")) == 0
    try:
        return dist.distributed_c10d._get_default_store().add("torch_imf/told", 1) == 1
    except RuntimeError:  # The store has ended, as has whoever kept it.
        return dist.get_rank() == 0


def barrier() -> None:
    r"""Waits for all processes."""
    if world()[1] > 1:
        _call(dist.barrier)


def same_everywhere(digests: dict[str, str]) -> None:
    r"""Raises a :class:`ValueError` if a digest is not the same in all processes, which names it.
    Each is of up to 64 letters.
    """
    if world()[1] == 1:
        return
    rows = [list(x.encode()[:64].ljust(64)) for x in digests.values()]
    found = gathered(torch.tensor(rows, dtype=torch.uint8).unsqueeze(0))  # [P, D, 64]
    differs = (found != found[:1]).any(dim=-1)
    names = [x for x, y in zip(digests, differs.any(dim=0).tolist(), strict=True) if y]
    if names:
        ranks = differs.any(dim=1).nonzero().view(-1).tolist()
        raise ValueError(
            f"The processes of this job differ in {', '.join(names)} (rank 0 from {ranks}). Give "
            f"all of them the same versions, files, settings and seed ('torch.manual_seed')"
        )


def all_true(value: bool) -> bool:
    r"""Tells whether something is true in all processes."""
    if world()[1] == 1:
        return value
    return not bool(summed(torch.tensor([not value], dtype=torch.long)))


def summed(x: Tensor, op: Any = None) -> Tensor:
    r"""Returns the sum, or what :obj:`op` makes, of tensors of one shape, without a gradient."""
    out = x.detach().clone(memory_format=torch.contiguous_format)
    if world()[1] > 1:
        _call(dist.all_reduce, out, dist.ReduceOp.SUM if op is None else op)
    return out


def gathered(x: Tensor) -> Tensor:
    r"""Returns the rows of all processes, in their order, without a gradient."""
    rank, size = world()
    if size == 1:
        return x
    counts = x.new_zeros(size, dtype=torch.long)
    counts[rank] = x.size(0)
    every = summed(counts).tolist()
    width = max(every)
    own = x.new_zeros(width, *x.size()[1:])
    own[: x.size(0)] = x.detach()
    out = own.new_empty(size * width, *x.size()[1:])
    _call(dist.all_gather_into_tensor, out, own)
    return torch.cat([part[:n] for part, n in zip(out.split(width), every, strict=True)])


def _call(function: Callable[..., Any], *args: Any) -> Any:
    try:
        return function(*args)
    except RuntimeError as error:
        if not isinstance(error, dist.DistError) and "onnection" not in str(error):
            raise
        raise RankLost(
            "Another process of this job has ended, killed or out of memory. The same command goes "
            "on from the last whole epoch of its checkpoint"
        ) from error


# Work that is shared ############################################################################


class Shard:
    r"""The entities that this process holds the rows of, :obj:`[start, end)`, of :obj:`num_nodes`
    that all processes hold together, in the order of their ranks.
    """

    def __init__(self, num_nodes: int) -> None:
        self.rank, self.size = world()
        if num_nodes < self.size:
            raise ValueError(f"There are fewer entities ({num_nodes}) than processes ({self.size})")
        self.num_nodes = num_nodes
        self.bounds = [num_nodes * i // self.size for i in range(self.size + 1)]
        self.start, self.end = self.bounds[self.rank : self.rank + 2]

    def __len__(self) -> int:
        return self.end - self.start

    def own(self, index: Tensor) -> Tensor:
        r"""Tells which of some entities this process holds."""
        return (index >= self.start) & (index < self.end)

    def fetch(self, lookup: Callable[[Tensor], Tensors], index: Tensor) -> Tensors:
        r"""Returns :obj:`lookup(index)` of entities wherever they are: each process looks up those
        that it holds, by their positions among these, and rows are exchanged. All processes call
        it at once, and gradients go back to where rows are.
        """
        index, position = index.unique(return_inverse=True)
        bounds = torch.tensor(self.bounds, device=index.device)
        wanted = torch.searchsorted(index, bounds).diff()
        asked = torch.empty_like(wanted)
        _call(dist.all_to_all_single, asked, wanted)
        sizes = asked.tolist(), wanted.tolist()
        asked = _exchange(index, *reversed(sizes)) - self.start
        asked, place = asked.unique(return_inverse=True)
        found = lookup(asked)
        if not found:
            return {}
        flat = [x.flatten(1) if x.dim() > 1 else x.unsqueeze(1) for x in found.values()]
        kind = flat[0].dtype
        flat = [x.byte() for x in flat] if kind == torch.bool else flat
        rows = _Exchange.apply(torch.cat(flat, dim=1)[place], *sizes)[position]
        rows = rows.bool() if kind == torch.bool else rows
        parts = rows.split([x.size(1) for x in flat], dim=1)
        items = zip(found.items(), parts, strict=True)
        return {name: x.reshape(len(x), *like.size()[1:]) for (name, like), x in items}


class Sharing:
    r"""How a block shares its work: by batch alone, or by entities, too."""

    def __init__(self, shard: Shard | None = None) -> None:
        self.rank, self.size = world()
        self.shard = shard


_SHARING: ContextVar[Sharing | None] = ContextVar("sharing", default=None)


def sharing() -> Sharing | None:
    r"""Returns how the block that is run shares its work, or :obj:`None`."""
    return _SHARING.get()


def holds_some() -> bool:
    r"""Tells whether each process holds some entities alone in the block that is run."""
    found = sharing()
    return found is not None and found.shard is not None


@contextmanager
def shared(shard: Shard | None = None) -> Iterator[Sharing | None]:
    r"""Shares batches, and the work on them, among all processes in a block."""
    token = _SHARING.set(Sharing(shard) if world()[1] > 1 else None)
    try:
        yield _SHARING.get()
    finally:
        _SHARING.reset(token)


def share(pos: Tensor, unit: int = 1) -> slice:
    r"""Returns which part of a batch this process takes: some whole :obj:`units` of it, or all if
    there are fewer of these than processes, as means are the same then.
    """
    found, size = sharing(), pos.size(0)
    if found is None or size < found.size:
        return slice(None)
    unit = unit if -(-size // unit) >= found.size else 1
    count = -(-size // unit)
    start, end = (count * i // found.size * unit for i in (found.rank, found.rank + 1))
    return slice(start, end)


@contextmanager
def own_draws(*number: int) -> Iterator[None]:
    r"""Lets this process draw by itself in a block, told from others by some numbers. After it, all
    draw the same again.
    """
    found = sharing()
    if found is None:
        yield
        return
    seed = hash((torch.initial_seed(), *number, found.rank)) % 2**63
    devices = [torch.cuda.current_device()] if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices):
        torch.manual_seed(seed)
        yield


def total(x: Tensor) -> Tensor:
    r"""Returns the sum over all processes, each of which goes on with it in the same way."""
    return x if sharing() is None else _Total.apply(x)


def mean(x: Tensor, count: Tensor | int) -> Tensor:
    r"""Returns the mean over the whole batch, given that over the share of this process, and over
    how many it is.
    """
    if sharing() is None:
        return x
    size = torch.as_tensor(count, dtype=x.dtype, device=x.device)
    return total(x * (size / summed(size)))


def gather(x: Tensor) -> Tensor:
    r"""Returns the rows of all processes, in their order."""
    return x if sharing() is None else _Gather.apply(x)


def on_whole_batch(function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
    r"""Returns what a function of a whole batch makes of the share :obj:`[B, *]` of this one."""
    found = sharing()
    if found is None:
        return function(x)
    before = gathered(torch.tensor([x.size(0)], device=x.device))[: found.rank]
    start = int(before.sum())
    return function(gather(x))[start : start + x.size(0)]


def mean_row(x: Tensor) -> Tensor:
    r"""Returns the mean of rows, of those of all processes if each holds some entities."""
    if not holds_some():
        return x.mean(dim=0)
    *sums, count = summed(torch.cat([x.sum(dim=0), x.new_tensor([x.size(0)])])).split(x.size(1))
    return sums[0] / count


class _Total(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return summed(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        return grad * world()[1]  # It is the same one everywhere.


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        rank, size = world()
        counts = torch.zeros(size, dtype=torch.long, device=x.device)
        counts[rank] = x.size(0)
        before = summed(counts)[:rank].sum().item()
        ctx.rows = slice(int(before), int(before) + x.size(0))
        return gathered(x)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # type: ignore[override]
        return summed(grad)[ctx.rows]


class _Exchange(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, send: list[int], receive: list[int]) -> Tensor:
        ctx.sizes = receive, send
        return _exchange(x, send, receive)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        return _exchange(grad, *ctx.sizes), None, None


def _exchange(x: Tensor, send: Sequence[int], receive: Sequence[int]) -> Tensor:
    out = x.new_empty(sum(receive), *x.size()[1:])
    _call(dist.all_to_all_single, out, x.contiguous(), list(receive), list(send))
    return out
