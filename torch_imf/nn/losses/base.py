from typing import Any

import torch
from torch import Tensor

from torch_imf.data import NegativeLoader, QueryLoader
from torch_imf.data.distributed import holds_some
from torch_imf.data.index import mark
from torch_imf.nn.losses.regularizer import Facts, FactTerm
from torch_imf.nn.scorer import Scorer
from torch_imf.registry import Recorded


class Loss(Recorded, torch.nn.Module):
    r"""An abstract base class of losses: they load the batches that they need, and compare queries
    with keys. A model calls its loss once per view, with the scorer of that view.
    """

    #: Whether the sigmoid of a score is the probability of a fact, so that decision fusion averages
    #: these. It averages the scores themselves elsewhere: a product of experts.
    is_binary: bool = False
    #: Whether a batch is compared with some entities only, so that a step leaves most as they are.
    is_sparse: bool = False

    def __init__(self) -> None:
        super().__init__()  # So that a class without arguments of its own is recorded, too.

    def forward(self, scorer: Scorer, query: Tensor, key: Tensor, *target: Tensor) -> Tensor:
        r"""Computes the loss, a scalar, from queries :obj:`[B, Q]`, all keys :obj:`[N, Q]`, and
        what a batch holds after heads and relations.
        """
        raise self._lacks("forward")

    def loader(self, facts: Facts, num_nodes: int, **kwargs: Any) -> QueryLoader | NegativeLoader:
        r"""Returns a mini-batch loader, which takes further arguments, over facts."""
        raise self._lacks("loader")

    def sample(
        self, num_nodes: int, head_index: Tensor, rel_type: Tensor, *target: Tensor
    ) -> tuple[Tensor | None, tuple[Tensor, ...]]:
        r"""Returns which entities a batch of :meth:`loader` is compared with, those of its facts
        among them, or :obj:`None` for all, and the batch, in which entities are positions among
        these.
        """
        return None, (head_index, rel_type, *target)

    @staticmethod
    def touched(num_nodes: int, *index: Tensor) -> tuple[Tensor | None, tuple[Tensor, ...]]:
        r"""Returns which entities there are among several indices (:obj:`-1` is none), and their
        positions among these. If they are most of all, it returns :obj:`None` and the indices.
        """
        flat = torch.cat([x.flatten() for x in index])
        known = flat.clamp(min=0)
        if num_nodes > 4 * known.numel():
            every, position = known.unique(return_inverse=True)
        else:  # To mark all entities costs less than to sort these.
            mask = mark(known, num_nodes)
            every = mask.nonzero().view(-1)
            if not holds_some() and 2 * every.numel() > num_nodes:
                return None, index
            position = mask.cumsum(dim=0)[known] - 1
        parts = position.where(flat >= 0, flat).split([x.numel() for x in index])
        return every, tuple(part.view_as(x) for part, x in zip(parts, index, strict=True))

    def facts(self, head_index: Tensor, rel_type: Tensor, *target: Tensor) -> Facts:
        r"""Returns the facts :obj:`[P]` of a batch of :meth:`loader` or :meth:`sample`."""
        raise self._lacks("facts")

    @property
    def terms(self) -> list[FactTerm]:
        r"""What a model adds to the loss for the embeddings of facts."""
        return [module for module in self.children() if isinstance(module, FactTerm)]

    def _lacks(self, method: str) -> NotImplementedError:
        return NotImplementedError(f"The loss '{type(self).__name__}' has no method '{method}'")
