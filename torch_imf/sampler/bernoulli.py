import torch
import torch.nn.functional as F
from torch import Tensor

from torch_imf.data import TripletIndex
from torch_imf.data.index import sort_distinct
from torch_imf.sampler.uniform import UniformSampler


class BernoulliSampler(UniformSampler):
    r"""Corrupts the head of a fact or its tail, whichever is less likely to
    give another fact, as the `"Knowledge Graph Embedding by Translating on
    Hyperplanes" <https://doi.org/10.1609/aaai.v28i1.8870>`_ paper (TransH)
    does to reduce false negatives:

    .. math::
        P(\text{corrupt the head}) = \frac{\mathrm{tph}_r}{\mathrm{tph}_r +
        \mathrm{hpt}_r}, \qquad
        P(\text{corrupt the tail}) = \frac{\mathrm{hpt}_r}{\mathrm{tph}_r +
        \mathrm{hpt}_r}

    with the average number :math:`\mathrm{tph}_r` of tails per head and
    :math:`\mathrm{hpt}_r` of heads per tail among the facts of the index.

    A fact occurs once as :math:`(h, r, t)`, which corrupts its tail, and once
    as :math:`(t, r^{-1}, h)`, which corrupts its head. As they need not be in
    one batch, each entry tosses a coin of its own: it holds a negative of the
    :class:`UniformSampler` with the probability above, and :obj:`-1` otherwise.
    As that of :math:`r^{-1}` is the complement of that of :math:`r`, a fact has
    :math:`K` negatives over both directions on average.

    Args:
        num_nodes (int): The number of entities.
        index (TripletIndex): The training facts in both directions: what
            averages are taken over, and never returned as negatives. A
            relation without facts has the probability :math:`1/2`.
        num_negatives (int, optional): The number :math:`K` of negatives per
            fact over both directions, on average. (default: :obj:`1`)

    Raises:
        ValueError: As :class:`Sampler`, or if there is no index.
    """

    def __init__(self, num_nodes: int, index: TripletIndex, num_negatives: int = 1) -> None:
        super().__init__(num_nodes, index, num_negatives)
        if index is None:
            raise ValueError("BernoulliSampler needs an 'index' of the training facts (got None)")
        self.prob = tail_probability(index)

    def forward(self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor) -> Tensor:
        neg_index = super().forward(head_index, rel_type, tail_index)
        prob = self.prob[rel_type.clamp(max=self.prob.numel() - 1)]
        is_drawn = torch.rand(neg_index.size(), device=neg_index.device) < prob.unsqueeze(1)
        return neg_index.where(is_drawn, -1)


def tail_probability(index: TripletIndex) -> Tensor:
    r"""The probability to corrupt the tail of a fact of each relation, and of
    any relation beyond the index in the last entry, of shape :obj:`[R + 1]`.
    """
    rel_type = index.queries()[1]
    num_heads = torch.bincount(rel_type, minlength=index.num_relations)
    rel_type = rel_type.repeat_interleave(index.ptr.diff()[: rel_type.numel()])
    key = sort_distinct(rel_type.mul_(index.num_nodes).add_(index.tail_index))
    num_tails = torch.bincount(key // index.num_nodes, minlength=index.num_relations)
    # With E facts, tph = E / num_heads and hpt = E / num_tails:
    prob = num_heads / (num_heads + num_tails)
    return F.pad(prob.nan_to_num(0.5), (0, 1), value=0.5)
