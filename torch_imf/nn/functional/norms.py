import torch
import torch.nn.functional as F
from torch import Tensor


def n3_loss(
    entity: Tensor,
    rel: Tensor,
    head_index: Tensor,
    rel_type: Tensor,
    tail_index: Tensor,
    num_parts: int = 1,
) -> Tensor:
    r"""The regulariser of the `"Canonical Tensor Decomposition for Knowledge Base Completion"
    <https://arxiv.org/abs/1806.07297>`_ paper (N3): the cubes of the moduli of head, relation and
    tail of each fact, averaged over facts:

    .. code-block:: python

        def cubes(x):
            return x.unflatten(-1, (num_parts, -1)).norm(dim=-2).pow(3).sum(dim=-1)

        (cubes(entity[head_index]) + cubes(rel[rel_type]) + cubes(entity[tail_index])).mean()

    It visits each entity and relation once, however many facts it has, in single precision at
    least.

    Args:
        entity (torch.Tensor): The embeddings of entities, of shape :obj:`[N, C]`.
        rel (torch.Tensor): The embeddings of relations, of shape :obj:`[R, C_r]`.
        head_index (torch.Tensor): The heads of facts, of shape :obj:`[P]`.
        rel_type (torch.Tensor): Their relations, of shape :obj:`[P]`.
        tail_index (torch.Tensor): Their tails, of shape :obj:`[P]`.
        num_parts (int, optional): How many numbers make one modulus, *e.g.*, two if embeddings hold
            the real parts, then the imaginary ones. (default: :obj:`1`)

    Returns:
        A scalar in :obj:`float32` (:obj:`float64` for such inputs), zero without facts.
    """
    return _mean_powers(3, entity, rel, head_index, rel_type, tail_index, num_parts)


def l2_loss(
    entity: Tensor, rel: Tensor, head_index: Tensor, rel_type: Tensor, tail_index: Tensor
) -> Tensor:
    r"""The squared norms of head, relation and tail of each fact, averaged over facts. The
    arguments are those of :meth:`n3_loss`.
    """
    return _mean_powers(2, entity, rel, head_index, rel_type, tail_index)


def _mean_powers(
    power: int,
    entity: Tensor,
    rel: Tensor,
    head_index: Tensor,
    rel_type: Tensor,
    tail_index: Tensor,
    num_parts: int = 1,
) -> Tensor:
    total: list[Tensor] = []
    with torch.autocast(entity.device.type, enabled=False):
        for x, index in ((entity, torch.cat([head_index, tail_index])), (rel, rel_type)):
            index, count = index.unique(return_counts=True)
            x = F.embedding(index, x).to(torch.promote_types(x.dtype, torch.float32))
            # Powers of squares have a gradient where all parts are zero, which a norm has not:
            square = x.square().unflatten(-1, (num_parts, -1)).sum(dim=-2)
            total.append((square.pow(power / 2).sum(dim=-1) * count).sum())
    return (total[0] + total[1]) / max(head_index.numel(), 1)
