import torch.nn.functional as F
from torch import Tensor


def self_adversarial_loss(
    pos_score: Tensor, neg_score: Tensor, temperature: float = 1.0, mask: Tensor | None = None
) -> Tensor:
    r"""The loss with self-adversarial negatives of the `"RotatE: Knowledge
    Graph Embedding by Relational Rotation in Complex Space"
    <https://arxiv.org/abs/1902.10197>`_ paper, and of AdaMF (Eq. 7-8), averaged
    over the batch:

    .. math::
        \mathcal{L} = - \log \sigma(s^+) - \sum_{i=1}^K p_i \log
        \sigma(-s^-_i), \qquad p_i = \frac{\exp(\beta s^-_i)}{\sum_j
        \exp(\beta s^-_j)}

    so that the likeliest negatives count most, as in RotatE and in the released
    code of AdaMF (whose Eq. 8 is printed with distances instead of scores,
    which would prefer the least likely ones). No gradient flows through
    :math:`p_i`.

    Args:
        pos_score (torch.Tensor): The scores of facts, of shape :obj:`[B]`.
        neg_score (torch.Tensor): The scores of their negatives, of shape
            :obj:`[B, K]`.
        temperature (float, optional): The temperature :math:`\beta`; zero
            weights all negatives alike. (default: :obj:`1.`)
        mask (torch.Tensor, optional): Which negatives count, of shape
            :obj:`[B, K]`. (default: :obj:`None`)

    Returns:
        A scalar, in single precision at least. A fact without any negative
        contributes its first term only.

    Raises:
        ValueError: If shapes do not fit.
    """
    if neg_score.dim() != 2 or pos_score.size() != neg_score.size()[:1]:
        raise ValueError(
            f"Expected scores of shape [B] and [B, K] (got {list(pos_score.size())} and "
            f"{list(neg_score.size())})"
        )
    pos_score, neg_score = (
        x if x.dtype.itemsize >= 4 else x.float() for x in (pos_score, neg_score)
    )
    weight = temperature * neg_score.detach()
    if mask is not None:
        weight = weight.masked_fill(~mask, -float("inf"))
    # Rows without a negative are all NaN:
    p = weight.softmax(dim=-1).nan_to_num(0.0)
    return (F.softplus(-pos_score) + (p * F.softplus(neg_score)).sum(dim=-1)).mean()
