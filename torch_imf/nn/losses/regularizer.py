import torch
from torch import Tensor

from torch_imf.nn.functional import dura_loss
from torch_imf.registry import Recorded


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
        positives :obj:`[2, P]` (row: query, column: key), and the number of them for each query,
        :obj:`[B]`.
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
