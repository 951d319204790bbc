import torch
from torch import Tensor

from torch_imf.data import TripletIndex
from torch_imf.sampler.base import Sampler, check_batch


class UniformSampler(Sampler):
    r"""Corrupts the tail of each fact into entities drawn with equal
    probability, as in Eq. (2) of the `"IMF: Interactive Multimodal Fusion
    Model for Link Prediction" <https://arxiv.org/abs/2303.10816>`_ paper, but
    never into a known answer:

    .. math::
        t^{\prime} \in \mathcal{E} \setminus \left( \{ t \} \cup \{ t^{\star} :
        (h, r, t^{\star}) \in \mathcal{T} \} \right)

    They are drawn with replacement. Nothing is drawn twice to get there: with
    :math:`m` known answers, one of the :math:`|\mathcal{E}| - m` ranks among
    all other entities is drawn and then looked up, whatever :math:`m` is. Where
    every other entity is a known answer, there is no negative.

    The arguments are those of :class:`Sampler`.
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
