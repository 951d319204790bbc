import math
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.utils.checkpoint import checkpoint

from torch_imf.nn.scorer.base import Scorer
from torch_imf.nn.scorer.bilinear import complex_product

#: What distances are trained with, as settings of :meth:`torch_imf.recipe`.
SAMPLED = {"loss": "sampled", "optimizer": "adamw", "lr": 0.01}
#: The size of the largest difference of queries and keys to hold at once, in numbers.
MAX_PAIRS = 2**23
#: The same without gradients on a CPU, where each is visited several times: in its cache.
MAX_CACHED_PAIRS = 2**19


class DistanceScorer(Scorer):
    r"""An abstract base class of scorers with :math:`\psi(h, r, t) = \gamma - \mathrm{dist}(q, k)`,
    where the margin :math:`\gamma` is the score of a perfect match. The other arguments are those
    of :class:`Scorer`.
    """

    aliases: ClassVar[dict] = {}
    dot_product = False

    def __init__(self, channels: int, rel_channels: int | None = None, margin: float = 6.0) -> None:
        super().__init__(channels, rel_channels)
        self.margin = margin

    def distance(self, query: Tensor, key: Tensor) -> Tensor:
        r"""The distance along the last dimension of :obj:`[B, 1, Q]` and :obj:`[B | 1, K, Q]`, of
        shape :obj:`[B, K]`.
        """
        raise NotImplementedError

    def similarity(self, query: Tensor, key: Tensor) -> Tensor:
        if key.dim() == 3:
            return self.margin - self.distance(query.unsqueeze(1), key)
        return self.margin - in_chunks(self.distance, query, key, query.size(-1))


class TransE(DistanceScorer):
    r"""The TransE scorer from the `"Translating Embeddings for Modeling Multi-Relational Data"
    <https://proceedings.neurips.cc/paper/2013/file/1cecc7a77928ca8133fa24680a88d2f9-Paper.pdf>`_
    paper, a translation:

    .. math::
        \psi(h, r, t) = \gamma - \| \mathbf{e}_h + \mathbf{e}_r - \mathbf{e}_t \|_p

    Args:
        channels (int): Size of entity and relation embeddings.
        margin (float, optional): The margin :math:`\gamma`. (default: :obj:`6.`)
        p_norm (float, optional): The order :math:`p` of the norm. (default: :obj:`1.`)
    """

    same_channels = True
    settings = SAMPLED

    def __init__(
        self,
        channels: int,
        rel_channels: int | None = None,
        margin: float = 6.0,
        p_norm: float = 1.0,
    ) -> None:
        super().__init__(channels, rel_channels, margin)
        self.p_norm = p_norm

    def query(self, head: Tensor, rel: Tensor) -> Tensor:
        return head + rel

    def similarity(self, query: Tensor, key: Tensor) -> Tensor:
        # Chunks that stay in the cache of a CPU are faster, where no gradient is as large as they:
        if key.dim() == 2 and not in_cache(query):
            # The product formula of p = 2 cancels near a match, and would not agree with triples:
            mode = "donot_use_mm_for_euclid_dist"
            key = key.to(query.dtype)
            return self.margin - torch.cdist(query, key, self.p_norm, compute_mode=mode)
        return super().similarity(query, key)

    def distance(self, query: Tensor, key: Tensor) -> Tensor:
        return norm_(query - key, self.p_norm)

    def invert(self, rel: Tensor) -> Tensor:
        return -rel


class RotatE(DistanceScorer):
    r"""The RotatE scorer from the `"RotatE: Knowledge Graph Embedding by Relational Rotation in
    Complex Space" <https://arxiv.org/abs/1902.10197>`_ paper:

    .. math::
        \psi(h, r, t) = \gamma - \sum_i | (\mathbf{e}_h \circ
        e^{i \boldsymbol{\theta}_r} - \mathbf{e}_t)_i |

    Args:
        channels (int): Size of entity embeddings, as for :class:`ComplEx`. Those of relations, the
            phases :math:`\boldsymbol{\theta}_r` in radians, are half as large.
        margin (float, optional): The margin :math:`\gamma`. (default: :obj:`6.`)
    """

    settings = SAMPLED
    stores_pairs = False

    def __init__(self, channels: int, rel_channels: int | None = None, margin: float = 6.0) -> None:
        rel_channels = channels // 2 if rel_channels is None else rel_channels
        super().__init__(channels, rel_channels, margin)
        if channels != 2 * rel_channels:
            raise ValueError(
                f"RotatE needs an even number of 'channels', and 'rel_channels' to be half of it "
                f"(got {channels} and {rel_channels})"
            )

    def reset_relations(self, weight: Tensor) -> None:
        torch.nn.init.uniform_(weight, -math.pi, math.pi)

    def query(self, head: Tensor, rel: Tensor) -> Tensor:
        return complex_product(head, (rel.cos(), rel.sin()))

    def distance(self, query: Tensor, key: Tensor) -> Tensor:
        return _ComplexDistance.apply(query, key)

    def similarity(self, query: Tensor, key: Tensor) -> Tensor:
        key = key.unsqueeze(0) if key.dim() == 2 else key
        return self.margin - self.distance(query.unsqueeze(1), key)

    def invert(self, rel: Tensor) -> Tensor:
        return -rel


class _ComplexDistance(torch.autograd.Function):
    # The sum of the moduli of `query - key`. Both passes visit a difference several times: they
    # take as many as stay in the cache of a CPU, and keep none.

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor) -> Tensor:
        ctx.save_for_backward(query, key)
        kind = torch.result_type(query, key)
        out = query.new_empty(query.size(0), key.size(1), dtype=kind)
        for rows, own, cols in _blocks(query, key):
            re, im = (query[rows] - key[own, cols]).square_().chunk(2, dim=-1)
            # The gradient of a plain norm is undefined where both parts are zero:
            out[rows, cols] = re.add_(im).clamp_(min=1e-18).sqrt_().sum(dim=-1)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        query, key = ctx.saved_tensors
        query_grad, key_grad = torch.zeros_like(query), torch.zeros_like(key)
        for rows, own, cols in _blocks(query, key):
            diff = query[rows] - key[own, cols]
            re, im = diff.chunk(2, dim=-1)
            scale = (re * re).addcmul_(im, im).clamp_(min=1e-18).rsqrt_()
            scale *= grad[rows, cols].unsqueeze(-1)
            re *= scale
            im *= scale
            query_grad[rows] += diff.sum(dim=1, keepdim=True)
            key_grad[own, cols] -= diff.sum_to_size(key[own, cols].size())
        return query_grad, key_grad


def _blocks(query: Tensor, key: Tensor) -> Iterator[tuple[slice, slice, slice]]:
    # Rows of queries [B, 1, Q], and those and columns of their keys [B | 1, K, Q].
    size = (MAX_CACHED_PAIRS if query.device.type == "cpu" else MAX_PAIRS) // max(1, key.size(2))
    num_keys = max(1, min(key.size(1), max(64, size // max(1, query.size(0)))))
    num_rows = max(1, size // num_keys)
    for i in range(0, query.size(0), num_rows):
        rows = slice(i, i + num_rows)
        for j in range(0, key.size(1), num_keys):
            yield rows, slice(None) if key.size(0) == 1 else rows, slice(j, j + num_keys)


def in_chunks(
    function: Callable[[Tensor, Tensor], Tensor], query: Tensor, key: Tensor, width: int
) -> Tensor:
    r"""Computes a function of :obj:`[b, 1, Q]` and :obj:`[b | 1, k, Q]`, which takes :obj:`width`
    numbers for each pair, of queries and their keys as :meth:`Scorer.similarity` has them: of some
    pairs at a time, each of which is computed again in the backward pass.
    """
    query, key = query.unsqueeze(1), key.unsqueeze(0) if key.dim() == 2 else key
    size = max(1, (MAX_CACHED_PAIRS if in_cache(query) else MAX_PAIRS) // width)
    num_rows = max(1, min(query.size(0), size))
    num_keys = max(1, size // num_rows)
    if torch.is_grad_enabled() and (num_rows < query.size(0) or num_keys < key.size(1)):
        function = partial(checkpoint, function, use_reentrant=False)
    out = []
    for i in range(0, max(1, query.size(0)), num_rows):
        rows = key if key.size(0) == 1 else key[i : i + num_rows]
        parts = [function(query[i : i + num_rows], x) for x in rows.split(num_keys, dim=1)]
        out.append(torch.cat(parts, dim=1))
    return torch.cat(out)


def square_distance(query: Tensor, key: Tensor, weight: Tensor | None = None) -> Tensor:
    r"""The squared distances of queries :obj:`[B, C]` and shared keys :obj:`[N, C]` that are
    weighted by :obj:`[B, C]`, by one product each, of shape :obj:`[B, N]`.
    """
    with torch.autocast(query.device.type, enabled=False):  # What is left of large terms.
        key = key.to(query.dtype)
        norm = query.square().sum(dim=-1, keepdim=True)
        if weight is None:
            norm = norm + key.square().sum(dim=-1)
        else:
            norm = torch.addmm(norm, weight.square(), key.square().t())
            query = query * weight
        return torch.addmm(norm, query, key.t(), alpha=-2).clamp(min=0)


def norm_(x: Tensor, p: float) -> Tensor:
    r"""The norm of vectors, which it may change: PyTorch's visits their entries one by one."""
    return x.abs_().sum(dim=-1) if p == 1 else x.norm(p=p, dim=-1)


def root(x: Tensor) -> Tensor:
    r"""The square root, with a gradient of zero at zero."""
    return x.clamp(min=1e-18).sqrt()


def in_cache(query: Tensor) -> bool:
    r"""Whether small chunks pay: on a CPU, where no gradient is as large as all pairs."""
    return query.device.type == "cpu" and not torch.is_grad_enabled()
