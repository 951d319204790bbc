import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Embedding
from torch_geometric.data import Data

from torch_imf.data.graph import prepare
from torch_imf.data.index import both_sides, check_triples
from torch_imf.nn.structural.loader import StructuralLoader
from torch_imf.sampler.base import Objective


class TranslationalEncoder(torch.nn.Module):
    r"""An abstract base class of encoders of the training graph whose vectors
    take part in the energy of TransE, and are trained by its hinge loss.

    A sub-class implements :meth:`forward`.

    Args:
        num_nodes (int): The number of entities.
        num_relations (int): The number of base relations.
        hidden_channels (int): Size of all embeddings.
        margin (float): The margin of the loss.
        num_negatives (int): The number of negatives per fact.
        num_neighbors (list[int], optional): The number of neighbors to sample
            per entity in each layer while training. (default: :obj:`None`)
    """

    edge_index: Tensor | None
    edge_type: Tensor | None

    def __init__(
        self,
        num_nodes: int,
        num_relations: int,
        hidden_channels: int,
        margin: float,
        num_negatives: int,
        num_neighbors: list[int] | None = None,
    ) -> None:
        super().__init__()
        sizes = {
            "num_nodes": num_nodes,
            "num_relations": num_relations,
            "hidden_channels": hidden_channels,
            "num_negatives": num_negatives,
        }
        for name, size in sizes.items():
            if size < 1:
                raise ValueError(f"'{name}' needs to be positive (got {size})")
        self.num_nodes = num_nodes
        self.num_relations = num_relations
        self.hidden_channels = hidden_channels
        self.margin = margin
        self.num_negatives = num_negatives
        self.num_neighbors = num_neighbors
        self.rel_emb = Embedding(num_relations, hidden_channels)
        self.register_buffer("edge_index", None, persistent=False)
        self.register_buffer("edge_type", None, persistent=False)

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        torch.nn.init.xavier_uniform_(self.rel_emb.weight)

    def forward(
        self,
        edge_index: Tensor | None = None,
        edge_type: Tensor | None = None,
        n_id: Tensor | None = None,
    ) -> Tensor:
        r"""Encodes the entities of a graph.

        Args:
            edge_index (torch.Tensor, optional): The edges in both directions,
                of shape :obj:`[2, E]`. If :obj:`None`, the registered graph.
                (default: :obj:`None`)
            edge_type (torch.Tensor, optional): Their relations, of shape
                :obj:`[E]`. (default: :obj:`None`)
            n_id (torch.Tensor, optional): The entities that the nodes of a
                part of the graph stand for, of shape :obj:`[M]`. If
                :obj:`None`, all of them. (default: :obj:`None`)

        Returns:
            The vectors, of shape :obj:`[N, C]` or :obj:`[M, C]`.

        Raises:
            ValueError: If shapes are wrong or there is no graph.
        """
        raise NotImplementedError

    # The graph ###################################################################################

    def register_graph(self, data: Data) -> "TranslationalEncoder":
        r"""Makes the training facts of a graph, in both directions, the graph
        that is encoded if the module is called without arguments. It is not
        part of the state dictionary.

        Args:
            data (Data): All facts with split masks, with or without inverse
                triples.

        Raises:
            ValueError: If the graph is not sound or does not fit.
        """
        data = prepare(self, data)
        head_index, tail_index = data.edge_index[:, data.train_mask]
        self._register(head_index, data.edge_type[data.train_mask], tail_index)
        return self

    @torch.no_grad()
    def encode(self, data: Data) -> Tensor:
        r"""Returns the vectors of all entities, of shape :obj:`[N, C]`, as
        features: from the training facts of a graph alone, without dropout
        and gradients. Registers the graph (:meth:`register_graph`).
        """
        self.register_graph(data)
        training = self.training
        out = self.eval()()
        self.train(training)
        return out

    def _register(self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor) -> None:
        size = self.num_relations
        check_triples(head_index, rel_type, tail_index, self.num_nodes, 2 * size)
        base = rel_type < size  # Inverse triples follow from these, given or not.
        fact = head_index[base], rel_type[base], tail_index[base]
        head_index, rel_type, tail_index = both_sides(*fact, size)
        self.edge_index, self.edge_type = torch.stack([head_index, tail_index]), rel_type

    # The energy ##################################################################################

    def rel_embedding(self) -> Tensor:
        r"""The vectors of all relations, of shape :obj:`[2 * R, C]`: inverse
        relations come last and are the negatives of base relations.
        """
        return torch.cat([self.rel_emb.weight, -self.rel_emb.weight])

    def energy(self, x: Tensor, head_index: Tensor, rel_type: Tensor, tail_index: Tensor) -> Tensor:
        r"""The energy of triples, given the vectors of entities. Indices
        broadcast, so :obj:`[B, 1], [B, 1], [B, K]` gives :obj:`[B, K]`.
        """
        query = x[head_index] + F.embedding(rel_type, self.rel_embedding())
        return (query - x[tail_index]).abs().sum(dim=-1)

    @torch.no_grad()
    def predict(self, head_index: Tensor, rel_type: Tensor) -> Tensor:
        r"""Scores every entity as tail of each query by its negative energy,
        on the registered graph, of shape :obj:`[B, N]`. Each call encodes the
        graph, so few large batches are faster than many small ones.

        Args:
            head_index (torch.Tensor): The head indices, of shape :obj:`[B]`.
            rel_type (torch.Tensor): The relation types, of shape :obj:`[B]`,
                in :obj:`[0, 2 * num_relations)`.
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
        r"""Computes the hinge loss of a batch.

        Args:
            head_index (torch.Tensor): The head indices, of shape :obj:`[B]`.
            rel_type (torch.Tensor): The relation types, of shape :obj:`[B]`.
            tail_index (torch.Tensor): The tail indices, of shape :obj:`[B]`.
            neg_index (torch.Tensor): What to replace the tails by, of shape
                :obj:`[B, K]`. An entry of :obj:`-1` adds nothing.
            *graph (torch.Tensor, optional): The arguments of :meth:`forward`.

        Raises:
            ValueError: If shapes are wrong.
        """
        sizes = [list(x.size()) for x in (head_index, rel_type, tail_index, neg_index)]
        if neg_index.dim() != 2 or any(size != sizes[3][:1] for size in sizes[:3]):
            raise ValueError(f"Expected indices of shape [B], [B], [B] and [B, K] (got {sizes})")
        x = self(*graph)
        pos = self.energy(x, head_index, rel_type, tail_index).unsqueeze(1)
        query = head_index.unsqueeze(1), rel_type.unsqueeze(1)
        neg = self.energy(x, *query, neg_index.clamp(min=0))
        neg = neg.masked_fill(neg_index < 0, math.inf)  # Beyond any margin.
        return F.margin_ranking_loss(neg, pos.expand_as(neg), torch.ones_like(neg), self.margin)

    def loader(
        self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor, **kwargs: Any
    ) -> StructuralLoader:
        r"""Returns a mini-batch loader over the given facts in both
        directions, and registers them as the graph to encode.

        Args:
            head_index (torch.Tensor): The head indices, of shape :obj:`[E]`.
            rel_type (torch.Tensor): The relation types, of shape :obj:`[E]`.
                The inverses of base relations may be left out.
            tail_index (torch.Tensor): The tail indices, of shape :obj:`[E]`.
            **kwargs (optional): Arguments of :class:`StructuralLoader`, such
                as :obj:`batch_size` or :obj:`shuffle`.

        Raises:
            ValueError: If an id is out of range or there are no facts.
        """
        self._register(head_index, rel_type, tail_index)
        return StructuralLoader(
            Data(edge_index=self.edge_index, edge_type=self.edge_type, num_nodes=self.num_nodes),
            num_negatives=self.num_negatives,
            num_neighbors=self.num_neighbors,
            **kwargs,
        )

    def objectives(self) -> list[Objective]:
        r"""What is trained: all parameters, by the one loss."""
        return [Objective("model", list(self.parameters()), self.loss)]
