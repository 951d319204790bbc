import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from torch_imf.nn.functional.chunk import Chunks, Gradients, fact_shares

LOG2E = 1 / math.log(2)

#: How many bytes of what the backward pass needs to keep, rather than compute again.
MAX_KEPT = 2**28


def linear_ce_loss(
    query: Tensor,
    key: Tensor,
    pos_index: Tensor,
    weight: Tensor | None = None,
    chunk_size: int | None = None,
) -> Tensor:
    r"""The 1-N softmax cross-entropy in which the positives of a query share
    the target mass evenly, averaged over queries.

    Weighed by the number of positives of each query, it is the average over
    *facts* of a softmax each (*1vsAll*), at the cost of one per query.

    Computes

    .. code-block:: python

        target = torch.zeros(B, N)
        target[pos_index[0], pos_index[1]] = 1.0
        target = target / target.sum(dim=-1, keepdim=True)
        loss = F.cross_entropy((query @ key.t()).float(), target, reduction="none")
        (weight * loss).sum() / weight.sum()

    without allocating the logits or the target: keys are visited in chunks,
    once for the normaliser and once for the gradient, in the forward pass. What
    the second visit needs is kept from the first where it takes less than
    256 MB, and computed again elsewhere. Under :class:`torch.autocast`, the
    products run in its type and everything else in :obj:`float32`.

    Args:
        query (torch.Tensor): The queries, of shape :obj:`[B, C]`.
        key (torch.Tensor): All candidates, of shape :obj:`[N, C]`.
        pos_index (torch.Tensor): The positives, of shape :obj:`[2, P]`
            (row: query, column: candidate), without duplicates. A query
            without any adds nothing to the loss.
        weight (torch.Tensor, optional): The weight of each query, of shape
            :obj:`[B]`, not negative. If :obj:`None`, one each.
            (default: :obj:`None`)
        chunk_size (int, optional): The number of candidates to visit at once.
            If :obj:`None`, it is chosen from the batch size.
            (default: :obj:`None`)

    Returns:
        A scalar in :obj:`float32` (:obj:`float64` for such inputs). It can be
        differentiated once.

    Raises:
        ValueError: If there are no queries or no candidates,
            :obj:`chunk_size` is not positive, or weights do not fit.
    """
    if weight is not None and weight.size() != query.size()[:1]:
        raise ValueError(
            f"'weight' needs one number for each of {query.size(0)} queries "
            f"(got shape {list(weight.size())})"
        )
    return _LinearCE.apply(query, key, pos_index, weight, chunk_size)


class _LinearCE(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        pos_index: Tensor,
        weight: Tensor | None,
        chunk_size: int | None,
    ) -> Tensor:
        need_query, need_key, *_ = ctx.needs_input_grad
        chunks = Chunks(query, key, pos_index, chunk_size)
        share, fact = fact_shares(pos_index, query.size(0), weight, chunks.dtype)
        keep = need_key and math.prod(chunks.size) * chunks.low.itemsize <= MAX_KEPT
        kept: list[tuple[Tensor, Tensor]] = []
        hits: list[Tensor] = []

        # Normalised by the largest logit so far (with 2 as the base, whose powers are fastest),
        # sums of before are scaled when there is a larger one:
        top = query.new_full((query.size(0), 1), -torch.inf, dtype=chunks.dtype)
        total, pos_sum = torch.zeros_like(top), torch.zeros_like(share)
        grad_query = query.new_zeros(query.size(), dtype=chunks.dtype)
        for _, _, k, logit, row, col in chunks:
            hits.append(logit[row, col])
            pos_sum.index_add_(0, row, hits[-1])
            logit.mul_(LOG2E)
            before, top = top, torch.maximum(top, logit.amax(dim=-1, keepdim=True))
            ratio = (before - top).exp2_()
            power = logit.sub_(top).exp2_()
            total = total * ratio + power.sum(dim=-1, keepdim=True)
            power[row, col] = 0  # Positives are left to single precision, where they cancel.
            if keep:
                kept.append((power.to(chunks.low, copy=True), top))
            if need_query:
                grad_query.mul_(ratio).add_((kept[-1][0] if keep else chunks.lower(power)) @ k)
        log_sum = (top + total.log2()).squeeze(-1) / LOG2E
        loss = (log_sum * share - pos_sum * fact).sum()

        if need_query or need_key:
            scale = share.unsqueeze(-1) / total
            grad_query *= scale
            grad_key = key.new_empty(key.size() if need_key else 0)
            powers = iter(kept) if keep else _again(chunks, top)
            for (start, end, row, col), pos in zip(chunks.parts, hits, strict=True):
                hit = (fact[row] - share[row] * (pos - log_sum[row]).exp()).unsqueeze(-1)
                if need_query:
                    grad_query.index_add_(0, row, hit * key[start + col], alpha=-1)
                if need_key:
                    power, base = next(powers)
                    q = chunks.query * (scale * (base - top).exp2())
                    grad_key[start:end] = power.t() @ q.to(chunks.low)
                    part = (hit * query[row]).to(key.dtype)
                    grad_key[start:end].index_add_(0, col, part, alpha=-1)
            ctx.gradients = Gradients(
                grad_query.to(query.dtype) if need_query else None, grad_key if need_key else None
            )
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        return *ctx.gradients(grad_out), None, None, None


def _again(chunks: Chunks, top: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    # What was not kept of each chunk.
    for chunk in chunks:
        power = chunk.logit.mul_(LOG2E).sub_(top).exp2_()
        power[chunk.row, chunk.col] = 0
        yield chunks.lower(power), top
