import math
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from torch_imf.nn.scorer.base import Scorer
from torch_imf.nn.scorer.distance import in_cache, in_chunks, root

#: How many queries and channels share the pieces of :class:`ConvKB`, which then stay in the cache.
NUM_QUERIES, NUM_CHANNELS = 32, 8


class TripleConvolution(Scorer):
    r"""An abstract base class of scorers that read head, relation and tail, side by side, by
    filters of one row, giving a map of the size of an embedding for each filter. As these are not
    linear in the tail, pairs of queries and keys are scored in chunks, which the backward pass
    computes again, and maps of all of them are never stored.
    """

    aliases: ClassVar[dict] = {}
    dot_product = False
    same_channels = True
    settings: ClassVar[Mapping[str, Any]] = {
        **{"loss": "sampled", "loss.num_negatives": 8, "loss.temperature": 0.0},
        **{"hidden_channels": 64, "optimizer": "adamw", "lr": 0.005},
    }

    def __init__(self, channels: int, rel_channels: int | None, num_filters: int) -> None:
        super().__init__(channels, rel_channels)
        self.num_filters = num_filters
        self.filters = torch.nn.Parameter(torch.empty(3, num_filters))
        self.bias = torch.nn.Parameter(torch.empty(num_filters))

    def reset_parameters(self) -> None:
        # About a translation, as both papers begin:
        self.filters.data.copy_(torch.tensor([[1.0], [1.0], [-1.0]]).expand_as(self.filters))
        self.filters.data.add_(torch.randn_like(self.filters), alpha=0.1)
        torch.nn.init.zeros_(self.bias)

    def query(self, head: Tensor, rel: Tensor) -> Tensor:
        # What each pixel of each map is without the tail, [B, F * C].
        head, rel, weight = head.unsqueeze(-2), rel.unsqueeze(-2), self.filters.unsqueeze(-1)
        return (head * weight[0] + rel * weight[1] + self.bias.unsqueeze(-1)).flatten(-2)

    def similarity(self, query: Tensor, key: Tensor) -> Tensor:
        return in_chunks(self.pair_score, query, key, query.size(-1))

    def maps(self, query: Tensor, key: Tensor) -> Tensor:
        r"""The rectified maps of pairs, of shape :obj:`[B, K, F, C]`."""
        query = query.unflatten(-1, (self.num_filters, -1))
        return torch.addcmul(query, self.filters[2].unsqueeze(-1), key.unsqueeze(-2)).relu_()

    def pair_score(self, query: Tensor, key: Tensor) -> Tensor:
        r"""Scores :obj:`[B, 1, F * C]` and :obj:`[B | 1, K, C]`, giving :obj:`[B, K]`."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.channels}, num_filters={self.num_filters})"


class ConvKB(TripleConvolution):
    r"""The ConvKB scorer from the `"A Novel Embedding Model for Knowledge Base Completion Based on
    Convolutional Neural Network" <https://arxiv.org/abs/1712.02121>`_ paper, a linear map of all
    maps of head, relation and tail side by side:

    .. math::
        \psi(h, r, t) = \mathrm{concat} \big( \mathrm{ReLU} ( [ \mathbf{e}_h, \mathbf{e}_r,
        \mathbf{e}_t ] * \boldsymbol{\Omega} ) \big) \cdot \mathbf{w}

    The sign of the paper's score is the other one, which is that of :math:`\mathbf{w}`. Its
    released code normalises maps over the batch in one version, and drops some of them, which
    would not agree for candidates that are scored at different times.

    What a query adds to the score by one channel is a function of one number of the tail, which is
    linear between the :obj:`num_filters` places where a filter is zero. Many tails are ranked by
    looking up the piece that each is in, at a cost that hardly depends on the number of filters.

    Args:
        channels (int): Size of entity and relation embeddings.
        num_filters (int, optional): Number of filters. (default: :obj:`50`)
    """

    aliases: ClassVar[dict] = {"convkb": {}}

    def __init__(
        self, channels: int, rel_channels: int | None = None, num_filters: int = 50
    ) -> None:
        super().__init__(channels, rel_channels, num_filters)
        self.weight = torch.nn.Parameter(torch.empty(num_filters * channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        torch.nn.init.normal_(self.weight, std=self.weight.numel() ** -0.5)

    def similarity(self, query: Tensor, key: Tensor) -> Tensor:
        few = 2 * NUM_QUERIES * self.num_filters  # So many pieces cost as much as tails do.
        if key.dim() == 3 or key.size(0) < few or not in_cache(query):
            return super().similarity(query, key)
        out = key.new_zeros(key.size(0), query.size(0))
        query = query.unflatten(-1, (self.num_filters, -1))
        weight = self.weight.view(self.num_filters, -1)
        parts = (x.split(NUM_CHANNELS, dim=-1) for x in (query, weight, key))
        for part in zip(*parts, strict=True):
            self._add_by_pieces(out, *part)
        return out.t()

    def _add_by_pieces(self, out: Tensor, query: Tensor, weight: Tensor, key: Tensor) -> None:
        # Adds the scores [N, B] of some channels of queries [B, F, C] and keys [N, C].
        key = key.contiguous()
        value, order = key.t().contiguous().sort(dim=-1)  # [C, N]
        rank = order.argsort(dim=-1)
        factor, weight = self.filters[2], weight.t().unsqueeze(1)  # [F], [C, 1, F]
        sign, one = torch.where(factor < 0, -1.0, 1.0), rank.new_ones((), dtype=torch.int32)
        for i in range(0, query.size(0), NUM_QUERIES):
            x = query[i : i + NUM_QUERIES].permute(2, 0, 1)  # [C, b, F]
            num_channels, size, num_filters = x.size()
            # A filter is weight * (x + factor * key) on one side of a place, and zero on the other.
            step = torch.stack([weight * x, (weight * factor).expand_as(x)])  # [2, C, b, F]
            place = (-x / factor).nan_to_num(0.0, math.inf, -math.inf).flatten(1).contiguous()
            place, order = place.sort(dim=-1)
            row = order // num_filters
            # Constants and slopes [2, C, pieces, b], those of the first piece and the steps on:
            line = step.new_zeros(2, num_channels, place.size(1) + 1, size)
            line[:, :, 0] = (step * (sign < 0)).sum(dim=-1)
            step = (step * sign).flatten(2).gather(-1, order.expand(2, -1, -1))
            line[:, :, 1:].scatter_(-1, row.expand(2, -1, -1).unsqueeze(-1), step.unsqueeze(-1))
            constant, slope = line.cumsum(dim=2).flatten(1, 2)
            # The piece of each key, by how many places are below it:
            below = torch.searchsorted(value, place)
            piece = below.new_zeros(num_channels, key.size(0) + 1, dtype=torch.int32)
            piece = piece.scatter_add_(1, below, one.expand_as(below)).cumsum(1, dtype=torch.int32)
            first = torch.arange(num_channels, dtype=torch.int32) * line.size(2)
            index = (piece + first.unsqueeze(1)).gather(1, rank).t().contiguous()  # [N, C]
            columns = out[:, i : i + size]
            columns += F.embedding_bag(index, constant, mode="sum")
            columns += F.embedding_bag(index, slope, mode="sum", per_sample_weights=key)

    def pair_score(self, query: Tensor, key: Tensor) -> Tensor:
        return self.maps(query, key).flatten(2) @ self.weight


class CapsE(TripleConvolution):
    r"""The CapsE scorer from the `"A Capsule Network-based Embedding Model for Knowledge Graph
    Completion and Search Personalization" <https://arxiv.org/abs/1808.04122>`_ paper: the pixels at
    one position of all maps of :class:`ConvKB` are a capsule :math:`\mathbf{u}_i`, and these are
    routed to one capsule, whose length is the score:

    .. math::
        \psi(h, r, t) = \| \mathbf{v} \|_2, \qquad \mathbf{v} = \mathrm{squash} \Big( \sum_i c_i
        \mathbf{W}_i \, \mathrm{squash}(\mathbf{u}_i) \Big), \qquad \mathrm{squash}(\mathbf{x}) =
        \frac{\| \mathbf{x} \|_2}{1 + \| \mathbf{x} \|_2^2} \, \mathbf{x}

    Coefficients :math:`\mathbf{c} = \mathrm{softmax}(\mathbf{b})` start from :math:`\mathbf{b} = 0`
    and each further iteration adds :math:`(\mathbf{W}_i \, \mathrm{squash}(\mathbf{u}_i))^{\top}
    \mathbf{v}`. The released code multiplies them by the number of capsules.

    Args:
        channels (int): Size of entity and relation embeddings.
        num_filters (int, optional): Number of filters. (default: :obj:`50`)
        capsule_size (int, optional): Size of :math:`\mathbf{v}`. (default: :obj:`10`)
        num_iterations (int, optional): The iterations of routing. (default: :obj:`1`)
    """

    aliases: ClassVar[dict] = {"capse": {}}
    settings: ClassVar[Mapping[str, Any]] = {
        **TripleConvolution.settings,
        **{"hidden_channels": 32, "epochs": 30, "eval_every": 6},  # Ranking takes as long.
    }

    def __init__(
        self,
        channels: int,
        rel_channels: int | None = None,
        num_filters: int = 50,
        capsule_size: int = 10,
        num_iterations: int = 1,
    ) -> None:
        super().__init__(channels, rel_channels, num_filters)
        self.num_iterations = num_iterations
        self.weight = torch.nn.Parameter(torch.empty(num_filters, channels, capsule_size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        torch.nn.init.normal_(self.weight, std=(self.channels / self.num_filters) ** 0.5)

    def pair_score(self, query: Tensor, key: Tensor) -> Tensor:
        u = _squash(self.maps(query, key), dim=-2)  # [B, K, F, C]
        if self.num_iterations == 1:  # All coefficients are one.
            out = u.flatten(2) @ self.weight.flatten(0, 1) / self.channels
        else:
            u = torch.einsum("bkfc,fco->bkco", u, self.weight)
            logit = torch.zeros_like(u[..., 0])
            for _ in range(self.num_iterations - 1):
                out = _squash(torch.einsum("bkc,bkco->bko", logit.softmax(dim=-1), u))
                logit = logit + torch.einsum("bkco,bko->bkc", u, out)
            out = torch.einsum("bkc,bkco->bko", logit.softmax(dim=-1), u)
        square = out.square().sum(dim=-1)
        return square / (1 + square)  # The length of what is squashed.


def _squash(x: Tensor, dim: int = -1) -> Tensor:
    square = x.square().sum(dim=dim, keepdim=True)
    return x * (root(square) / (1 + square))  # With a gradient of zero at zero.
