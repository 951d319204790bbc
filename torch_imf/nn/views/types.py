from collections.abc import Sequence
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from torch_imf.data.graph import type_pairs
from torch_imf.nn.fusion.base import Tensors
from torch_imf.nn.views.base import View


class Seen(NamedTuple):
    r"""In how many training facts an entity is a tail of a relation, which may be an inverse."""

    node: int
    relation: int
    num_facts: int
    confidence: None = None

    def words(self, nodes: Sequence[str], relations: Sequence[str]) -> str:
        r"""Tells it, given the names of entities and of base relations."""
        is_inverse, rel = divmod(self.relation, len(relations))
        side = "head" if is_inverse else "tail"
        facts = f"{self.num_facts or 'no'} training fact{'s' * (self.num_facts > 1)}"
        return f"{nodes[self.node]} is {side} of {relations[rel]} in {facts}"


class TypePrior(View):
    r"""How often an entity is a tail of the relation of a query in training facts, whatever their
    head:

    .. math::
        y_t = \log \big( 1 + | \{ h' : (h', r, t) \in \mathcal{T} \} | \big)

    It never excludes an entity: on some graphs, a third of held-out answers were never seen there.
    Facts of new entities (:meth:`torch_imf.add_entities`) count for these alone.

    Where the graph knows the types of entities (:obj:`data.node_types`), an entity counts as much
    more as those of its type do on average: :math:`y_t = \log (1 + c_{r,t} + \bar{c}_{r,t})`, where
    :math:`c_{r,t}` is the number above and :math:`\bar{c}_{r,t}` the mean over the types of
    :math:`t` of the mean of :math:`c_{r,t'}` over entities :math:`t'` of a type. A person may be
    born somewhere even if that is the first fact about her.
    """

    aliases: ClassVar[dict] = {"types": {}}
    scores = ("types",)
    key: Tensor
    log_count: Tensor
    type_pairs: Tensor | None
    type_mean: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("key", torch.empty(0, dtype=torch.long))
        self.register_buffer("log_count", torch.empty(0))
        # Of graphs that know of types: pairs of entity and type, and the means of each.
        self.register_buffer("type_pairs", None)
        self.register_buffer("type_mean", None)

    def fit_facts(
        self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor, data: Data
    ) -> None:
        from scipy.sparse import csr_array

        key, count = (rel_type * self.num_nodes + tail_index).unique(return_counts=True)
        self.key, self.log_count = key, count.float().log1p()
        names, pairs = type_pairs(data)
        self.type_pairs = self.type_mean = None
        if names:
            shape = self.num_nodes, len(names)
            is_of = csr_array((np.ones(pairs.size(1)), tuple(pairs.numpy())), shape=shape)
            place = (key // self.num_nodes).numpy(), (key % self.num_nodes).numpy()
            shape = 2 * self.num_relations, self.num_nodes
            total = csr_array((count.numpy(), place), shape=shape) @ is_of
            self.type_pairs = pairs
            self.type_mean = torch.from_numpy(total.toarray() / is_of.sum(axis=0)).float()

    def extend_facts(
        self, num_nodes: int, x_dict: Tensors, mask_dict: Tensors, facts: Tensor
    ) -> None:
        _, rel_type, tail_index = facts[:, facts[2] >= self.num_nodes]
        new, count = (rel_type * num_nodes + tail_index).unique(return_counts=True)
        old = self.key // self.num_nodes * num_nodes + self.key % self.num_nodes
        self.key, order = torch.cat([old, new]).sort()
        self.log_count = torch.cat([self.log_count, count.float().log1p()])[order]

    def forward(self, head_index: Tensor, rel_type: Tensor) -> Tensors:
        rel, row = rel_type.unique(return_inverse=True)
        out = self.log_count.new_zeros(rel.numel(), self.num_nodes)
        bounds = torch.stack([rel, rel + 1]) * self.num_nodes
        for i, (start, end) in enumerate(torch.searchsorted(self.key, bounds).t().tolist()):
            out[i, self.key[start:end] % self.num_nodes] = self.log_count[start:end]
        if self.type_pairs is not None and self.type_mean is not None:
            node, kind = self.type_pairs
            share = self.type_mean[rel][:, kind] / node.bincount(minlength=self.num_nodes)[node]
            out = out.expm1().index_add(1, node, share).log1p()
        return {"types": out[row]}

    def reasons(self, head: int, rel: int, tail: int, k: int = 5) -> list[Seen]:
        r"""Returns how often an entity was seen there."""
        is_there = self.key == rel * self.num_nodes + tail
        return [Seen(tail, rel, round(float(self.log_count[is_there].expm1().sum())))]
