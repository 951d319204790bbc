from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

from torch_imf.nn.functional.chunk import chunk_positives, compute_dtype


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
        query (torch.Tensor): The queries, of shape :obj:`[B, C]`.
        key (torch.Tensor): All candidates, of shape :obj:`[N, C]`.
        pos_index (torch.Tensor): The positives, of shape :obj:`[2, P]`
            (row: query, column: candidate), without duplicates.
        label_smoothing (float, optional): The label smoothing, in
            :obj:`[0, 1]`. (default: :obj:`0.`)
        bias (torch.Tensor, optional): A scalar added to every logit.
            (default: :obj:`None`)
        chunk_size (int, optional): The number of candidates to visit at once.
            If :obj:`None`, it is chosen from the batch size.
            (default: :obj:`None`)

    Returns:
        A scalar in :obj:`float32` (:obj:`float64` for such inputs). It can be
        differentiated once.

    Raises:
        ValueError: If there are no queries or no candidates, or
            :obj:`chunk_size` is not positive.
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
        need_grad = any(ctx.needs_input_grad)
        q, k, dtype = compute_dtype(query, key)
        scale = 1.0 / (q.size(0) * k.size(0))
        smooth, hit = label_smoothing / k.size(0), 1.0 - label_smoothing

        loss = torch.zeros((), dtype=dtype, device=q.device)
        grad_query = torch.zeros(q.size(), dtype=dtype, device=q.device)
        grad_key = torch.empty(k.size() if need_grad else 0, dtype=key.dtype, device=q.device)
        grad_bias = torch.zeros((), dtype=dtype, device=q.device)
        for start, end, row, col in chunk_positives(pos_index, q.size(0), k.size(0), chunk_size):
            logit = (q @ k[start:end].t()).to(dtype)
            if bias is not None:
                logit += bias
            loss += F.softplus(logit).sum() - hit * logit[row, col].sum()
            if smooth > 0:
                loss -= smooth * logit.sum()
            if need_grad:
                grad = logit.sigmoid_()
                if smooth > 0:
                    grad -= smooth
                grad[row, col] -= hit
                if bias is not None:
                    grad_bias += grad.sum()
                grad = grad.to(q.dtype)
                grad_query += grad @ k[start:end]
                grad_key[start:end] = grad.t() @ q

        if need_grad:
            ctx.save_for_backward(grad_query.to(query.dtype), grad_key, grad_bias)
            ctx.scale, ctx.bias = scale, bias
        return loss * scale

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_out: Tensor) -> tuple[Tensor | None, ...]:  # type: ignore[override]
        grad_query, grad_key, grad_bias = ctx.saved_tensors
        scale = grad_out * ctx.scale
        return (
            grad_query * scale.to(grad_query.dtype),
            grad_key * scale.to(grad_key.dtype),
            None,
            None,
            None if ctx.bias is None else (grad_bias * scale).to(ctx.bias.dtype).view_as(ctx.bias),
            None,
        )
