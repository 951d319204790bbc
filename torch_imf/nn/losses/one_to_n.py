from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from torch_imf.data import QueryLoader
from torch_imf.nn.functional import linear_bce_loss, linear_ce_loss
from torch_imf.nn.losses.base import Loss
from torch_imf.nn.losses.regularizer import Facts, FactTerm, Regularizer
from torch_imf.nn.scorer import Scorer
from torch_imf.registry import resolve


class OneToN(Loss):
    r"""The loss of queries against all candidates at once, by name :obj:`"bce"` or :obj:`"ce"`: by
    :meth:`~torch_imf.nn.linear_bce_loss` or :meth:`~torch_imf.nn.linear_ce_loss` where the
    similarity is a product.

    Args:
        loss (str, optional): :obj:`"bce"`, the binary cross-entropy, averaged over queries and
            **summed** over candidates (a mean has gradients near Adam's epsilon on large graphs),
            or :obj:`"ce"`, the softmax cross-entropy, averaged over facts. (default: :obj:`"bce"`)
        label_smoothing (float, optional): That of :obj:`"bce"`, in :obj:`[0, 1)`. (default:
            :obj:`0.`)
        regularizer (str or Regularizer, optional): What is added for queries and keys, or for the
            embeddings of facts. (default: :obj:`None`)
    """

    aliases: ClassVar[dict] = {"bce": {"loss": "bce"}, "ce": {"loss": "ce"}}

    def __init__(
        self,
        loss: str = "bce",
        label_smoothing: float = 0.0,
        regularizer: str | type[Regularizer] | Regularizer | None = None,
    ) -> None:
        super().__init__()
        if loss not in {"bce", "ce"}:
            raise ValueError(f"Invalid 'loss' argument (got '{loss}', choose 'bce' or 'ce')")
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"'label_smoothing' needs to be in [0, 1) (got {label_smoothing})")
        self.loss = loss
        self.is_binary = loss == "bce"
        self.label_smoothing = label_smoothing
        self.regularizer: Regularizer | None = None
        if regularizer is not None:
            self.regularizer = resolve("regularizer", regularizer)

    def forward(self, scorer: Scorer, query: Tensor, key: Tensor, *target: Tensor) -> Tensor:
        r"""Computes the loss of queries with distinct positives :obj:`[2, P]` (row: query, column:
        key), or one each :obj:`[B]`. A model adds the :obj:`terms` of facts.
        """
        pos_index = _positives(*target)
        count = torch.bincount(pos_index[0], minlength=query.size(0))
        loss = self._loss(scorer, query, key, pos_index, count)
        if self.regularizer is None or isinstance(self.regularizer, FactTerm):
            return loss
        return loss + self.regularizer(query, key, pos_index, count)

    def loader(self, facts: Facts, num_nodes: int, **kwargs: Any) -> QueryLoader:
        return QueryLoader(*facts, **kwargs)

    def facts(self, head_index: Tensor, rel_type: Tensor, *target: Tensor) -> Facts:
        row, tail_index = _positives(*target)
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


def _positives(target: Tensor) -> Tensor:
    # Of shape [2, P], also if there is one for each query.
    if target.dim() == 2:
        return target
    return torch.stack([torch.arange(target.numel(), device=target.device), target])
