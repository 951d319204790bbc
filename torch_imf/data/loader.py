from collections.abc import Iterator

import torch
from torch import Tensor

from torch_imf.data.index import TripletIndex


class QueryLoader:
    r"""A mini-batch loader for 1-N training: each batch holds distinct queries
    :math:`(h, r)` and all of their training tails.

    It yields tuples :obj:`(head_index, rel_type, pos_index)` of shapes
    :obj:`[B]`, :obj:`[B]` and :obj:`[2, P]` (row: position in the batch,
    column: tail), on the device of the triples. Order comes from PyTorch's
    global random state.

    Args:
        head_index, rel_type, tail_index (torch.Tensor): The triples, of shape
            :obj:`[E]` each.
        batch_size (int, optional): Number of queries per batch.
            (default: :obj:`1024`)
        shuffle (bool, optional): If set to :obj:`True`, visits the queries in
            a new random order each epoch. (default: :obj:`False`)
        drop_last (bool, optional): If set to :obj:`True`, drops the last
            incomplete batch. (default: :obj:`False`)

    Raises:
        ValueError: If there are no triples, :obj:`batch_size` is below one, or
            :obj:`drop_last` leaves no batch.
    """

    def __init__(
        self,
        head_index: Tensor,
        rel_type: Tensor,
        tail_index: Tensor,
        batch_size: int = 1024,
        shuffle: bool = False,
        drop_last: bool = False,
    ) -> None:
        self.index = TripletIndex(head_index, rel_type, tail_index)
        if len(self.index) == 0:
            raise ValueError("Cannot load batches from an empty set of triples")
        if batch_size < 1:
            raise ValueError(f"'batch_size' needs to be positive (got {batch_size})")
        self.num_queries = self.index.key.numel()
        self.batch_size = batch_size
        self.shuffle = shuffle
        self.drop_last = drop_last
        if len(self) == 0:
            raise ValueError(
                f"'drop_last' leaves no batch: there are {self.num_queries} queries for a "
                f"'batch_size' of {batch_size}"
            )

    def __len__(self) -> int:
        partial = 0 if self.drop_last else self.batch_size - 1
        return (self.num_queries + partial) // self.batch_size

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        perm = torch.randperm(self.num_queries) if self.shuffle else torch.arange(self.num_queries)
        for pos in perm.to(self.index.key.device).split(self.batch_size)[: len(self)]:
            yield *self.index.queries(pos), self.index.tails(pos)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.index}, batch_size={self.batch_size})"
