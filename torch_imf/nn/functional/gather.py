from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

#: How many numbers of gathered keys to hold at once, which is about what a cache does.
CHUNK = 2**20

Similarity = Callable[[Tensor, Tensor], Tensor]


def grouped_mm(x: Tensor, matrix: Tensor, group: Tensor) -> Tensor:
    r"""Multiplies each row with the matrix of its group, giving :obj:`[B, D]`. It is :obj:`(x[:,
    None] @ matrix[group])[:, 0]`, without a matrix for each row: the rows of a group are multiplied
    at once, and groups of about the same size together. It is fastest if groups are in the order of
    their sizes (:meth:`group_by_size`).

    Args:
        x (torch.Tensor): The rows, of shape :obj:`[B, C]`.
        matrix (torch.Tensor): The matrices, of shape :obj:`[G, C, D]`.
        group (torch.Tensor): The group of each row, of shape :obj:`[B]`.
    """
    if group.numel() == 0 or torch.compiler.is_compiling():  # The sizes of groups are data.
        return (x.unsqueeze(1) @ matrix[group]).squeeze(1)
    # Rows by group, each group padded to the largest of those that are multiplied together:
    count = torch.bincount(group, minlength=matrix.size(0))
    start, sizes = count.cumsum(0) - count, count.tolist()
    perm = group.argsort(stable=True)
    x, group = x[perm], group[perm]
    position = torch.arange(group.numel(), device=group.device) - start[group]

    out, row, first = [], 0, 0
    for part in matrix.split(_runs(sizes)):
        last = first + part.size(0)
        width, num_rows = max(sizes[first:last]), sum(sizes[first:last])
        here = slice(row, row + num_rows)
        slot = (group[here] - first) * width + position[here]
        padded = x.new_zeros(part.size(0) * width, x.size(1)).index_copy(0, slot, x[here])
        product = padded.view(part.size(0), width, x.size(1)) @ part  # [G', W, D]
        out.append(product.flatten(0, 1).index_select(0, slot))
        row, first = row + num_rows, last
    return torch.cat(out).index_select(0, perm.argsort())


def by_blocks(similarity: Similarity, query: Tensor, key: Tensor, blocks: Tensor | None) -> Tensor:
    r"""Scores queries against shared keys of several blocks, one block at a time: products of
    another size may round otherwise, and the scores of the first blocks are to the last bit what
    they were before there were others. Other keys are scored at once.
    """
    if blocks is None or key.dim() == 3 or key.size(0) != int(blocks.sum()):
        return similarity(query, key)
    return torch.cat([similarity(query, x) for x in key.split(blocks.tolist())], dim=-1)


def group_by_size(index: Tensor) -> tuple[Tensor, Tensor]:
    r"""Returns the distinct values of a vector, rarest first, and which of them each element is."""
    value, group, count = index.unique(return_inverse=True, return_counts=True)
    order = count.argsort(stable=True)
    return value[order], order.argsort()[group]


def _runs(sizes: list[int], factor: int = 4) -> list[int]:
    # The lengths of runs of groups whose sizes are within a factor.
    runs, low, high = [0], sizes[0], sizes[0]
    for size in sizes:
        low, high = min(low, size), max(high, size)
        if high > factor * low:
            runs, low, high = [*runs, 0], size, size
        runs[-1] += 1
    return runs


def gather_similarity(
    similarity: Similarity,
    query: Tensor,
    key: Tensor,
    index: Tensor,
    parameters: tuple[Tensor, ...] = (),
) -> Tensor:
    r"""Computes :obj:`similarity(query, key[index])`, of shape :obj:`[B, K]`, without storing
    :obj:`key[index]` or anything of its size, neither forward nor for the backward pass, which
    computes it again.

    Args:
        similarity (Callable): A function of queries :obj:`[b, Q]` and keys :obj:`[b, K, Q]` that
            gives :obj:`[b, K]`, row by row, and is the same when called again.
        query (torch.Tensor): The queries, of shape :obj:`[B, Q]`.
        key (torch.Tensor): All keys, of shape :obj:`[N, Q]`.
        index (torch.Tensor): The keys to compare each query with, of shape :obj:`[B, K]`.
        parameters (tuple[torch.Tensor], optional): What else the function depends on and needs
            gradients for. (default: :obj:`()`)
    """
    return _GatherSimilarity.apply(similarity, query, key, index, *parameters)


class _GatherSimilarity(torch.autograd.Function):
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
        ctx.similarity = similarity = _as_in_forward(similarity, query.device.type)
        out = None
        for rows, k in _gather(key, index):
            part = similarity(query[rows], k)
            out = part.new_empty(index.size()) if out is None else out
            out[rows] = part  # Copied, as it may be a view of keys that make room for the next.
        return query.new_empty(index.size()) if out is None else out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        query, key, index, *parameters = ctx.saved_tensors
        grad_query, grad_key = torch.zeros_like(query), torch.zeros_like(key)
        grads = [torch.zeros_like(parameter) for parameter in parameters]
        for rows, k in _gather(key, index):
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


def _as_in_forward(similarity: Similarity, device_type: str) -> Similarity:
    # Under autocast as it is now: a backward pass runs outside of it.
    dtype, enabled = torch.get_autocast_dtype(device_type), torch.is_autocast_enabled(device_type)

    def out(query: Tensor, key: Tensor) -> Tensor:
        # Not cached, as parameters that are cast without gradients would stay without them:
        with torch.autocast(device_type, dtype, enabled, cache_enabled=False):
            return similarity(query, key)

    return out


def _gather(key: Tensor, index: Tensor) -> Iterator[tuple[slice, Tensor]]:
    # Rows of the index with their keys, in parts of up to CHUNK numbers, which all take the same
    # place in memory.
    num_rows, num_keys = index.size()
    step = max(1, CHUNK // max(num_keys * key.size(-1), 1))
    buffer = key.new_empty(min(step, num_rows) * num_keys, key.size(-1))
    for start in range(0, num_rows, step):
        part = index[start : start + step]
        out = buffer[: part.numel()]
        torch.index_select(key, 0, part.reshape(-1), out=out)  # Faster than advanced indexing.
        yield slice(start, start + step), out.view(*part.size(), key.size(-1))
