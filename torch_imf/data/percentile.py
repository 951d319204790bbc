import torch
import torch.nn.functional as F
from torch import Tensor

from torch_imf.data.graph import check_features
from torch_imf.data.index import check_triples


def mean_rank_percentile(
    head_index: Tensor,
    rel_type: Tensor,
    tail_index: Tensor,
    x: Tensor,
    mask: Tensor,
    num_relations: int,
    batch_size: int = 1024,
) -> Tensor:
    r"""Computes how well features tell the tails of each relation: the mean
    rank percentile (MRP) of the `"Is Visual Context Really Helpful for
    Knowledge Graph? A Representation Learning Perspective"
    <https://dl.acm.org/doi/10.1145/3474085.3475470>`_ paper.

    For each fact, the tails of all given facts are ranked by the cosine of
    their (centred) features with those of the head, and the rank of the true
    tail is divided by their number; ties share their mean rank. The closer to
    zero, the more the features help; chance is about one half. A head that is
    also a tail is a candidate itself, and the closest of all.

    Args:
        head_index (torch.Tensor): The head indices, of shape :obj:`[E]`.
            Training facts only, if a model is to be judged by others.
        rel_type (torch.Tensor): The relation types, of shape :obj:`[E]`.
        tail_index (torch.Tensor): The tail indices, of shape :obj:`[E]`.
        x (torch.Tensor): The features of a modality, of shape :obj:`[N, D]`.
        mask (torch.Tensor): Which entities have it, of shape :obj:`[N]`.
        num_relations (int): The number of relations.
        batch_size (int, optional): The number of facts to rank at once.
            (default: :obj:`1024`)

    Returns:
        The percentiles, averaged over the facts of each relation whose
        entities both have the modality, of shape :obj:`[R]`; one for a
        relation without such facts.

    Raises:
        ValueError: If an id is out of range, or features are not sound.
    """
    check_triples(head_index, rel_type, tail_index, x.size(0), num_relations)
    check_features({"x": x}, {"x": mask}, x.size(0))
    keep = mask[head_index] & mask[tail_index]
    head_index, perm = head_index[keep].sort()
    rel_type, tail_index = rel_type[keep][perm], tail_index[keep][perm]
    total, count = x.new_zeros(2, num_relations, dtype=torch.double)
    if head_index.numel() == 0:
        return torch.ones_like(total, dtype=torch.float)

    x = F.normalize(x.float() - x[mask].float().mean(dim=0), dim=-1)
    candidates, target = tail_index.unique(return_inverse=True)
    key = x[candidates].t()
    for head, rel, tail in zip(
        *(index.split(batch_size) for index in (head_index, rel_type, target)), strict=True
    ):
        head, row = head.unique(return_inverse=True)  # Few, as facts are sorted by head.
        score = (x[head] @ key)[row]  # [B, M]
        true = score.gather(1, tail.unsqueeze(1))
        rank = 0.5 + (score > true).sum(dim=1) + (score == true).sum(dim=1) / 2
        total.index_add_(0, rel, rank.double() / candidates.numel())
        count.index_add_(0, rel, torch.ones_like(rank, dtype=torch.double))
    return (total / count.clamp(min=1)).where(count > 0, 1.0).float()
