from typing import ClassVar

import torch
from torch import Tensor

from torch_imf.nn.functional import dura_loss, l2_loss, n3_loss
from torch_imf.nn.scorer import Scorer
from torch_imf.registry import Recorded

#: Heads, relations and tails, of one shape.
Facts = tuple[Tensor, Tensor, Tensor]


class Regularizer(Recorded, torch.nn.Module):
    r"""An abstract base class of what a loss adds for the queries and keys of facts, with a weight
    that cannot be negative.
    """

    def __init__(self, weight: float = 0.1) -> None:
        super().__init__()
        if not weight >= 0:
            raise ValueError(f"The 'weight' of a regularizer cannot be negative (got {weight})")
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
    (:meth:`~torch_imf.nn.dura_loss`).
    """

    def forward(self, query: Tensor, key: Tensor, pos_index: Tensor, count: Tensor) -> Tensor:
        return self.weight * dura_loss(query, key, pos_index, count)


class FactTerm(Regularizer):
    r"""An abstract base class of what a loss adds for the embeddings of facts, rather than for
    their queries and keys. A model calls it once per view, with the scorer of that view.
    """

    aliases: ClassVar[dict] = {}

    def forward(  # type: ignore[override]
        self, scorer: Scorer, entity: Tensor, rel: Tensor, facts: Facts
    ) -> Tensor:
        r"""Computes the term to add, a scalar, from all entities :obj:`[N, C]`, all relations and
        their inverses :obj:`[2 * R, C_r]`, and facts :obj:`[P]`.
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
        return self.weight * n3_loss(entity, rel, *facts, scorer.num_parts)


class L2(FactTerm):
    r"""The squared norms of head, relation and tail of each fact, averaged over facts
    (:meth:`~torch_imf.nn.l2_loss`).
    """

    def forward(  # type: ignore[override]
        self, scorer: Scorer, entity: Tensor, rel: Tensor, facts: Facts
    ) -> Tensor:
        return self.weight * l2_loss(entity, rel, *facts)
