from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Linear, ModuleList, Parameter
from torch_geometric.utils import softmax

from torch_imf.nn.structural.encoder import StructuralEncoder
from torch_imf.nn.structural.graph_attention import Neighbors, weighted_sum


class Paths(NamedTuple):
    r"""The edges of a graph and some of its longer paths, sorted by the entity that they are of."""

    ends: Neighbors  # From the other end of each path to the entity.
    rels: Neighbors  # From each relation on the way to the entity.
    path: Tensor  # The path of each of these.

    @classmethod
    def of(cls, ends: Tensor, rels: Tensor, num_nodes: int, num_rels: int) -> "Paths":
        r"""Sorts paths, given the entity that each is of and its other end :obj:`[2, P]`, and the
        relations on the way :obj:`[P, L]`, -1 after the last.
        """
        target, perm = ends[0].sort(stable=True)
        source, rels = ends[1, perm], rels[perm]
        path, step = (rels >= 0).nonzero(as_tuple=True)
        rel_type = rels[path, step]
        sizes = num_nodes, num_nodes
        return cls(
            Neighbors.sort(source, target, rels[:, 0], *sizes),
            Neighbors.sort(rel_type, target[path], rel_type, num_rels, num_nodes),
            path,
        )


class TripleEncoder(StructuralEncoder):
    r"""The encoder of the `"Learning Attention-based Embeddings for Relation Prediction in
    Knowledge Graphs" <https://arxiv.org/abs/1906.01195>`_ paper (KBAT): entities attend to the
    triples around them, the training facts in both directions. In each layer, with the vector
    :math:`\mathbf{g}_k` of a relation (Eq. 5-8),

    .. math::
        \mathbf{c}_{ijk} = \mathbf{W}_1 [\mathbf{h}_i \, \Vert \, \mathbf{h}_j \, \Vert \,
        \mathbf{g}_k], \qquad \alpha_{ijk} = \mathrm{softmax}_{jk} \left( \mathrm{LeakyReLU} (
        \mathbf{w}_2^{\top} \mathbf{c}_{ijk}) \right), \qquad \mathbf{h}_i^{\prime} = \sigma \Big(
        \sum_{j, k} \alpha_{ijk} \mathbf{c}_{ijk} \Big)

    with ELU as :math:`\sigma`. Heads of attention are put side by side (Eq. 9) or, in the last
    layer, averaged (Eq. 11); relations go through a linear map (Eq. 10), and the embeddings that an
    entity starts from through another one, which is added to the last layer (Eq. 12).

    An entity also attends to the ends of longer paths, whose vector is the sum of those of the
    relations on the way. As there may be very many, some are drawn for each entity by random walks,
    once, by a generator of its own.

    It is trained by the hinge loss of :class:`StructuralEncoder`, of which the paper's equation
    has the terms the other way around. Inverse relations are :math:`-\mathbf{g}_k`. A negative is
    never a training fact; that of validation and test facts, the encoder knows nothing (the
    released code leaves these out of the negatives, too, which is a leak). A decoder is then
    trained on its vectors (:class:`~torch_imf.nn.KBAT`):

    .. code-block:: python

        encoder = TripleEncoder(data.num_nodes, data.num_relations, 64)
        fit(encoder, data, epochs=60, batch_size=512, lr=0.01)
        x, rel_emb = encoder.encode(data), encoder.rel_embedding()
        struct = StructuralEmbedding(x, rel_emb, freeze=True)
        model = KBAT(data.num_nodes, data.num_relations, 64, struct=struct)

    The paper starts from embeddings of TransE, this from random ones. Further arguments are those
    of :class:`StructuralEncoder`.

    Args:
        heads (int, optional): The number of attention heads. (default: :obj:`2`)
        dropout (float, optional): Dropout of the inputs and of the attention coefficients of each
            layer. (default: :obj:`0.`)
        num_hops (int, optional): The longest path, in facts. (default: :obj:`2`)
        num_paths (int, optional): The number of walks from each entity, a path for each length from
            two on. (default: :obj:`10`)
    """

    def __init__(
        self,
        num_nodes: int,
        num_relations: int,
        hidden_channels: int,
        num_layers: int = 2,
        heads: int = 2,
        dropout: float = 0.0,
        margin: float | None = None,
        num_negatives: int = 4,
        num_hops: int = 2,
        num_paths: int = 10,
        normalize: bool = True,
    ) -> None:
        if min(num_layers, num_hops) < 1 or num_paths < 0:
            got = num_layers, num_hops, num_paths
            raise ValueError(
                f"'num_layers' and 'num_hops' need to be positive, and 'num_paths' not negative "
                f"(got {got})"
            )
        super().__init__(
            *(num_nodes, num_relations, hidden_channels, 0, heads, dropout, margin, num_negatives),
            normalize=normalize,
        )
        self.num_hops = num_hops
        self.num_paths = num_paths
        last = [False] * (num_layers - 1) + [True]
        self.convs = ModuleList(TripleAttention(hidden_channels, heads, dropout, x) for x in last)
        size = hidden_channels, hidden_channels
        self.rel_lins = ModuleList(Linear(*size, bias=False) for _ in last[1:])
        self.lin = Linear(*size, bias=False)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        for lin in self.modules():
            if isinstance(lin, Linear):
                torch.nn.init.xavier_uniform_(lin.weight)

    def forward(  # type: ignore[override]
        self, edge_index: Tensor | None = None, edge_type: Tensor | None = None
    ) -> Tensor:
        r"""Encodes the entities of a graph as :obj:`[N, C]`: of the one that is registered, or of
        edges in both directions :obj:`[2, E]` with relations :obj:`[E]`.
        """
        if edge_index is None or edge_type is None:
            paths = self._neighbors()
        else:
            paths = self._sort(edge_index, edge_type)
        x, rel = self.node_emb.weight, super().rel_embedding()
        for i, conv in enumerate(self.convs):
            rel = rel if i == 0 else self.rel_lins[i - 1](rel)
            x = conv(F.dropout(x, self.dropout, self.training), rel, paths)
        x = self.lin(self.node_emb.weight) + x
        return F.normalize(x, dim=-1) if self.normalize else x

    def rel_embedding(self) -> Tensor:
        r"""The vectors of all relations :obj:`[2 * R, C]` in the last layer; inverse ones are the
        negatives.
        """
        rel = super().rel_embedding()
        for lin in self.rel_lins:
            rel = lin(rel)
        return rel

    def walks(self, edge_index: Tensor, edge_type: Tensor) -> tuple[Tensor, Tensor]:
        r"""Draws the longer paths of each entity that do not lead back to it: both ends
        :obj:`[2, P]`, and the relations on the way :obj:`[P, num_hops]`, -1 after the last.
        """
        generator = torch.Generator().manual_seed(0)
        head_index, perm = edge_index[0].sort(stable=True)
        node = torch.arange(self.num_nodes + 1, device=perm.device)
        ptr = torch.searchsorted(head_index, node)
        count = ptr.diff()
        start = end = count.nonzero().squeeze(1).repeat_interleave(self.num_paths)
        rels = edge_type.new_full((start.numel(), self.num_hops), -1)
        found = [torch.empty(2 + self.num_hops, 0, dtype=torch.long, device=perm.device)]
        for i in range(self.num_hops):
            draw = torch.rand(start.numel(), generator=generator, dtype=torch.double)
            edge = perm[ptr[end] + (draw.to(perm.device) * count[end]).long()]
            rels[:, i], end = edge_type[edge], edge_index[1, edge]
            if i > 0:
                paths = torch.cat([torch.stack([start, end]), rels.t()])
                found.append(paths[:, start != end])
        ends, rels = torch.cat(found, dim=1).unique(dim=1).split([2, self.num_hops])
        return ends, rels.t()

    def _sort(self, edge_index: Tensor, edge_type: Tensor) -> Paths:  # type: ignore[override]
        ends, rels = self.walks(edge_index, edge_type)
        edge_rels = F.pad(edge_type.unsqueeze(1), (0, self.num_hops - 1), value=-1)
        both = torch.cat([edge_index, ends], dim=1), torch.cat([edge_rels, rels])
        return Paths.of(*both, self.num_nodes, 2 * self.num_relations)


class TripleAttention(torch.nn.Module):
    r"""A layer of :class:`TripleEncoder`.

    Args:
        channels (int): Size of the embeddings of entities and relations.
        heads (int): The number of attention heads.
        dropout (float): Dropout of the attention coefficients.
        average (bool): Whether heads, of all channels each, are averaged, rather than to be put
            side by side.
    """

    def __init__(self, channels: int, heads: int, dropout: float, average: bool) -> None:
        super().__init__()
        self.heads = heads
        self.dropout = dropout
        self.average = average
        size = channels if average else channels // heads
        # The parts of W_1, none of which is computed for each edge:
        self.lins = ModuleList(Linear(channels, heads * size, bias=False) for _ in range(3))
        self.att = Parameter(torch.empty(heads, size))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        for lin in self.lins:
            torch.nn.init.xavier_uniform_(lin.weight)  # type: ignore[arg-type]
        torch.nn.init.xavier_uniform_(self.att)

    def forward(self, x: Tensor, rel: Tensor, paths: Paths) -> Tensor:
        r"""Encodes entities :obj:`[N, C]`, given the vectors of relations :obj:`[2 * R, C]`."""
        given = zip(self.lins, (x, x, rel), strict=True)
        parts = [lin(part).unflatten(-1, (self.heads, -1)) for lin, part in given]
        head, tail, rel = parts  # [*, H, C']
        own, other, step = ((part * self.att).sum(dim=-1) for part in parts)
        target, source = paths.ends.target, paths.ends.source
        logit = own.index_select(0, target) + other.index_select(0, source)
        logit = logit.index_add(0, paths.path, step.index_select(0, paths.rels.source))
        alpha = softmax(F.leaky_relu(logit, 0.2), target, num_nodes=x.size(0))
        alpha = F.dropout(alpha, self.dropout, self.training)
        total = alpha.new_zeros(x.size(0), self.heads).index_add(0, target, alpha)
        out = total.unsqueeze(-1) * head + weighted_sum(tail, alpha, paths.ends)
        out = out + weighted_sum(rel, alpha.index_select(0, paths.path), paths.rels)
        return F.elu(out.mean(dim=1) if self.average else out.flatten(1))
