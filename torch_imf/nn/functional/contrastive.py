from collections.abc import Iterator, Sequence
from itertools import combinations

import torch
import torch.nn.functional as F
from torch import Tensor


def contrastive_loss(
    x_dict: dict[str, Tensor],
    mask_dict: dict[str, Tensor] | None = None,
    pairs: Sequence[tuple[str, str]] | None = None,
) -> Tensor:
    r"""The contrastive loss between the modalities of the `"IMF: Interactive Multimodal Fusion
    Model for Link Prediction" <https://arxiv.org/abs/2303.10816>`_ paper (Eq. 6), averaged over the
    :math:`N` entities:

    .. math::
        \mathcal{L}_{CL} = \frac{1}{N} \sum_{i=1}^N \frac{1}{|\mathcal{M}| N} \sum_{(p, q) \in
        \mathcal{M}} \sum_{j=1}^N d(e_i^p, e_i^q) - d(e_i^p, e_j^q) + 2, \qquad d(u, v) = -
        \frac{u^{\top} v}{\|u\| \|v\|}

    The loss is linear in the similarities, so that their sum over all :math:`N^2` pairs is a
    product of two sums, and the cost is :math:`O(N d)`.

    Args:
        x_dict (dict[str, torch.Tensor]): The latent representations of the same entities per
            modality, of shape :obj:`[N, C]` each.
        mask_dict (dict[str, torch.Tensor], optional): Which entities have the modality, of shape
            :obj:`[N]` each. A pair counts the entities that have both. (default: :obj:`None`)
        pairs (list[tuple[str, str]], optional): The pairs :math:`\mathcal{M}`, *e.g.*,
            :obj:`[("struct", "text")]`, by default all of them. (default: :obj:`None`)

    Returns:
        A scalar, at least zero; zero if there are no two modalities.
    """
    losses = []
    for u, v, mask in _pairs(x_dict, mask_dict, pairs):
        if mask is not None:
            u, v = u * mask.unsqueeze(-1), v * mask.unsqueeze(-1)
        # An entity set that shares no entity gives 2 - 0 + 0, a constant:
        size = u.size(0) if mask is None else mask.sum().clamp(min=1)
        losses.append(2 - (u * v).sum() / size + (u.sum(0) * v.sum(0)).sum() / size**2)
    return _mean(losses, x_dict)


def info_nce_loss(
    x_dict: dict[str, Tensor],
    mask_dict: dict[str, Tensor] | None = None,
    temperature: float = 0.1,
    pairs: Sequence[tuple[str, str]] | None = None,
) -> Tensor:
    r"""The InfoNCE loss between modalities, from the `"Representation Learning with Contrastive
    Predictive Coding" <https://arxiv.org/abs/1807.03748>`_ paper, symmetric in each pair:

    .. math::
        \mathcal{L}_{pq} = - \frac{1}{N} \sum_{i=1}^N \log \frac{\exp( \hat{u}_i^p \cdot \hat{u}_i^q
        / \tau)}{\sum_{j=1}^N \exp(\hat{u}_i^p \cdot \hat{u}_j^q / \tau)}

    It pushes hardest on the negatives that are closest, and needs :math:`O(N^2)` memory. The
    arguments are those of :meth:`contrastive_loss`, and a positive temperature :math:`\tau`.
    """
    if temperature <= 0:
        raise ValueError(f"'temperature' needs to be positive (got {temperature})")
    losses = []
    for u, v, mask in _pairs(x_dict, mask_dict, pairs):
        if mask is not None:
            u, v = u[mask], v[mask]
        if u.size(0) > 0:
            with torch.autocast(u.device.type, enabled=False):
                score = u @ v.t() / temperature
            target = torch.arange(u.size(0), device=u.device)
            losses += [F.cross_entropy(score, target), F.cross_entropy(score.t(), target)]
    return _mean(losses, x_dict)


def self_adversarial_loss(
    pos_score: Tensor, neg_score: Tensor, temperature: float = 1.0, mask: Tensor | None = None
) -> Tensor:
    r"""The loss with self-adversarial negatives of the `"RotatE: Knowledge Graph Embedding by
    Relational Rotation in Complex Space" <https://arxiv.org/abs/1902.10197>`_ paper, and of AdaMF
    (Eq. 7-8), averaged over the batch:

    .. math::
        \mathcal{L} = - \log \sigma(s^+) - \sum_{i=1}^K p_i \log \sigma(-s^-_i), \qquad p_i =
        \frac{\exp(\beta s^-_i)}{\sum_j \exp(\beta s^-_j)}

    The likeliest negatives count most, as in RotatE and in the released code of AdaMF (Eq. 8 is
    printed with distances in place of scores, which is the reverse). No gradient flows through
    :math:`p_i`.

    Args:
        pos_score (torch.Tensor): The scores of facts, of shape :obj:`[B]`.
        neg_score (torch.Tensor): The scores of their negatives, of shape :obj:`[B, K]`.
        temperature (float, optional): :math:`\beta`; zero weights all alike. (default: :obj:`1.`)
        mask (torch.Tensor, optional): Which negatives count, of shape :obj:`[B, K]`. A fact without
            any gives its first term only. (default: :obj:`None`)

    Returns:
        A scalar, in single precision at least.
    """
    pos_score, neg_score = (x.float() if x.itemsize < 4 else x for x in (pos_score, neg_score))
    weight = temperature * neg_score.detach()
    if mask is not None:
        weight = weight.masked_fill(~mask, -torch.inf)
    # Rows without a negative are all NaN:
    p = weight.softmax(dim=-1).nan_to_num(0.0)
    return (F.softplus(-pos_score) + (p * F.softplus(neg_score)).sum(dim=-1)).mean()


def check_pairs(pairs: Sequence[tuple[str, str]], choices: list[str]) -> None:
    r"""Raises a :class:`ValueError` if a pair is no two of :obj:`choices`."""
    for pair in pairs:
        if len(set(pair)) != 2 or not set(pair) <= set(choices):
            raise ValueError(f"'pairs' need to be two of {choices} each (got {pair})")


def _pairs(
    x_dict: dict[str, Tensor],
    mask_dict: dict[str, Tensor] | None,
    pairs: Sequence[tuple[str, str]] | None,
) -> Iterator[tuple[Tensor, Tensor, Tensor | None]]:
    r"""The unit vectors of each pair of modalities, and which entities have both."""
    if len(x_dict) == 0:
        raise ValueError("A contrastive loss needs the representations of a modality")
    check_pairs(pairs or [], list(x_dict))
    unit = {name: F.normalize(_widen(x), dim=-1) for name, x in x_dict.items()}
    for p, q in combinations(x_dict, 2) if pairs is None else pairs:
        masks = [mask_dict[name] for name in (p, q) if name in mask_dict] if mask_dict else []
        yield unit[p], unit[q], torch.stack(masks).all(dim=0) if masks else None


def _mean(losses: list[Tensor], x_dict: dict[str, Tensor]) -> Tensor:
    return (
        torch.stack(losses).mean() if losses else _widen(next(iter(x_dict.values()))).new_zeros(())
    )


def _widen(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))
