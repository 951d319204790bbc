from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor


class Chunk(NamedTuple):
    r"""Candidates :obj:`start` to :obj:`end` of a 1-N loss: their keys
    :obj:`[c, C]`, the logits :obj:`[B, c]` of all queries, and the positives
    among them (:obj:`row`: query, :obj:`col`: position in the chunk).
    """

    start: int
    end: int
    key: Tensor
    logit: Tensor
    row: Tensor
    col: Tensor


class Chunks:
    r"""The logits of a 1-N loss, chunk by chunk. All chunks take the same place
    in memory, so that none is asked of the system anew, which costs more than
    what is computed in it.

    Products run in the type that autocast asks for, everything else in
    :obj:`dtype`, :obj:`float32` or wider.

    Args:
        query (torch.Tensor): The queries, of shape :obj:`[B, C]`.
        key (torch.Tensor): All candidates, of shape :obj:`[N, C]`.
        pos_index (torch.Tensor): The positives, of shape :obj:`[2, P]`.
        chunk_size (int, optional): The number of candidates to visit at once.
            If :obj:`None`, it is chosen from the batch size.
            (default: :obj:`None`)

    Raises:
        ValueError: If there are no queries or no candidates, or
            :obj:`chunk_size` is not positive.
    """

    def __init__(
        self, query: Tensor, key: Tensor, pos_index: Tensor, chunk_size: int | None = None
    ) -> None:
        if query.size(0) == 0 or key.size(0) == 0:
            raise ValueError(
                f"A 1-N loss needs queries and candidates (got {query.size(0)} and {key.size(0)})"
            )
        self.low = torch.promote_types(query.dtype, key.dtype)
        self.dtype = torch.promote_types(self.low, torch.float32)
        if torch.is_autocast_enabled(query.device.type):
            self.low = torch.get_autocast_dtype(query.device.type)
        self.query = query.detach().to(self.low)
        self.all_keys = key.detach()
        self.size = (query.size(0), key.size(0))
        self.parts = list(_parts(pos_index, *self.size, chunk_size))
        numel = query.size(0) * self.parts[0][1]
        self.buffer = query.new_empty(numel, dtype=self.dtype)
        self.low_buffer = self.buffer
        if self.low != self.dtype:
            self.low_buffer = query.new_empty(numel, dtype=self.low)

    def __iter__(self) -> Iterator[Chunk]:
        for start, end, row, col in self.parts:
            key = self.all_keys[start:end].to(self.low)
            logit = self._view(self.low_buffer, end - start)
            torch.mm(self.query, key.t(), out=logit)
            if self.low != self.dtype:
                logit = self._view(self.buffer, end - start).copy_(logit)
            yield Chunk(start, end, key, logit, row, col)

    def lower(self, x: Tensor) -> Tensor:
        r"""Casts what the logits of a chunk have become, for products."""
        return x if self.low == self.dtype else self._view(self.low_buffer, x.size(1)).copy_(x)

    def _view(self, buffer: Tensor, num_keys: int) -> Tensor:
        return buffer[: self.size[0] * num_keys].view(-1, num_keys)


def _parts(
    pos_index: Tensor, num_queries: int, num_keys: int, chunk_size: int | None
) -> Iterator[tuple[int, int, Tensor, Tensor]]:
    # The range of each chunk and the positives inside it.
    if chunk_size is None:
        # About 8 MB of float32 logits stay close to the cores:
        chunk_size = max(256, 2**21 // max(num_queries, 1))
    if chunk_size < 1:
        raise ValueError(f"'chunk_size' needs to be positive (got {chunk_size})")
    col, perm = pos_index[1].sort()
    row = pos_index[0][perm]
    start = range(0, num_keys, chunk_size)
    bound = torch.tensor([*start, num_keys], device=col.device)
    ptr = torch.searchsorted(col, bound).tolist()
    for i, j in enumerate(start):
        part = slice(ptr[i], ptr[i + 1])
        yield j, min(j + chunk_size, num_keys), row[part], col[part] - j


def fact_shares(
    pos_index: Tensor, num_queries: int, weight: Tensor | None, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    r"""Returns the share of each query in a mean that is weighed by
    :obj:`weight`, zero for a query without positives, and that of each of its
    positives, of shape :obj:`[B]` each.
    """
    count = torch.bincount(pos_index[0], minlength=num_queries).to(dtype)
    share = torch.ones_like(count) if weight is None else weight.to(dtype)
    share = share / share.sum().clamp(min=torch.finfo(dtype).tiny) * (count > 0)
    return share, share / count.clamp(min=1)


class Gradients:
    r"""Gradients that a forward pass has found, :obj:`None` where none is
    needed, which a backward pass scales by that of the loss, in place: it comes
    once.
    """

    def __init__(self, *grads: Tensor | None) -> None:
        self.grads: tuple[Tensor | None, ...] | None = grads

    def __call__(self, grad_out: Tensor) -> list[Tensor | None]:
        if self.grads is None:
            raise RuntimeError("A 1-N loss is differentiated once. Compute it again")
        grads, self.grads = self.grads, None
        return [None if grad is None else grad.mul_(grad_out) for grad in grads]
