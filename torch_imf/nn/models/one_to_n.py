from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from torch_imf.data import QueryLoader
from torch_imf.nn.functional import dura_loss, linear_bce_loss, linear_ce_loss
from torch_imf.nn.scorer import Scorer


class OneToNLoss(torch.nn.Module):
    r"""The loss of a scorer's queries against all candidates: by
    :meth:`~torch_imf.nn.linear_bce_loss` or
    :meth:`~torch_imf.nn.linear_ce_loss` where the similarity is a plain
    product, and by the scores themselves elsewhere.

    Args:
        loss (str): :obj:`"bce"`, the binary cross-entropy, averaged over
            queries and **summed** over candidates: its mean has gradients near
            Adam's epsilon on large graphs, and is of another order than other
            losses. Or :obj:`"ce"`, the softmax cross-entropy, averaged over
            facts.
        label_smoothing (float, optional): The label smoothing of
            :obj:`"bce"`, in :obj:`[0, 1)`. (default: :obj:`0.`)
        regularization (float, optional): The weight of
            :meth:`~torch_imf.nn.dura_loss` over facts. (default: :obj:`0.`)

    Raises:
        ValueError: If the loss is unknown, or another argument out of range.
    """

    def __init__(
        self, loss: str, label_smoothing: float = 0.0, regularization: float = 0.0
    ) -> None:
        super().__init__()
        if loss not in {"bce", "ce"}:
            raise ValueError(f"Invalid 'loss' argument (got '{loss}', choose 'bce' or 'ce')")
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"'label_smoothing' needs to be in [0, 1) (got {label_smoothing})")
        if not regularization >= 0:
            raise ValueError(f"'regularization' cannot be negative (got {regularization})")
        self.loss = loss
        self.label_smoothing = label_smoothing
        self.regularization = regularization

    def forward(self, scorer: Scorer, query: Tensor, key: Tensor, pos_index: Tensor) -> Tensor:
        r"""Computes the loss, a scalar, of queries :obj:`[B, Q]` against keys
        :obj:`[N, Q]` with the positives :obj:`pos_index` of shape
        :obj:`[2, P]`, without duplicates.
        """
        count = torch.bincount(pos_index[0], minlength=query.size(0))
        loss = self._loss(scorer, query, key, pos_index, count)
        if self.regularization == 0:
            return loss
        return loss + self.regularization * dura_loss(query, key, pos_index, count)

    def loader(
        self,
        head_index: Tensor,
        rel_type: Tensor,
        tail_index: Tensor,
        num_nodes: int,
        **kwargs: Any,
    ) -> QueryLoader:
        r"""Returns the loader of queries with all of their tails."""
        return QueryLoader(head_index, rel_type, tail_index, **kwargs)

    def facts(
        self, head_index: Tensor, rel_type: Tensor, target: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        r"""Returns the facts of a batch of :meth:`loader`, or of queries with
        one tail each, of one shape :obj:`[P]`.
        """
        if target.dim() == 1:
            return head_index, rel_type, target
        row, tail_index = target
        return head_index[row], rel_type[row], tail_index

    def _loss(
        self, scorer: Scorer, query: Tensor, key: Tensor, pos_index: Tensor, count: Tensor
    ) -> Tensor:
        smoothing, size = self.label_smoothing, key.size(0)
        if scorer.dot_product:
            if self.loss == "ce":
                return linear_ce_loss(query, key, pos_index, count)
            return size * linear_bce_loss(query, key, pos_index, smoothing, scorer.logit_bias)

        score = scorer.similarity(query, key)  # [B, N]
        score = score.to(torch.promote_types(score.dtype, torch.float32))
        row, col = pos_index
        if self.loss == "ce":
            return -score.log_softmax(dim=-1)[row, col].sum() / max(row.numel(), 1)
        total = F.softplus(score).sum() - (1 - smoothing) * score[row, col].sum()
        if smoothing > 0:
            total = total - smoothing / size * score.sum()
        return total / score.size(0)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}('{self.loss}')"
