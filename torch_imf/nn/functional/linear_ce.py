from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from torch_imf.nn.functional.chunk import chunk_positives, compute_dtype, fact_shares


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
    once for the normaliser and once for the gradient, in the forward pass.
    Under :class:`torch.autocast`, the products run in its type and everything
    else in :obj:`float32`.

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
        need_grad = any(ctx.needs_input_grad)
        q, k, dtype = compute_dtype(query, key)
        share, fact = fact_shares(pos_index, q.size(0), weight, dtype)
        chunks = list(chunk_positives(pos_index, q.size(0), k.size(0), chunk_size))

        log_sum = torch.full((q.size(0),), -torch.inf, dtype=dtype, device=q.device)
        pos_sum = torch.zeros_like(log_sum)
        for start, end, row, col in chunks:
            logit = (q @ k[start:end].t()).to(dtype)
            log_sum = torch.logaddexp(log_sum, logit.logsumexp(dim=-1))
            pos_sum.index_add_(0, row, logit[row, col])
        loss = (log_sum * share - pos_sum * fact).sum()

        if need_grad:
            grad_query = torch.zeros(q.size(), dtype=dtype, device=q.device)
            grad_key = torch.empty_like(key)
            shift = log_sum - share.log()  # A row without positives: exp(-inf).
            for start, end, row, col in chunks:
                if len(chunks) > 1:
                    logit = (q @ k[start:end].t()).to(dtype)
                grad = logit.sub_(shift.unsqueeze(-1)).exp_()
                grad[row, col] -= fact[row]
                grad = grad.to(q.dtype)
                grad_query += grad @ k[start:end]
                grad_key[start:end] = grad.t() @ q
            ctx.save_for_backward(grad_query.to(query.dtype), grad_key)
        return loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        grad_query, grad_key = ctx.saved_tensors
        grad_query = grad_query * grad_out.to(grad_query.dtype)
        return grad_query, grad_key * grad_out.to(grad_key.dtype), None, None, None
