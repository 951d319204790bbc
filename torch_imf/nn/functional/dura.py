import torch
from torch import Tensor

from torch_imf.nn.functional.chunk import fact_shares


def dura_loss(
    query: Tensor, key: Tensor, pos_index: Tensor, weight: Tensor | None = None
) -> Tensor:
    r"""The regulariser of the `"Duality-Induced Regularizer for Tensor
    Factorization Based Knowledge Graph Completion"
    <https://arxiv.org/abs/2011.05816>`_ paper (DURA), for any scorer of this
    package: the squared norms of the query and of the key of each fact, here
    averaged over facts as the loss is:

    .. math::
        \mathcal{L}_{DURA} = \frac{1}{\sum_i w_i} \sum_i w_i \Big(
        {\| \mathbf{q}_i \|}^2 + \frac{1}{|\mathcal{P}_i|} \sum_{j \in
        \mathcal{P}_i} {\| \mathbf{k}_j \|}^2 \Big)

    With inverse triples among the facts, this is the paper's form, which
    takes both sides of a fact.

    Args:
        query (torch.Tensor): See :meth:`linear_ce_loss`.
        key (torch.Tensor): See :meth:`linear_ce_loss`.
        pos_index (torch.Tensor): See :meth:`linear_ce_loss`.
        weight (torch.Tensor, optional): See :meth:`linear_ce_loss`.

    Returns:
        A scalar, at least zero. A query without positives adds nothing.
    """
    dtype = torch.promote_types(query.dtype, torch.float32)
    row, col = pos_index
    share, fact = fact_shares(pos_index, query.size(0), weight, dtype)
    share_key = fact.new_zeros(key.size(0)).index_add_(0, col, fact[row])
    with torch.autocast(query.device.type, enabled=False):
        out = (query.to(dtype).square().sum(dim=-1) * share).sum()
        return out + (key.to(dtype).square().sum(dim=-1) * share_key).sum()
