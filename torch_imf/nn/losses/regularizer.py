import torch
from torch import Tensor

from torch_imf.nn.functional import dura_loss
from torch_imf.registry import Recorded


class Regularizer(Recorded, torch.nn.Module):
    r"""An abstract base class of what a loss adds for the queries and keys of
    facts.

    Args:
        weight (float, optional): Its weight in the loss. (default: :obj:`0.1`)

    Raises:
        ValueError: If the weight is negative.
    """

    def __init__(self, weight: float = 0.1) -> None:
        super().__init__()
        if not weight >= 0:
            raise ValueError(f"The 'weight' of a regulariser cannot be negative (got {weight})")
        self.weight = weight

    def forward(self, query: Tensor, key: Tensor, pos_index: Tensor, count: Tensor) -> Tensor:
        r"""Computes the term that is added to the loss, a scalar.

        Args:
            query (torch.Tensor): The queries, of shape :obj:`[B, Q]`.
            key (torch.Tensor): The keys of all entities, of shape
                :obj:`[N, Q]`.
            pos_index (torch.Tensor): The positives, of shape :obj:`[2, P]`
                (row: query, column: entity).
            count (torch.Tensor): The number of positives of each query, of
                shape :obj:`[B]`.
        """
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.weight})"


class DURA(Regularizer):
    r"""The squared norms of the query and of the key of each fact, averaged
    over facts (:meth:`~torch_imf.nn.dura_loss`). Arguments are those of
    :class:`Regularizer`.
    """

    def forward(self, query: Tensor, key: Tensor, pos_index: Tensor, count: Tensor) -> Tensor:
        return self.weight * dura_loss(query, key, pos_index, count)
