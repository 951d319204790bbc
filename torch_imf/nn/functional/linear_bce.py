from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from torch_imf.nn.functional.chunk import Chunks, Gradients


def linear_bce_loss(
    query: Tensor,
    key: Tensor,
    pos_index: Tensor,
    label_smoothing: float = 0.0,
    bias: Tensor | None = None,
    chunk_size: int | None = None,
) -> Tensor:
    r"""The 1-N binary cross-entropy of the `"IMF: Interactive Multimodal
    Fusion Model for Link Prediction" <https://arxiv.org/abs/2303.10816>`_
    paper (Eq. 9), averaged over queries and candidates.

    Computes

    .. code-block:: python

        target = torch.zeros(B, N)
        target[pos_index[0], pos_index[1]] = 1.0
        target = (1 - label_smoothing) * target + label_smoothing / N
        F.binary_cross_entropy_with_logits((query @ key.t()).float() + bias, target)

    without allocating the logits or the target: keys are visited in chunks,
    and the gradient is computed in the same pass as the value. Under
    :class:`torch.autocast`, the products run in its type and everything else
    in :obj:`float32`.

    Args:
        query (torch.Tensor): See :meth:`linear_ce_loss`.
        key (torch.Tensor): See :meth:`linear_ce_loss`.
        pos_index (torch.Tensor): See :meth:`linear_ce_loss`.
        label_smoothing (float, optional): The label smoothing, in
            :obj:`[0, 1]`. (default: :obj:`0.`)
        bias (torch.Tensor, optional): A scalar added to every logit.
            (default: :obj:`None`)
        chunk_size (int, optional): See :meth:`linear_ce_loss`.

    Returns:
        As :meth:`linear_ce_loss`.
    """
    return _LinearBCE.apply(query, key, pos_index, label_smoothing, bias, chunk_size)


class _LinearBCE(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        query: Tensor,
        key: Tensor,
        pos_index: Tensor,
        label_smoothing: float,
        bias: Tensor | None,
        chunk_size: int | None,
    ) -> Tensor:
        need_query, need_key, *_, need_bias, _ = ctx.needs_input_grad
        need_grad = need_query or need_key or need_bias
        chunks = Chunks(query, key, pos_index, chunk_size)
        (num_queries, num_keys), dtype = chunks.size, chunks.dtype
        scale = 1.0 / (num_queries * num_keys)
        smooth, hit = label_smoothing / num_keys, 1.0 - label_smoothing

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
            loss -= smooth * (total if bias is None else total + bias.sum() / scale)
            if need_query:
                grad_query -= smooth * key_sum
            if need_key:
                grad_key -= (smooth * query_sum).to(grad_key.dtype)
            grad_bias -= smooth / scale
        if need_grad:
            ctx.gradients = Gradients(
                grad_query.to(query.dtype) if need_query else None,
                grad_key if need_key else None,
                None if bias is None else grad_bias.to(bias.dtype).view_as(bias),
            )
            ctx.scale = scale
        return loss * scale

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        grad_query, grad_key, grad_bias = ctx.gradients(grad_out * ctx.scale)
        return grad_query, grad_key, None, None, grad_bias, None
