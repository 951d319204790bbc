from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.nn import GATConv
from torch_geometric.utils import softmax

CHUNK = 2**13  # Edges whose vectors are multiplied at once on a CPU, such that they stay in cache.


class Neighbors(NamedTuple):
    r"""The edges of a graph, with one from each node to itself, sorted by target."""

    source: Tensor  # [E]
    target: Tensor  # [E], ascending.
    edge_type: Tensor  # [E], -1 from a node to itself.
    ptr: Tensor  # [N], the first edge to each node.
    perm: Tensor  # [E], the edges, sorted by source.
    perm_ptr: Tensor  # [N], the first of them from each node.

    @classmethod
    def of(cls, edge_index: Tensor, edge_type: Tensor, num_nodes: int) -> "Neighbors":
        mask = edge_index[0] != edge_index[1]  # As GATConv does.
        loop = torch.arange(num_nodes, device=edge_index.device)
        source, target = torch.cat([edge_index[:, mask], loop.repeat(2, 1)], dim=1)
        edge_type = torch.cat([edge_type[mask], torch.full_like(loop, -1)])
        return cls.sort(source, target, edge_type, num_nodes, num_nodes)

    @classmethod
    def sort(
        cls, source: Tensor, target: Tensor, edge_type: Tensor, num_sources: int, num_targets: int
    ) -> "Neighbors":
        r"""Sorts edges between nodes of two kinds."""
        target, perm = target.sort(stable=True)
        source, edge_type = source[perm], edge_type[perm]
        perm = source.argsort(stable=True)
        sizes = zip((target, source[perm]), (num_targets, num_sources), strict=True)
        ptr, perm_ptr = (torch.searchsorted(x, torch.arange(n, device=x.device)) for x, n in sizes)
        return cls(source, target, edge_type, ptr, perm, perm_ptr)


class GraphAttention(GATConv):
    r"""A :class:`~torch_geometric.nn.GATConv` of one size of inputs whose messages are summed up as
    they are made, and to which features of edges are those of their types.
    """

    def forward(  # type: ignore[override]
        self, x: Tensor, neighbors: Neighbors, type_emb: Tensor | None = None
    ) -> Tensor:
        x = self.lin(x).view(-1, self.heads, self.out_channels)
        source, target = ((x * att).sum(dim=-1) for att in (self.att_src, self.att_dst))
        alpha = source.index_select(0, neighbors.source) + target.index_select(0, neighbors.target)
        if type_emb is not None:
            edge = self.lin_edge(type_emb).view(-1, self.heads, self.out_channels)
            edge = F.pad((edge * self.att_edge).sum(dim=-1), (0, 0, 1, 0))
            alpha = alpha + edge.index_select(0, neighbors.edge_type + 1)
        alpha = F.leaky_relu(alpha, self.negative_slope)
        alpha = softmax(alpha, neighbors.target, num_nodes=x.size(0))
        alpha = F.dropout(alpha, self.dropout, self.training)
        return weighted_sum(x, alpha, neighbors).flatten(1) + self.bias


def weighted_sum(x: Tensor, alpha: Tensor, neighbors: Neighbors) -> Tensor:
    r"""Sums :obj:`alpha[e] * x[source[e]]` of shape :obj:`[E, H, C]` up by target; on a CPU,
    without the messages of all edges at once.
    """
    return _WeightedSum.apply(x.to(alpha.dtype), alpha, neighbors)


class _WeightedSum(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, alpha: Tensor, neighbors: Neighbors) -> Tensor:
        ctx.save_for_backward(x, alpha)
        ctx.neighbors = neighbors
        return _bags(x, alpha, neighbors.source, neighbors.ptr)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, None]:  # type: ignore[override]
        (x, alpha), neighbors = ctx.saved_tensors, ctx.neighbors
        perm = neighbors.perm
        weight, target = alpha.index_select(0, perm), neighbors.target.index_select(0, perm)
        x_grad = _bags(grad, weight, target, neighbors.perm_ptr)
        size = CHUNK if x.device.type == "cpu" else perm.numel()
        edges = zip(neighbors.source.split(size), neighbors.target.split(size), strict=True)
        products = [torch.einsum("ehc,ehc->eh", _rows(x, i), _rows(grad, j)) for i, j in edges]
        return x_grad, torch.cat(products), None


def _bags(x: Tensor, alpha: Tensor, index: Tensor, ptr: Tensor) -> Tensor:
    # The weighted sum of the vectors at each range of the index, head by head.
    out = []
    for vector, weight in zip(x.unbind(1), alpha.unbind(1), strict=True):
        args = index, vector.contiguous(), ptr
        out.append(F.embedding_bag(*args, mode="sum", per_sample_weights=weight.contiguous()))
    return torch.stack(out, dim=1)


def _rows(x: Tensor, index: Tensor) -> Tensor:
    return x.flatten(1).index_select(0, index).view(-1, *x.size()[1:])
