from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from torch_imf.nn.functional import dura_loss, l2_loss, linear_ce_loss, n3_loss
from torch_imf.nn.scorer import Scorer
from torch_imf.registry import Recorded

#: Heads, relations and tails, of one shape.
Facts = tuple[Tensor, Tensor, Tensor]


class Regularizer(Recorded, torch.nn.Module):
    r"""An abstract base class of what a loss adds for the queries and keys of facts."""

    def __init__(self, weight: float = 0.1) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, query: Tensor, key: Tensor, pos_index: Tensor, count: Tensor) -> Tensor:
        r"""Computes the term to add, a scalar, from queries :obj:`[B, Q]`, all keys :obj:`[N, Q]`,
        positives :obj:`[2, P]` (row: query, column: key), and their number per query :obj:`[B]`.
        """
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.weight})"


class DURA(Regularizer):
    r"""The squared norms of the query and of the key of each fact, averaged over facts
    (:meth:`~torch_imf.nn.dura_loss`, which says how the paper's weights translate).

    Args:
        weight (float, optional): The weight of both. (default: :obj:`0.1`)
        query_weight (float, optional): That of queries. (default: :obj:`1.`)
        key_weight (float, optional): That of keys. (default: :obj:`1.`)
    """

    def __init__(
        self, weight: float = 0.1, query_weight: float = 1.0, key_weight: float = 1.0
    ) -> None:
        super().__init__(weight)
        self.query_weight = query_weight
        self.key_weight = key_weight

    def forward(self, query: Tensor, key: Tensor, pos_index: Tensor, count: Tensor) -> Tensor:
        weights = self.query_weight, self.key_weight
        return self.weight * dura_loss(query, key, pos_index, count, *weights)


class FactTerm(Regularizer):
    r"""An abstract base class of what a loss adds for the embeddings of facts, rather than for
    their queries and keys. A model calls it once per view, with the scorer of that view.
    """

    aliases: ClassVar[dict] = {}

    def forward(  # type: ignore[override]
        self, scorer: Scorer, entity: Tensor, rel: Tensor, facts: Facts
    ) -> Tensor:
        r"""Computes the term to add, a scalar, from entities :obj:`[N, C]`, all relations and their
        inverses :obj:`[2 * R, C_r]`, and facts :obj:`[P]`.
        """
        raise NotImplementedError


class N3(FactTerm):
    r"""The cubes of the moduli of head, relation and tail of each fact, averaged over facts
    (:meth:`~torch_imf.nn.n3_loss`). Moduli are those of complex numbers for
    :class:`~torch_imf.nn.ComplEx`, and absolute values for scorers of real ones. In models that
    fuse modalities, entities are the fused ones.
    """

    def forward(  # type: ignore[override]
        self, scorer: Scorer, entity: Tensor, rel: Tensor, facts: Facts
    ) -> Tensor:
        return self.weight * n3_loss(*scorer.factors(entity, rel, facts), scorer.num_parts)


class L2(FactTerm):
    r"""The squared norms of head, relation and tail of each fact, averaged over facts
    (:meth:`~torch_imf.nn.l2_loss`).
    """

    def forward(  # type: ignore[override]
        self, scorer: Scorer, entity: Tensor, rel: Tensor, facts: Facts
    ) -> Tensor:
        return self.weight * l2_loss(*scorer.factors(entity, rel, facts))


class RelationPrediction(FactTerm):
    r"""The auxiliary loss from the `"Relation Prediction as an Auxiliary Training Objective for
    Improving Multi-Relational Graph Representations" <https://arxiv.org/abs/2110.02834>`_ paper: a
    softmax over all relations and their inverses, averaged over facts:

    .. math::
        \mathcal{L} = - \frac{\lambda}{|\mathcal{P}|} \sum_{(h, r, t) \in \mathcal{P}} \log
        \frac{\exp \psi(h, r, t)}{\sum_{r'} \exp \psi(h, r', t)}

    The scorer needs to be linear in relations, as :class:`~torch_imf.nn.DistMult` and
    :class:`~torch_imf.nn.ComplEx` are. With tied inverses, DistMult cannot tell a relation from its
    inverse.
    """

    aliases: ClassVar[dict] = {"relation-prediction": {}}

    def forward(  # type: ignore[override]
        self, scorer: Scorer, entity: Tensor, rel: Tensor, facts: Facts
    ) -> Tensor:
        head_index, rel_type, tail_index = facts
        head, tail = (F.embedding(index, entity) for index in (head_index, tail_index))
        target = torch.stack([torch.arange(rel_type.numel(), device=rel_type.device), rel_type])
        return self.weight * linear_ce_loss(scorer.relation_query(head, tail), rel, target)
