import torch
import torch.nn.functional as F
from torch import Tensor

from torch_imf.nn.functional import linear_bce_loss, linear_ce_loss
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
            queries.
        label_smoothing (float, optional): The label smoothing of
            :obj:`"bce"`, in :obj:`[0, 1)`. (default: :obj:`0.`)

    Raises:
        ValueError: If the loss is unknown or the label smoothing out of range.
    """

    def __init__(self, loss: str, label_smoothing: float = 0.0) -> None:
        super().__init__()
        if loss not in {"bce", "ce"}:
            raise ValueError(f"Invalid 'loss' argument (got '{loss}', choose 'bce' or 'ce')")
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"'label_smoothing' needs to be in [0, 1) (got {label_smoothing})")
        self.loss = loss
        self.label_smoothing = label_smoothing

    def forward(self, scorer: Scorer, query: Tensor, key: Tensor, pos_index: Tensor) -> Tensor:
        r"""Computes the loss, a scalar, of queries :obj:`[B, Q]` against keys
        :obj:`[N, Q]` with the positives :obj:`pos_index` of shape
        :obj:`[2, P]`.
        """
        smoothing, size = self.label_smoothing, key.size(0)
        if scorer.linear:
            if self.loss == "ce":
                return linear_ce_loss(query, key, pos_index)
            return size * linear_bce_loss(query, key, pos_index, smoothing, scorer.logit_bias)

        score = scorer.similarity(query, key)  # [B, N]
        score = score.to(torch.promote_types(score.dtype, torch.float32))
        target = torch.zeros_like(score)
        target[pos_index[0], pos_index[1]] = 1.0
        if self.loss == "ce":
            return F.cross_entropy(score, F.normalize(target, p=1.0, dim=-1))
        target = (1 - smoothing) * target + smoothing / size
        return size * F.binary_cross_entropy_with_logits(score, target)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}('{self.loss}')"
