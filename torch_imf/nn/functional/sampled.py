from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import once_differentiable

#: How many numbers of gathered keys to hold at once, which is about what a cache does.
CHUNK = 2**20

Similarity = Callable[[Tensor, Tensor], Tensor]


def self_adversarial_loss(
    pos_score: Tensor, neg_score: Tensor, temperature: float = 1.0, mask: Tensor | None = None
) -> Tensor:
    r"""The loss with self-adversarial negatives of the `"RotatE: Knowledge Graph Embedding by
    Relational Rotation in Complex Space" <https://arxiv.org/abs/1902.10197>`_ paper, and of AdaMF
    (Eq. 7-8), averaged over the batch:

    .. math::
        \mathcal{L} = - \log \sigma(s^+) - \sum_{i=1}^K p_i \log \sigma(-s^-_i), \qquad p_i =
        \frac{\exp(\beta s^-_i)}{\sum_j \exp(\beta s^-_j)}

    The likeliest negatives count most, as in RotatE and in the released code of AdaMF (Eq. 8 is
    printed with distances in place of scores, which is the reverse). No gradient flows through
    :math:`p_i`.

    Args:
        pos_score (torch.Tensor): The scores of facts, of shape :obj:`[B]`.
        neg_score (torch.Tensor): The scores of their negatives, of shape :obj:`[B, K]`.
        temperature (float, optional): :math:`\beta`; zero weights all alike. (default: :obj:`1.`)
        mask (torch.Tensor, optional): Which negatives count, of shape :obj:`[B, K]`. A fact without
            any gives its first term only. (default: :obj:`None`)

    Returns:
        A scalar, in single precision at least.
    """
    pos_score, neg_score = (x.float() if x.itemsize < 4 else x for x in (pos_score, neg_score))
    weight = temperature * neg_score.detach()
    if mask is not None:
        weight = weight.masked_fill(~mask, -torch.inf)
    # Rows without a negative are all NaN:
    p = weight.softmax(dim=-1).nan_to_num(0.0)
    return (F.softplus(-pos_score) + (p * F.softplus(neg_score)).sum(dim=-1)).mean()


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
