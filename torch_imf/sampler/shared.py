import torch
from torch import Tensor

from torch_imf.data import TripletIndex
from torch_imf.sampler.base import Sampler, check_batch


class SharedSampler(Sampler):
    r"""Corrupts the tails of a whole chunk of facts into the same entities,
    as in the `"PyTorch-BigGraph: A Large-scale Graph Embedding System"
    <https://arxiv.org/abs/1903.12287>`_ and `"DGL-KE: Training Knowledge Graph
    Embeddings at Scale" <https://arxiv.org/abs/2004.08532>`_ papers:

    .. math::
        t^{\prime}_{c, 1}, \ldots, t^{\prime}_{c, K} \sim
        \mathcal{U}(\mathcal{E}) \qquad \text{for each chunk } c = \lfloor i /
        C \rfloor \text{ of } C \text{ facts}

    A chunk needs :math:`K` keys rather than :math:`C \cdot K`, and its scores
    are one matrix product of :math:`C` queries and :math:`K` keys. A shared
    entity that is the tail of some fact, or another known answer, can only be
    masked for that fact: :meth:`chunk` tells where, and :obj:`neg_index` is
    :obj:`-1` there.

    Negatives are drawn with replacement from all entities. A fact has fewer
    than :math:`K` of them where some are masked, down to none if all are known
    answers.

    Args:
        num_nodes, index, num_negatives: See :class:`Sampler`.
        chunk_size (int, optional): The number :math:`C` of facts that share
            their negatives. (default: :obj:`128`)

    Raises:
        ValueError: As :class:`Sampler`, or if :obj:`chunk_size` is not positive.
    """

    def __init__(
        self,
        num_nodes: int,
        index: TripletIndex | None = None,
        num_negatives: int = 1,
        chunk_size: int = 128,
    ) -> None:
        super().__init__(num_nodes, index, num_negatives)
        if chunk_size < 1:
            raise ValueError(f"'chunk_size' needs to be positive (got {chunk_size})")
        self.chunk_size = chunk_size

    def forward(self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor) -> Tensor:
        neg_index, mask = self.chunk(head_index, rel_type, tail_index)
        return self._expand(neg_index, mask.size(0)).masked_fill(mask, -1)

    def chunk(
        self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor
    ) -> tuple[Tensor, Tensor]:
        r"""Draws the negatives of each chunk, of shape
        :obj:`[ceil(B / C), K]`, and tells which of them are no negatives of
        each fact, of shape :obj:`[B, K]`.
        """
        check_batch(head_index, rel_type, tail_index)
        num_chunks = -(-tail_index.numel() // self.chunk_size)
        size = (num_chunks, self.num_negatives)
        neg_index = torch.randint(self.num_nodes, size, device=tail_index.device)
        key_index = self._expand(neg_index, tail_index.numel())
        mask = key_index == tail_index.unsqueeze(1)
        if self.index is not None:
            query = head_index.unsqueeze(1), rel_type.unsqueeze(1)
            mask = mask | self.index.contains(*query, key_index)
        return neg_index, mask

    def _expand(self, neg_index: Tensor, size: int) -> Tensor:
        # From one row per chunk to one per fact.
        return neg_index[torch.arange(size, device=neg_index.device) // self.chunk_size]

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, chunk_size={self.chunk_size}"
