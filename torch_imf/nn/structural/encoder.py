import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Embedding, ModuleList
from torch_geometric.data import Data
from torch_geometric.loader import LinkNeighborLoader
from torch_geometric.sampler import BaseSampler, NeighborSampler

from torch_imf.data import NegativeLoader, TripletIndex
from torch_imf.data.graph import prepare
from torch_imf.data.index import both_sides, check_triples
from torch_imf.evaluation.ranking import inference
from torch_imf.nn.structural.graph_attention import GraphAttention, Neighbors
from torch_imf.sampler import UniformSampler
from torch_imf.sampler.base import Objective


class StructuralEncoder(torch.nn.Module):
    r"""The structural encoder of :class:`~torch_imf.nn.IMF`: a graph attention network over the
    training facts in both directions, whose vectors :math:`\mathbf{h}, \mathbf{t}` have an energy
    and a hinge loss (Eq. 1), here averaged over facts and negatives:

    .. math::
        \mathcal{L}_{GAT} = \frac{1}{K |\mathcal{T}|} \sum_{(h, r, t) \in \mathcal{T}}
        \sum_{k=1}^{K} \max \{ 0, \gamma + E(h, r, t) - E(h, r, t^{\prime}_k) \}, \qquad
        E(h, r, t) = \| \mathbf{h} + \mathbf{r} - \mathbf{t} \|_1

    The inverse of :math:`r` is :math:`-\mathbf{r}`, so that :math:`E(t, r^{-1}, h) = E(h, r, t)`:
    with facts in both directions, replacing tails is replacing heads, too (Eq. 2). A negative is
    never a training fact (:class:`~torch_imf.sampler.UniformSampler`).

    The paper trains it first (:meth:`torch_imf.fit`), and then uses its vectors as they are:

    .. code-block:: python

        encoder = StructuralEncoder(data.num_nodes, data.num_relations, 64)
        fit(encoder, data, epochs=60, batch_size=512, lr=0.01)
        x = encoder.encode(data)  # [N, 64], without gradients

    To train it within another model, :meth:`register_graph` and call it without arguments.

    .. note::
        The form of the paper is :obj:`normalize=False, residual=False`. There, the loss can go to
        zero by vectors that grow. The test MRR on :class:`~torch_imf.datasets.Countries` is 0.19 in
        this form and 0.45 by default (:obj:`examples/structural_encoder.py`).

    Args:
        num_nodes (int): The number of entities.
        num_relations (int): The number of base relations.
        hidden_channels (int): Size :math:`C` of all embeddings, a multiple of :obj:`heads`.
        num_layers (int, optional): The number of layers. (default: :obj:`2`)
        heads (int, optional): The number of attention heads. (default: :obj:`4`)
        dropout (float, optional): Dropout of the inputs and of the attention coefficients of each
            layer. (default: :obj:`0.`)
        margin (float, optional): The margin :math:`\gamma`. If :obj:`None`, :math:`\sqrt{C} / 2`,
            about half of the mean distance of random directions. (default: :obj:`None`)
        num_negatives (int, optional): The number :math:`K` of negatives per fact and direction.
            (default: :obj:`4`)
        num_neighbors (list[int], optional): The number of neighbors to sample per entity in each
            layer while training (:obj:`-1` for all), for large graphs; needs :obj:`pyg-lib` or
            :obj:`torch-sparse`. If :obj:`None`, all edges are used. (default: :obj:`None`)
        edge_attention (bool, optional): Whether attention depends on the relation of each edge,
            which it does not in the paper. (default: :obj:`False`)
        normalize (bool, optional): Whether to scale the vectors of entities to unit length.
            (default: :obj:`True`)
        residual (bool, optional): Whether to add the input of each layer to its output. (default:
            :obj:`True`)
    """

    edge_index: Tensor | None
    edge_type: Tensor | None

    def __init__(
        self,
        num_nodes: int,
        num_relations: int,
        hidden_channels: int,
        num_layers: int = 2,
        heads: int = 4,
        dropout: float = 0.0,
        margin: float | None = None,
        num_negatives: int = 4,
        num_neighbors: list[int] | None = None,
        edge_attention: bool = False,
        normalize: bool = True,
        residual: bool = True,
    ) -> None:
        super().__init__()
        if hidden_channels % heads != 0:
            got = hidden_channels, heads
            raise ValueError(f"'hidden_channels' needs to be a multiple of 'heads' (got {got})")
        if num_neighbors is not None and len(num_neighbors) != num_layers:
            raise ValueError(f"'num_neighbors' needs one number for each of {num_layers} layers")
        self.num_nodes = num_nodes
        self.num_relations = num_relations
        self.hidden_channels = hidden_channels
        self.heads = heads
        self.dropout = dropout
        self.margin = hidden_channels**0.5 / 2 if margin is None else margin
        self.num_negatives = num_negatives
        self.num_neighbors = num_neighbors
        self.normalize = normalize
        self.residual = residual

        self.register_buffer("edge_index", None, persistent=False)
        self.register_buffer("edge_type", None, persistent=False)
        self._sorted: tuple[Tensor, Any] | None = None  # The registered graph, and sorted.
        self.rel_emb = Embedding(num_relations, hidden_channels)
        self.node_emb = Embedding(num_nodes, hidden_channels)
        self.edge_dim = hidden_channels if edge_attention else None
        args = {"heads": heads, "dropout": dropout, "edge_dim": self.edge_dim}
        sizes = [(hidden_channels, hidden_channels // heads)] * num_layers
        self.convs = ModuleList(GraphAttention(*size, **args) for size in sizes)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        torch.nn.init.xavier_uniform_(self.rel_emb.weight)
        torch.nn.init.xavier_uniform_(self.node_emb.weight)
        for conv in self.convs:
            conv.reset_parameters()  # type: ignore[operator]

    def forward(
        self,
        edge_index: Tensor | None = None,
        edge_type: Tensor | None = None,
        n_id: Tensor | None = None,
    ) -> Tensor:
        r"""Encodes the entities of a graph as :obj:`[N, C]`: of the one that is registered, or of
        edges in both directions :obj:`[2, E]` with relations :obj:`[E]`, whose nodes may stand for
        some entities :obj:`n_id` only.
        """
        x = self.node_emb.weight if n_id is None else self.node_emb(n_id)
        if edge_index is None:
            neighbors = self._neighbors()
        else:
            assert edge_type is not None
            neighbors = Neighbors.of(edge_index, edge_type, x.size(0))
        type_emb = None if self.edge_dim is None else self.rel_embedding()
        for i, conv in enumerate(self.convs):
            x = x if i == 0 else F.elu(x)
            out = conv(F.dropout(x, self.dropout, self.training), neighbors, type_emb)
            x = x + out if self.residual else out
        return F.normalize(x, dim=-1) if self.normalize else x

    # The graph ###################################################################################

    def register_graph(self, data: Data) -> "StructuralEncoder":
        r"""Makes the training facts of a graph, in both directions, what is encoded if the module
        is called without arguments. It is not part of the state dictionary.
        """
        data = prepare(self, data)
        head_index, tail_index = data.edge_index[:, data.train_mask]
        self._register(head_index, data.edge_type[data.train_mask], tail_index)
        return self

    def encode(self, data: Data) -> Tensor:
        r"""Returns the vectors of all entities :obj:`[N, C]`, as features: from the training facts
        of a graph alone, which it registers, without dropout and gradients.
        """
        self.register_graph(data)._neighbors()  # Sorted here, to be kept.
        with inference(self) as encoder:
            return encoder()

    def _register(
        self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor
    ) -> tuple[Tensor, Tensor]:
        size = self.num_relations
        check_triples(head_index, rel_type, tail_index, self.num_nodes, 2 * size)
        base = rel_type < size  # Inverse triples follow from these, given or not.
        facts = both_sides(head_index[base], rel_type[base], tail_index[base], size)
        self.edge_index, self.edge_type = torch.stack(facts[::2]), facts[1]
        return self.edge_index, self.edge_type

    def _neighbors(self) -> Any:
        # The registered graph, which is sorted once.
        if self.edge_index is None or self.edge_type is None:
            raise ValueError("There is no graph to encode. Call 'register_graph(data)' first")
        if self._sorted is None or self._sorted[0] is not self.edge_index:
            with torch.inference_mode(False):  # It may be needed in training later.
                neighbors = self._sort(self.edge_index, self.edge_type)
            self._sorted = self.edge_index, neighbors
        return self._sorted[1]

    def _sort(self, edge_index: Tensor, edge_type: Tensor) -> Any:
        return Neighbors.of(edge_index, edge_type, self.num_nodes)

    # The energy ##################################################################################

    def rel_embedding(self) -> Tensor:
        r"""The vectors of all relations :obj:`[2 * R, C]`; inverse ones are the negatives."""
        return torch.cat([self.rel_emb.weight, -self.rel_emb.weight])

    def energy(self, x: Tensor, head_index: Tensor, rel_type: Tensor, tail_index: Tensor) -> Tensor:
        r"""The energy of triples, given the vectors of entities. Indices broadcast."""
        query = x[head_index] + F.embedding(rel_type, self.rel_embedding())
        return (query - x[tail_index]).abs().sum(dim=-1)

    @torch.no_grad()
    def predict(self, head_index: Tensor, rel_type: Tensor) -> Tensor:
        r"""Scores every entity as tail of each query :obj:`[B]` by its negative energy, giving
        :obj:`[B, N]`. Each call encodes the registered graph: few large batches are fastest.
        """
        check_triples(head_index, rel_type, head_index, self.num_nodes, 2 * self.num_relations)
        x = self()
        return -torch.cdist(x[head_index] + self.rel_embedding()[rel_type], x, p=1.0)

    # The protocol of torch_imf.fit ###############################################################

    def loss(
        self,
        head_index: Tensor,
        rel_type: Tensor,
        tail_index: Tensor,
        neg_index: Tensor,
        *graph: Tensor,
    ) -> Tensor:
        r"""Computes the hinge loss of a batch of :meth:`loader`."""
        x = self(*graph)
        pos = self.energy(x, head_index, rel_type, tail_index).unsqueeze(1)
        query = head_index.unsqueeze(1), rel_type.unsqueeze(1)
        neg = self.energy(x, *query, neg_index.clamp(min=0))
        neg = neg.masked_fill(neg_index < 0, math.inf)  # Beyond any margin.
        return F.margin_ranking_loss(neg, pos.expand_as(neg), torch.ones_like(neg), self.margin)

    def loader(
        self,
        head_index: Tensor,
        rel_type: Tensor,
        tail_index: Tensor,
        neighbor_sampler: BaseSampler | None = None,
        **kwargs: Any,
    ) -> "NegativeLoader | SubgraphLoader":
        r"""Returns a mini-batch loader over the given facts :obj:`[E]` in both directions (inverse
        ones may be among them), which it registers, with negatives, and with the neighbors of their
        entities where :obj:`num_neighbors` is set, by a
        :class:`~torch_geometric.sampler.NeighborSampler` or what else samples them. Further
        arguments are those of :class:`~torch_imf.data.NegativeLoader`.
        """
        edge_index, edge_type = self._register(head_index, rel_type, tail_index)
        device = edge_index.device
        if self.num_neighbors is not None:  # They are sampled on the CPU.
            edge_index, edge_type = edge_index.cpu(), edge_type.cpu()
        fact = edge_index[0], edge_type, edge_index[1]
        sampler = UniformSampler(self.num_nodes, TripletIndex(*fact), self.num_negatives)
        loader = NegativeLoader(*fact, sampler, **kwargs)
        if self.num_neighbors is None:
            return loader
        data = Data(edge_index=edge_index, edge_type=edge_type, num_nodes=self.num_nodes)
        if neighbor_sampler is None:
            neighbor_sampler = NeighborSampler(data, self.num_neighbors)
        return SubgraphLoader(loader, data, self.num_neighbors, device, neighbor_sampler)

    def objectives(self) -> list[Objective]:
        r"""What is trained: all parameters, by the one loss."""
        return [Objective("model", list(self.parameters()), self.loss)]

    def __repr__(self) -> str:
        sizes = f"{self.num_nodes}, num_relations={self.num_relations}, hidden_channels="
        layers = f"{self.hidden_channels}, num_layers={len(self.convs)}, heads={self.heads}"
        return f"{self.__class__.__name__}({sizes}{layers})"


@dataclass
class SubgraphLoader:
    r"""The batches of a loader as arguments of :meth:`StructuralEncoder.loss`: entities are
    positions in :obj:`n_id`, and :obj:`(edge_index, edge_type, n_id)` are their neighbors.
    """

    loader: NegativeLoader
    data: Data
    num_neighbors: list[int]
    device: torch.device
    neighbor_sampler: BaseSampler

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[tuple[Tensor, ...]]:
        batches = list(self.loader)
        # The pairs of each head with its tail and its negatives (the tail again where there is
        # none), fact by fact:
        head_index, _, tail_index, neg_index = map(torch.cat, zip(*batches, strict=True))
        tail = tail_index.unsqueeze(1)
        key_index = torch.cat([tail, neg_index.where(neg_index >= 0, tail)], dim=1)  # [E, 1 + K]
        pair_index = torch.stack([head_index.unsqueeze(1).expand_as(key_index), key_index])
        loader = LinkNeighborLoader(
            self.data,
            self.num_neighbors,
            edge_label_index=pair_index.view(2, -1),
            neighbor_sampler=self.neighbor_sampler,
            batch_size=self.loader.batch_size * key_index.size(1),
        )
        for batch, (_, rel_type, _, neg_index) in zip(loader, batches, strict=True):
            batch, is_none = batch.to(self.device), (neg_index < 0).to(self.device)
            head_index, key_index = batch.edge_label_index.view(2, rel_type.numel(), -1)
            fact = head_index[:, 0], rel_type.to(self.device), key_index[:, 0]
            neg_index = key_index[:, 1:].masked_fill(is_none, -1)
            yield *fact, neg_index, batch.edge_index, batch.edge_type, batch.n_id
