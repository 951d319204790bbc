from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

#: How many numbers of gathered keys to hold at once, which is about what a cache does.
CHUNK = 2**20

Similarity = Callable[[Tensor, Tensor], Tensor]


def gather_similarity(
    similarity: Similarity,
    query: Tensor,
    key: Tensor,
    index: Tensor,
    parameters: tuple[Tensor, ...] = (),
) -> Tensor:
    r"""Computes :obj:`similarity(query, key[index])` without storing
    :obj:`key[index]` or anything of its size, neither forward nor for the
    backward pass, which computes it again.

    Args:
        similarity (Callable): A function of queries :obj:`[b, Q]` and keys
            :obj:`[b, K, Q]` that gives :obj:`[b, K]`, row by row, and is the
            same when called again.
        query (torch.Tensor): The queries, of shape :obj:`[B, Q]`.
        key (torch.Tensor): All keys, of shape :obj:`[N, Q]`.
        index (torch.Tensor): The keys to compare each query with, of shape
            :obj:`[B, K]`.
        parameters (tuple[torch.Tensor], optional): What else the function
            depends on and needs gradients for. (default: :obj:`()`)

    Returns:
        The similarities, of shape :obj:`[B, K]`.
    """
    return GatherSimilarity.apply(similarity, query, key, index, *parameters)


class GatherSimilarity(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        similarity: Similarity,
        query: Tensor,
        key: Tensor,
        index: Tensor,
        *parameters: Tensor,
    ) -> Tensor:
        ctx.save_for_backward(query, key, index, *parameters)
        ctx.similarity = similarity = as_in_forward(similarity, query.device.type)
        out = None
        for rows, k in gather(key, index):
            part = similarity(query[rows], k)
            # Copied, as it may be a view of keys that make room for the next ones:
            out = part.new_empty(index.size()) if out is None else out
            out[rows] = part
        return query.new_empty(index.size()) if out is None else out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        query, key, index, *parameters = ctx.saved_tensors
        grad_query, grad_key = torch.zeros_like(query), torch.zeros_like(key)
        grads = [torch.zeros_like(parameter) for parameter in parameters]
        for rows, k in gather(key, index):
            with torch.enable_grad():
                q, k = query[rows].detach().requires_grad_(), k.detach().requires_grad_()
                out = ctx.similarity(q, k)
            found = torch.autograd.grad(out, (q, k, *parameters), grad[rows], allow_unused=True)
            if found[0] is not None:
                grad_query[rows] = found[0]
            if found[1] is not None:
                grad_key.index_add_(0, index[rows].reshape(-1), found[1].flatten(0, 1))
            for total, part in zip(grads, found[2:], strict=True):
                if part is not None:
                    total += part
        return None, grad_query, grad_key, None, *grads


def as_in_forward(similarity: Similarity, device_type: str) -> Similarity:
    r"""Returns the function under autocast as it is now, as a backward pass
    runs outside of it.
    """
    dtype, enabled = torch.get_autocast_dtype(device_type), torch.is_autocast_enabled(device_type)

    def out(query: Tensor, key: Tensor) -> Tensor:
        # Not cached, as parameters that are cast without gradients would stay without them:
        with torch.autocast(device_type, dtype, enabled, cache_enabled=False):
            return similarity(query, key)

    return out


def gather(key: Tensor, index: Tensor) -> Iterator[tuple[slice, Tensor]]:
    r"""Yields rows of :obj:`index` with their keys, in parts of up to
    :obj:`CHUNK` numbers, which all take the same place in memory. Rows are
    selected, which is faster than advanced indexing.
    """
    num_rows, num_keys = index.size()
    step = max(1, CHUNK // max(num_keys * key.size(-1), 1))
    buffer = key.new_empty(min(step, num_rows) * num_keys, key.size(-1))
    for start in range(0, num_rows, step):
        part = index[start : start + step]
        out = buffer[: part.numel()]
        torch.index_select(key, 0, part.reshape(-1), out=out)
        yield slice(start, start + step), out.view(*part.size(), key.size(-1))
