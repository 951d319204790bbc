from typing import Any

import torch
from torch import Tensor

from torch_imf.data import QueryLoader
from torch_imf.nn.scorer import Scorer
from torch_imf.registry import Recorded
from torch_imf.sampler import NegativeLoader


class Loss(Recorded, torch.nn.Module):
    r"""An abstract base class of losses: they know which batches they need
    (:meth:`loader`) and compare queries with keys (:meth:`forward`). A loss is
    given to a model, which calls it once per view, with the scorer of that
    view.
    """

    #: Whether the sigmoid of a score is the probability of a fact, so that decision fusion averages
    #: these. It averages the scores themselves elsewhere: a product of experts.
    is_binary: bool = False

    def forward(self, scorer: Scorer, query: Tensor, key: Tensor, *target: Tensor) -> Tensor:
        r"""Computes the loss of a batch, a scalar.

        Args:
            scorer (Scorer): What scores queries against keys.
            query (torch.Tensor): The queries, of shape :obj:`[B, Q]`.
            key (torch.Tensor): The keys of all entities, of shape
                :obj:`[N, Q]`.
            *target (torch.Tensor): What a batch of :meth:`loader` holds after
                its heads and relations.
        """
        raise NotImplementedError

    def loader(
        self,
        head_index: Tensor,
        rel_type: Tensor,
        tail_index: Tensor,
        num_nodes: int,
        **kwargs: Any,
    ) -> QueryLoader | NegativeLoader:
        r"""Returns a mini-batch loader over facts of shape :obj:`[E]` each,
        among :obj:`num_nodes` entities. Further arguments are those of the
        loader, such as :obj:`batch_size` or :obj:`shuffle`.
        """
        raise NotImplementedError

    def facts(
        self, head_index: Tensor, rel_type: Tensor, *target: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        r"""Returns the facts of a batch of :meth:`loader`: their heads,
        relations and tails, of one shape :obj:`[P]`.
        """
        raise NotImplementedError
