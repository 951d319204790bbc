from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from torch_imf.nn.scorer.base import Scorer
from torch_imf.nn.scorer.distance import in_chunks


class WrappedScorer(Scorer):
    r"""A base class of scorers that ask another one, and have one more number per relation."""

    aliases: ClassVar[dict] = {}

    def __init__(self, scorer: Scorer, channels: int) -> None:
        super().__init__(channels, scorer.rel_channels + 1)
        self.scorer = scorer
        self.num_parts = scorer.num_parts  # type: ignore[misc]

    def reset_parameters(self) -> None:
        self.scorer.reset_parameters()

    def reset_relations(self, weight: Tensor) -> None:
        self.scorer.reset_relations(weight[:, :-1])
        torch.nn.init.zeros_(weight[:, -1])

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.scorer})"


class GatedScorer(WrappedScorer):
    r"""The relation-guided fusion of :class:`~torch_imf.nn.LBMKGC`: a scorer of entities of two
    embeddings, a structural one and one of their modalities, which the relation weighs:

    .. math::
        \Psi(h, r, t) = \psi(\mathbf{h}_r, \mathbf{r}, \mathbf{t}_r), \qquad
        \mathbf{e}_r = \sigma(g_r) \, \mathbf{e}_s + (1 - \sigma(g_r)) \, \mathbf{e}_m

    The gate is the last number of the embedding of a relation. Where :math:`\psi` is linear in the
    tail, it rides in the query alone, and ranking is one product; the tails of others are mixed for
    each query, some at a time.

    Args:
        scorer (Scorer): The scorer :math:`\psi` of embeddings of size :math:`C`. Those of entities
            are both side by side, of size :math:`2 C`, as :class:`~torch_imf.nn.StackFusion`
            returns them.
    """

    aliases: ClassVar[dict] = {}

    def __init__(self, scorer: Scorer) -> None:
        super().__init__(scorer, 2 * scorer.channels)
        is_plain = type(scorer).key is Scorer.key and scorer.logit_bias is None
        self.dot_product = scorer.dot_product and is_plain

    def grouped_query(self, head: Tensor, rel: Tensor, group: Tensor) -> Tensor:
        gate = F.embedding(group, rel[:, -1:]).sigmoid()
        query = self.scorer.grouped_query(mixed(head, gate), rel[:, :-1], group)
        if self.dot_product:
            return torch.cat([gate * query, (1 - gate) * query], dim=-1)
        return torch.cat([query, gate.to(query.dtype)], dim=-1)

    def similarity(self, query: Tensor, key: Tensor) -> Tensor:
        if self.dot_product:
            return super().similarity(query, key)
        return in_chunks(self._pair_score, query, key, query.size(-1))

    def invert(self, rel: Tensor) -> Tensor:
        return torch.cat([self.scorer.invert(rel[..., :-1]), rel[..., -1:]], dim=-1)

    def factors(
        self, entity: Tensor, rel: Tensor, facts: tuple[Tensor, Tensor, Tensor]
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        # Entities as the relation of each fact sees them:
        head_index, rel_type, tail_index = facts
        gate = F.embedding(rel_type, rel[:, -1:]).sigmoid()
        ends = [mixed(F.embedding(x, entity), gate) for x in (head_index, tail_index)]
        index = torch.arange(2 * rel_type.numel(), device=rel.device).view(2, -1)
        own = index[0], rel_type, index[1]
        return self.scorer.factors(torch.cat(ends), rel[:, :-1], own)

    def _pair_score(self, query: Tensor, key: Tensor) -> Tensor:
        # Of [B, 1, Q] and [B | 1, K, 2 * C], whose tails are mixed for each query.
        query, gate = query[:, 0, :-1], query[..., -1:]
        return self.scorer.similarity(query, self.scorer.key(mixed(key, gate)))


def mixed(x: Tensor, gate: Tensor) -> Tensor:
    r"""Joins two embeddings :obj:`[*, 2 * C]` by the share :obj:`[*, 1]` of the first."""
    struct, modal = x.chunk(2, dim=-1)
    return gate * struct + (1 - gate) * modal
