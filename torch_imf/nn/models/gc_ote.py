from collections.abc import Mapping
from typing import Any, ClassVar, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Module

from torch_imf.data import NegativeLoader, QueryLoader
from torch_imf.data.index import both_sides
from torch_imf.nn.fusion.base import Tensors
from torch_imf.nn.losses import Loss
from torch_imf.nn.models.base import MultimodalKGE
from torch_imf.nn.scorer import OTE, DistanceScorer
from torch_imf.nn.scorer.distance import SAMPLED


class GCOTE(MultimodalKGE):
    r"""The GC-OTE model from the `"Orthogonal Relation Transforms with Graph Context Modeling for
    Knowledge Graph Embedding" <https://arxiv.org/abs/1911.04910>`_ paper: :class:`OTE` between
    entities and between an entity and what the facts of the other one let expect, its context:

    .. math::
        \psi(h, r, t) = \gamma - \frac{1}{4} \big( d(\mathbf{R}_r \mathbf{e}_h, \mathbf{e}_t) +
        d(\mathbf{R}_r^{-1} \mathbf{e}_t, \mathbf{e}_h) + d(\mathbf{R}_r \mathbf{e}_h,
        \mathbf{c}_t^{\leftarrow}) + d(\mathbf{R}_r^{-1} \mathbf{e}_t, \mathbf{c}_h^{\rightarrow})
        \big), \qquad \mathbf{c}_t^{\leftarrow} = \frac{\mathbf{e}_t + \sum_{(h', r') \in
        \mathcal{N}(t)} \mathbf{R}_{r'} \mathbf{e}_{h'}}{|\mathcal{N}(t)| + 1}

    over the training facts of which :math:`t` is the tail, and :math:`\mathbf{c}_h^{\rightarrow}`
    alike, by inverse relations, over those of which :math:`h` is the head. :math:`d` sums the
    distances of blocks up. Scales are one, so that :math:`d(\mathbf{R}^{-1} \mathbf{e}_t,
    \mathbf{x}) = d(\mathbf{R} \mathbf{x}, \mathbf{e}_t)`, and keys are those of any relation. The
    released code begins with a trained :class:`OTE`, and leaves scales to be chosen.

    The facts are those that :meth:`loader` is given. In training, the facts of a batch are left out
    of the contexts. Features are not used; all other arguments are those of :class:`MultimodalKGE`.

    Args:
        margin (float, optional): The margin :math:`\gamma`. (default: :obj:`6.`)
        block_size (int, optional): Size of a block, a divisor of :obj:`hidden_channels`. (default:
            :obj:`4`)
    """

    # Each step reads all facts:
    settings: ClassVar[Mapping[str, Any]] = {**SAMPLED, "loss.num_negatives": 32, "batch_size": 512}

    def __init__(
        self,
        num_nodes: int,
        num_relations: int,
        hidden_channels: int,
        x_dict: Tensors | None = None,
        mask_dict: Tensors | None = None,
        *,
        loss: str | type[Loss] | Loss = "sampled",
        struct: bool | Tensor | Module = True,
        margin: float = 6.0,
        block_size: int = 4,
        tie_inverses: bool = False,
    ) -> None:
        if struct is False:
            raise ValueError("GCOTE knows of nothing but structure ('struct' cannot be False)")
        super().__init__(
            *(num_nodes, num_relations, hidden_channels),
            scorers={"struct": _WithContext(hidden_channels, margin, block_size)},
            loss=loss,
            struct=struct,
            tie_inverses=tie_inverses,
        )
        # The training facts [3, E], without inverse ones:
        self.register_buffer("facts", torch.empty(3, 0, dtype=torch.long), persistent=False)
        self._sorted: tuple[Tensor, _Neighbors] | None = None  # The facts, and sorted.
        self.reset_parameters()

    @property
    def prediction_buffers(self) -> list[str]:
        return ["facts"]

    def encode(self, index: Tensor | None = None, left_out: Tensor | None = None) -> Tensors:
        r"""Represents entities with their contexts, :obj:`[*, 3 * C]`. Facts :obj:`[3, P]` may be
        left out of these.
        """
        x = self.embed()["struct"]
        scorer: Any = self.scorers["struct"]
        near = self._neighbors()
        weight = torch.ones(near.head.numel(), dtype=x.dtype, device=x.device)
        if left_out is not None:
            weight[near.find(left_out, self.num_relations)] = 0
        # Heads that share relation and tail are turned at once:
        bags = near.head, x, near.start
        total = F.embedding_bag(*bags, mode="sum", per_sample_weights=weight)
        total = scorer.ote.grouped_query(total, self.relation("struct", near.relations), near.group)
        count = torch.zeros(2 * len(x), dtype=x.dtype, device=x.device)
        count = count.index_add(0, near.slot_of, weight).unsqueeze(-1)
        context = x.repeat(2, 1).index_add(0, near.slot, total.to(x.dtype)) / (count + 1)
        out = torch.cat([x, *context.chunk(2)], dim=-1)
        return {"struct": out if index is None else F.embedding(index, out)}

    def query(self, head: Tensors, rel_type: Tensor) -> Tensors:
        # Of a base relation, the head is one of outgoing facts, and the tail of incoming ones.
        x, incoming, outgoing = head["struct"].chunk(3, dim=-1)
        is_inverse = (rel_type >= self.num_relations).unsqueeze(-1)
        side = is_inverse.to(x.dtype).expand_as(x)
        parts = x, incoming.where(is_inverse, outgoing), side
        return super().query({"struct": torch.cat(parts, dim=-1)}, rel_type)

    def part(self, index: Tensor) -> "GCOTE":
        out: Any = super().part(index)
        out.facts, out._sorted = self.facts[:, :0], None
        return out

    def loss(self, head_index: Tensor, rel_type: Tensor, *target: Tensor) -> Tensor:
        index, batch = self.loss_fn.sample(self.num_nodes, head_index, rel_type, *target)
        head_index, rel_type, tail_index = self.loss_fn.facts(*batch)
        if index is not None:
            head_index, tail_index = index[head_index], index[tail_index]
        z = self.encode(index, torch.stack([head_index, rel_type, tail_index]))
        return self.view_loss(z, *batch)

    def loader(
        self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor, **kwargs: Any
    ) -> QueryLoader | NegativeLoader:
        out = super().loader(head_index, rel_type, tail_index, **kwargs)
        facts = torch.stack([head_index, rel_type, tail_index])
        self.facts = facts[:, rel_type < self.num_relations].to(self.node_emb.weight.device)
        return out

    def _neighbors(self) -> "_Neighbors":
        # Of the facts in both directions, which are sorted once.
        found = self._sorted
        if found is None or found[0] is not self.facts or found[1].num_nodes != self.num_nodes:
            with torch.inference_mode(False):  # It may be needed in training later.
                near = _Neighbors.of(self.facts, self.num_nodes, self.num_relations)
            found = self._sorted = self.facts, near
        return found[1]


class _Neighbors(NamedTuple):
    # Facts in both directions, sorted by relation and tail, which make a pair.
    head: Tensor  # [E]
    code: Tensor  # [E], ascending: one number for each fact.
    slot_of: Tensor  # [E], the context that it is part of: an incoming, or else an outgoing one.
    start: Tensor  # [P], the first fact of each pair.
    slot: Tensor  # [P], its context.
    relations: Tensor  # [G], the relations that there are.
    group: Tensor  # [P], which of them a pair has.
    num_nodes: int

    @classmethod
    def of(cls, facts: Tensor, num_nodes: int, num_relations: int) -> "_Neighbors":
        head, rel, tail = both_sides(facts[0], facts[1], facts[2], num_relations)
        code, perm = _code(head, rel, tail, num_nodes).sort()
        head, rel, tail = head[perm], rel[perm], tail[perm]
        slot_of = tail + num_nodes * (rel >= num_relations)
        pair, count = (rel * num_nodes + tail).unique_consecutive(return_counts=True)
        start = count.cumsum(0) - count
        relations, group = rel[start].unique(return_inverse=True)
        return cls(head, code, slot_of, start, slot_of[start], relations, group, num_nodes)

    def find(self, facts: Tensor, num_relations: int) -> Tensor:
        r"""Returns where facts :obj:`[3, P]` and their inverses are, of those that are there."""
        head, rel, tail = facts
        inverse = tail, (rel + num_relations) % (2 * num_relations), head
        code = torch.cat([_code(*x, self.num_nodes) for x in ((head, rel, tail), inverse)])
        row = torch.searchsorted(self.code, code).clamp(max=max(self.code.numel() - 1, 0))
        return row[self.code[row] == code] if self.code.numel() > 0 else row[:0]


def _code(head: Tensor, rel: Tensor, tail: Tensor, num_nodes: int) -> Tensor:
    return (rel * num_nodes + tail) * num_nodes + head


class _WithContext(DistanceScorer):
    # Entities with both contexts, [e, incoming, outgoing]; heads as `GCOTE.query` has them.

    aliases: ClassVar[dict] = {}

    def __init__(self, channels: int, margin: float, block_size: int) -> None:
        ote = OTE(channels, margin=0.0, block_size=block_size, scale=False)
        super().__init__(3 * channels, ote.rel_channels, margin)
        self.ote = ote

    def reset_relations(self, weight: Tensor) -> None:
        self.ote.reset_relations(weight)

    def grouped_query(self, head: Tensor, rel: Tensor, group: Tensor) -> Tensor:
        x, context, side = head.chunk(3, dim=-1)
        turned = self.ote.grouped_query(torch.cat([x, context]), rel, group.repeat(2))
        return torch.cat([*turned.chunk(2), side[..., :1]], dim=-1)

    def similarity(self, query: Tensor, key: Tensor) -> Tensor:
        (x, context), side = query[..., :-1].chunk(2, dim=-1), query[..., -1:]
        tail, incoming, outgoing = key.chunk(3, dim=-1)
        score = 2 * self.ote.similarity(x, tail) + self.ote.similarity(context, tail)
        if key.dim() == 3:
            near = self.ote.similarity(x, outgoing.where(side.unsqueeze(1) > 0, incoming))
        else:
            near = self.ote.similarity(x, incoming)
            near = self.ote.similarity(x, outgoing).where(side > 0, near)
        return self.margin + (score + near) / 4

    def invert(self, rel: Tensor) -> Tensor:
        return self.ote.invert(rel)
