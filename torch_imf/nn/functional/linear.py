import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from torch_imf.data.distributed import summed, world

LOG2E = 1 / math.log(2)

#: How many bytes of what the second visit of keys needs to keep, rather than compute again.
MAX_KEPT = 2**28


def linear_bce_loss(
    query: Tensor,
    key: Tensor,
    pos_index: Tensor,
    label_smoothing: float = 0.0,
    bias: Tensor | None = None,
    chunk_size: int | None = None,
    spread: float | None = None,
) -> Tensor:
    r"""The 1-N binary cross-entropy of the `"IMF: Interactive Multimodal Fusion Model for Link
    Prediction" <https://arxiv.org/abs/2303.10816>`_ paper (Eq. 9), averaged over queries and
    candidates:

    .. code-block:: python

        target = torch.zeros(B, N)
        target[pos_index[0], pos_index[1]] = 1.0
        target = (1 - label_smoothing) * target + spread / N  # Of label_smoothing, by default.
        F.binary_cross_entropy_with_logits((query @ key.t()).float() + bias, target)

    It allocates neither logits nor target: keys are visited in chunks, and the gradient is computed
    in the same pass as the value. Under :class:`torch.autocast`, products run in its type and
    everything else in :obj:`float32`. The arguments are those of :meth:`linear_ce_loss`, a label
    smoothing in :obj:`[0, 1]`, and a scalar :obj:`bias` that is added to every logit.
    """
    spread = label_smoothing if spread is None else spread
    return _LinearBCE.apply(query, key, pos_index, 1 - label_smoothing, spread, bias, chunk_size)


def linear_ce_loss(
    query: Tensor,
    key: Tensor,
    pos_index: Tensor,
    weight: Tensor | None = None,
    chunk_size: int | None = None,
    bias: Tensor | None = None,
    count: Tensor | None = None,
) -> Tensor:
    r"""The 1-N softmax cross-entropy in which the positives of a query share the target mass
    evenly, averaged over queries. Weighed by the number of positives of each query, it is the
    average over *facts* of a softmax each (*1vsAll*), at the cost of one per query:

    .. code-block:: python

        target = torch.zeros(B, N)
        target[pos_index[0], pos_index[1]] = 1.0
        target = target / target.sum(dim=-1, keepdim=True)
        logit = (query @ key.t()).float() + bias
        loss = F.cross_entropy(logit, target, reduction="none")
        (weight * loss).sum() / weight.sum()

    It differs from :meth:`linear_bce_loss` in that it visits keys twice: for the normaliser and for
    the gradient. What takes up to 256 MB is kept from the first visit, and more is computed again.

    Args:
        query (torch.Tensor): The queries, of shape :obj:`[B, C]`, at least one.
        key (torch.Tensor): All candidates, of shape :obj:`[N, C]`, at least one.
        pos_index (torch.Tensor): The positives, of shape :obj:`[2, P]` (row: query, column:
            candidate), without duplicates. A query without any adds nothing to the loss.
        weight (torch.Tensor, optional): The weight of each query, of shape :obj:`[B]`, not
            negative, or one each. (default: :obj:`None`)
        chunk_size (int, optional): The number of candidates to visit at once, or one that suits the
            batch size. (default: :obj:`None`)
        bias (torch.Tensor, optional): What is added to the logits of each candidate, of shape
            :obj:`[N]`, a constant. (default: :obj:`None`)
        count (torch.Tensor, optional): If several processes hold some of the keys each, and all of
            them call this with the same queries, the number of positives of each query, of shape
            :obj:`[B]`, of which :obj:`pos_index` has those among the keys of this process. The loss
            is that against all keys; gradients of queries are the part of these keys. (default:
            :obj:`None`)

    Returns:
        A scalar in :obj:`float32` (:obj:`float64` for such inputs). It can be differentiated once.
    """
    return _LinearCE.apply(query, key, pos_index, weight, chunk_size, bias, count)


def dura_loss(
    query: Tensor,
    key: Tensor,
    pos_index: Tensor,
    weight: Tensor | None = None,
    query_weight: float = 1.0,
    key_weight: float = 1.0,
) -> Tensor:
    r"""The regulariser of the `"Duality-Induced Regularizer for Tensor Factorization Based
    Knowledge Graph Completion" <https://arxiv.org/abs/2011.05816>`_ paper (DURA): the squared norms
    of the query and of the key of each fact, averaged over facts as the loss is:

    .. math::
        \mathcal{L}_{DURA} = \frac{1}{\sum_i w_i} \sum_i w_i \Big( \lambda_q {\| \mathbf{q}_i \|}^2
        + \frac{\lambda_k}{|\mathcal{P}_i|} \sum_{j \in \mathcal{P}_i} {\| \mathbf{k}_j \|}^2 \Big)

    A fact and its inverse triple have together what the paper has for a fact, :math:`\lambda_k
    ({\| \mathbf{h} \|}^2 + {\| \mathbf{t} \|}^2) + \lambda_q ({\| \mathbf{h} \overline{\mathbf{R}}
    \|}^2 + {\| \mathbf{t} \mathbf{R}^{\top} \|}^2)`. Its released code takes all four terms of each
    triple, in either direction, with 0.5 for entities and 1.5 for products: if relations are of the
    size of their inverses, this is :obj:`query_weight=3`. The other arguments are those of
    :meth:`linear_ce_loss`.
    """
    dtype = torch.promote_types(query.dtype, torch.float32)
    row, col = pos_index
    share, fact = _fact_shares(pos_index, query.size(0), weight, dtype)
    share_key = fact.new_zeros(key.size(0)).index_add_(0, col, fact[row])
    with torch.autocast(query.device.type, enabled=False):
        queries = (query.to(dtype).square().sum(dim=-1) * share).sum()
        keys = (key.to(dtype).square().sum(dim=-1) * share_key).sum()
    return query_weight * queries + key_weight * keys


class _LinearBCE(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        pos_index: Tensor,
        hit: float,
        spread: float,
        bias: Tensor | None,
        chunk_size: int | None,
    ) -> Tensor:
        need_query, need_key, *_, need_bias, _ = ctx.needs_input_grad
        need_grad = need_query or need_key or need_bias
        chunks = _Chunks(query, key, pos_index, chunk_size)
        dtype, ctx.scale = chunks.dtype, 1.0 / (query.size(0) * key.size(0))
        smooth = spread / key.size(0)

        loss = query.new_zeros((), dtype=dtype)
        grad_bias = torch.zeros_like(loss)
        grad_query = query.new_zeros(query.size() if need_query else 0, dtype=dtype)
        grad_key = key.new_empty(key.size() if need_key else 0)
        query_sum = chunks.query.sum(dim=0, dtype=dtype)
        key_sum = torch.zeros_like(query_sum)
        for start, end, k, logit, row, col in chunks:
            if bias is not None:
                logit += bias
            loss += F.softplus(logit).sum() - hit * logit[row, col].sum()
            key_sum += k.sum(dim=0, dtype=dtype)
            if need_grad:
                grad = logit.sigmoid_()
                grad[row, col] -= hit
                if bias is not None:
                    grad_bias += grad.sum()
                grad = chunks.lower(grad)
                if need_query:
                    grad_query += grad @ k
                if need_key:
                    grad_key[start:end] = grad.t() @ chunks.query

        if smooth > 0:  # Every logit has this share in the loss, so their sums are enough:
            total = (query_sum * key_sum).sum()
            loss -= smooth * (total if bias is None else total + bias.sum() / ctx.scale)
            if need_query:
                grad_query -= smooth * key_sum
            if need_key:
                grad_key -= (smooth * query_sum).to(grad_key.dtype)
            grad_bias -= smooth / ctx.scale
        ctx.save_for_backward(
            grad_query.to(query.dtype) if need_query else None,
            grad_key if need_key else None,
            grad_bias.to(bias.dtype).view_as(bias) if bias is not None and need_bias else None,
        )
        return loss * ctx.scale

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        grad_query, grad_key, grad_bias = _scaled(ctx.saved_tensors, grad_out * ctx.scale)
        return grad_query, grad_key, None, None, None, grad_bias, None


class _LinearCE(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        pos_index: Tensor,
        weight: Tensor | None,
        chunk_size: int | None,
        bias: Tensor | None,
        count: Tensor | None,
    ) -> Tensor:
        need_query, need_key, *_ = ctx.needs_input_grad
        ctx.size = 1 if count is None else world()[1]
        chunks = _Chunks(query, key, pos_index, chunk_size, bias)
        share, fact = _fact_shares(pos_index, query.size(0), weight, chunks.dtype, count)
        size = query.size(0) * key.size(0) * chunks.low.itemsize
        keep = need_key and size <= MAX_KEPT
        kept: list[tuple[Tensor, Tensor]] = []
        hits: list[Tensor] = []

        # By the largest logit so far (with 2 as the base, whose powers are fastest); sums of before
        # are scaled when there is a larger one:
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
        if count is not None:  # The same of what all processes have found.
            before, top = top, summed(top, dist.ReduceOp.MAX)
            ratio = (before - top).exp2_()
            grad_query *= ratio
            found = torch.cat([total * ratio, pos_sum.unsqueeze(-1)], dim=-1)
            total, pos_sum = (x.contiguous() for x in summed(found).split(1, dim=-1))
            pos_sum = pos_sum.squeeze(-1)
        log_sum = (top + total.log2()).squeeze(-1) / LOG2E

        scale = share.unsqueeze(-1) / total
        grad_query *= scale
        grad_key = key.new_empty(key.size() if need_key else 0)
        if need_query or need_key:
            powers = iter(kept) if keep else _powers(chunks, top)
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
        grads = grad_query.to(query.dtype) if need_query else None, grad_key if need_key else None
        ctx.save_for_backward(*grads)
        return (log_sum * share - pos_sum * fact).sum()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        return *_scaled(ctx.saved_tensors, grad_out * ctx.size), None, None, None, None, None


def _powers(chunks: "_Chunks", top: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    # What was not kept of each chunk.
    for _, _, _, logit, row, col in chunks:
        power = logit.mul_(LOG2E).sub_(top).exp2_()
        power[row, col] = 0
        yield chunks.lower(power), top


def _scaled(grads: tuple[Tensor | None, ...], grad_out: Tensor) -> list[Tensor | None]:
    # In place, so that autograd refuses to use what the forward pass has found again.
    return [None if grad is None else grad.mul_(grad_out) for grad in grads]


class _Chunks:
    # The logits of a 1-N loss, chunk by chunk. All take the same place in memory: asking for a new
    # one costs more than what is computed in it.

    def __init__(
        self,
        query: Tensor,
        key: Tensor,
        pos_index: Tensor,
        chunk_size: int | None,
        bias: Tensor | None = None,
    ) -> None:
        num_queries, num_keys = query.size(0), key.size(0)
        if min(num_queries, num_keys) == 0:
            raise ValueError(f"A loss needs queries and candidates (got {num_queries}, {num_keys})")
        if chunk_size is None:  # About 8 MB of float32 logits stay close to the cores.
            chunk_size = max(256, 2**21 // num_queries)
        if chunk_size < 1:
            raise ValueError(f"'chunk_size' needs to be positive (got {chunk_size})")
        # Products run in the type that autocast asks for, everything else in a wider one:
        self.low = torch.promote_types(query.dtype, key.dtype)
        self.dtype = torch.promote_types(self.low, torch.float32)
        if torch.is_autocast_enabled(query.device.type):
            self.low = torch.get_autocast_dtype(query.device.type)
        self.query = query.detach().to(self.low)
        self.all_keys = key.detach()
        self.bias = None if bias is None else bias.to(self.dtype)

        # The range of each chunk, and the positives inside it:
        col, perm = pos_index[1].sort()
        row = pos_index[0][perm]
        bounds = [*range(0, num_keys, chunk_size), num_keys]
        ptr = torch.searchsorted(col, torch.tensor(bounds, device=col.device)).tolist()
        self.parts = [
            (start, end, row[i:j], col[i:j] - start)
            for (start, end), (i, j) in zip(pairwise(bounds), pairwise(ptr), strict=True)
        ]
        numel = num_queries * min(chunk_size, num_keys)
        self.buffer = self.low_buffer = query.new_empty(numel, dtype=self.dtype)
        if self.low != self.dtype:
            self.low_buffer = query.new_empty(numel, dtype=self.low)

    def __iter__(self) -> Iterator[tuple[int, int, Tensor, Tensor, Tensor, Tensor]]:
        # Start, end, keys [c, C], logits [B, c], queries of positives, and their places in a chunk.
        for start, end, row, col in self.parts:
            key = self.all_keys[start:end].to(self.low)
            logit = self._view(self.low_buffer, end - start)
            torch.mm(self.query, key.t(), out=logit)
            if self.low != self.dtype:
                logit = self._view(self.buffer, end - start).copy_(logit)
            if self.bias is not None:
                logit += self.bias[start:end]
            yield start, end, key, logit, row, col

    def lower(self, x: Tensor) -> Tensor:
        # What the logits of a chunk have become, for products.
        return x if self.low == self.dtype else self._view(self.low_buffer, x.size(1)).copy_(x)

    def _view(self, buffer: Tensor, num_keys: int) -> Tensor:
        return buffer[: self.query.size(0) * num_keys].view(-1, num_keys)


def _fact_shares(
    pos_index: Tensor,
    num_queries: int,
    weight: Tensor | None,
    dtype: torch.dtype,
    count: Tensor | None = None,
) -> tuple[Tensor, Tensor]:
    # The share of each query in the weighed mean, zero for one without positives, and that of each
    # of its positives, of shape [B] each.
    count = torch.bincount(pos_index[0], minlength=num_queries) if count is None else count
    count = count.to(dtype)
    share = torch.ones_like(count) if weight is None else weight.to(dtype)
    share = share / share.sum().clamp(min=torch.finfo(dtype).tiny) * (count > 0)
    return share, share / count.clamp(min=1)
