import torch
import torch.nn.functional as F
from torch import Tensor

from torch_imf.data import TripletIndex
from torch_imf.data.index import sort_distinct
from torch_imf.sampler.base import Sampler, check_batch


class UniformSampler(Sampler):
    r"""Corrupts the tail of each fact into entities drawn with equal probability, as in Eq. (2) of
    the `"IMF: Interactive Multimodal Fusion Model for Link Prediction"
    <https://arxiv.org/abs/2303.10816>`_ paper, but never into a known answer:

    .. math::
        t^{\prime} \in \mathcal{E} \setminus \left( \{ t \} \cup \{ t^{\star} :
        (h, r, t^{\star}) \in \mathcal{T} \} \right)

    They are drawn with replacement: with :math:`m` known answers, one of the :math:`|\mathcal{E}| -
    m` ranks among all others is drawn and looked up. The arguments are those of :class:`Sampler`.
    """

    def __init__(
        self, num_nodes: int, index: TripletIndex | None = None, num_negatives: int = 1
    ) -> None:
        super().__init__(num_nodes, index, num_negatives)
        if index is not None:
            # For each known fact, the rank of the next entity that is no known tail of its query:
            self.count = index.ptr.diff()
            row = torch.arange(self.count.numel(), device=self.count.device)
            row = row.repeat_interleave(self.count)
            # In place, as there may be many facts: row * num_nodes + tail_index - offset
            self.rank_key = index.ptr[row].sub_(torch.arange(len(index), device=row.device))
            self.rank_key.add_(index.tail_index).add_(row, alpha=num_nodes)

    def forward(self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor) -> Tensor:
        check_batch(head_index, rel_type, tail_index)
        tail = tail_index.unsqueeze(1)
        # Many more values than there are entities, so that the remainder is as good as uniform:
        draw = torch.randint(2**62, (tail.size(0), self.num_negatives), device=tail.device)
        if self.index is None:
            other = draw % (self.num_nodes - 1)
            return other + (other >= tail)

        pos, found = self.index.find(head_index, rel_type)
        is_known = self.index.contains(head_index, rel_type, tail_index)
        num_unknown = self.num_nodes - self.count[pos] * found
        # A tail that is no known fact gives its place to the last unknown entity:
        high = (num_unknown - ~is_known * 1).unsqueeze(1)
        neg_index = self._unknown(draw % high.clamp(min=1), pos, found)
        neg_index = neg_index.where(neg_index != tail, self._unknown(high, pos, found))
        return neg_index.where(high > 0, -1)

    def _unknown(self, rank: Tensor, pos: Tensor, found: Tensor) -> Tensor:
        # The unknown tail of each query that has so many others below it.
        pos = pos.unsqueeze(1)
        below = torch.searchsorted(self.rank_key, pos * self.num_nodes + rank, right=True)
        return rank + (below - self.index.ptr[pos]) * found.unsqueeze(1)  # type: ignore[union-attr]


class BernoulliSampler(UniformSampler):
    r"""Corrupts the head of a fact or its tail, whichever is less likely to give another fact, as
    the `"Knowledge Graph Embedding by Translating on Hyperplanes"
    <https://doi.org/10.1609/aaai.v28i1.8870>`_ paper (TransH) does to reduce false negatives:

    .. math::
        P(\text{corrupt the tail}) = \frac{\mathrm{hpt}_r}{\mathrm{tph}_r + \mathrm{hpt}_r}

    with the average number :math:`\mathrm{tph}_r` of tails per head and :math:`\mathrm{hpt}_r` of
    heads per tail among the facts of the index.

    Each direction of a fact tosses its own coins: an entry holds a negative of the
    :class:`UniformSampler` with the probability above (:math:`1/2` for a relation without facts),
    and :obj:`-1` otherwise, so that a fact has :math:`K` over both directions on average. The
    arguments are those of :class:`Sampler`, with an index.
    """

    def __init__(self, num_nodes: int, index: TripletIndex, num_negatives: int = 1) -> None:
        super().__init__(num_nodes, index, num_negatives)
        self.prob = tail_probability(index)

    def forward(self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor) -> Tensor:
        neg_index = super().forward(head_index, rel_type, tail_index)
        prob = self.prob[rel_type.clamp(max=self.prob.numel() - 1)]
        is_drawn = torch.rand(neg_index.size(), device=neg_index.device) < prob.unsqueeze(1)
        return neg_index.where(is_drawn, -1)


class SharedSampler(Sampler):
    r"""Corrupts the tails of a whole chunk of facts into the same entities, as in the
    `"PyTorch-BigGraph: A Large-scale Graph Embedding System" <https://arxiv.org/abs/1903.12287>`_
    and `"DGL-KE: Training Knowledge Graph Embeddings at Scale" <https://arxiv.org/abs/2004.08532>`_
    papers: a chunk of :math:`C` facts needs :math:`K` keys rather than :math:`C \cdot K`, and its
    scores are one matrix product. Negatives are drawn with replacement from all entities; the tail
    and known answers of a fact are masked (:obj:`-1`), which leaves it fewer than :math:`K`.

    Args:
        num_nodes, index, num_negatives: See :class:`Sampler`.
        chunk_size (int, optional): The number :math:`C` of facts that share their negatives.
            (default: :obj:`128`)
    """

    def __init__(
        self,
        num_nodes: int,
        index: TripletIndex | None = None,
        num_negatives: int = 1,
        chunk_size: int = 128,
    ) -> None:
        super().__init__(num_nodes, index, num_negatives)
        self.chunk_size = chunk_size

    def forward(self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor) -> Tensor:
        return self.part(slice(None), head_index, rel_type, tail_index)

    def part(self, part: slice, head_index: Tensor, rel_type: Tensor, tail_index: Tensor) -> Tensor:
        check_batch(head_index, rel_type, tail_index)
        chunk = torch.arange(tail_index.numel(), device=tail_index.device)[part] // self.chunk_size
        size = -(-tail_index.numel() // self.chunk_size), self.num_negatives
        neg_index = torch.randint(self.num_nodes, size, device=tail_index.device)[chunk]
        head_index, rel_type, tail_index = head_index[part], rel_type[part], tail_index[part]
        mask = neg_index == tail_index.unsqueeze(1)
        if self.index is not None:
            mask |= self.index.contains(head_index.unsqueeze(1), rel_type.unsqueeze(1), neg_index)
        return neg_index.masked_fill(mask, -1)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, chunk_size={self.chunk_size}"


def tail_probability(index: TripletIndex) -> Tensor:
    r"""The probability to corrupt the tail under each relation, and any other, :obj:`[R + 1]`."""
    rel_type = index.queries()[1]
    num_heads = torch.bincount(rel_type, minlength=index.num_relations)
    rel_type = rel_type.repeat_interleave(index.ptr.diff()[: rel_type.numel()])
    key = sort_distinct(rel_type.mul_(index.num_nodes).add_(index.tail_index))
    num_tails = torch.bincount(key // index.num_nodes, minlength=index.num_relations)
    # With E facts, tph = E / num_heads and hpt = E / num_tails:
    prob = num_heads / (num_heads + num_tails)
    return F.pad(prob.nan_to_num(0.5), (0, 1), value=0.5)
