from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from torch_imf.data.index import TripletIndex, check_triples


class QueryLoader:
    r"""A mini-batch loader for 1-N training: each batch holds distinct queries
    :math:`(h, r)` and all of their training tails.

    It yields :obj:`(head_index, rel_type, pos_index)` of shapes :obj:`[B]`,
    :obj:`[B]` and :obj:`[2, P]` (row: position in the batch, column: tail), on
    the device of the triples, in an order by PyTorch's global random state.

    Args:
        head_index, rel_type, tail_index (torch.Tensor): The triples, of shape
            :obj:`[E]` each.
        batch_size (int, optional): Queries per batch. (default: :obj:`1024`)
        shuffle (bool, optional): Whether each epoch has a new random order.
            (default: :obj:`False`)
        drop_last (bool, optional): Whether to drop a last, smaller batch.
            (default: :obj:`False`)

    Raises:
        ValueError: If there is nothing to load.
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


class NegativeLoader:
    r"""A mini-batch loader for training with negatives: each batch holds facts
    and what a sampler corrupts their tails into.

    It yields :obj:`(head_index, rel_type, tail_index, neg_index)` of shapes
    :obj:`[B]`, :obj:`[B]`, :obj:`[B]` and :obj:`[B, K]`, where an entry of
    :obj:`-1` is no negative, on the device of the facts. Order and negatives
    come from PyTorch's global random state alone.

    Args:
        head_index, rel_type, tail_index (torch.Tensor): The facts, of shape
            :obj:`[E]` each; with inverse triples, heads are corrupted as well.
        sampler (Callable): What draws the negatives of a batch, such as a
            :class:`~torch_imf.sampler.Sampler`.
        batch_size (int, optional): Facts per batch. (default: :obj:`1024`)
        shuffle (bool, optional): Whether each epoch has a new random order.
            (default: :obj:`False`)

    Raises:
        ValueError: If there is nothing to load, or an id is out of range.
    """

    def __init__(
        self,
        head_index: Tensor,
        rel_type: Tensor,
        tail_index: Tensor,
        sampler: Callable[[Tensor, Tensor, Tensor], Tensor],
        batch_size: int = 1024,
        shuffle: bool = False,
    ) -> None:
        num_nodes: int | None = getattr(sampler, "num_nodes", None)
        check_triples(head_index, rel_type, tail_index, num_nodes)
        if head_index.numel() == 0:
            raise ValueError("Cannot load batches from an empty set of triples")
        if batch_size < 1:
            raise ValueError(f"'batch_size' needs to be positive (got {batch_size})")
        self.head_index = head_index
        self.rel_type = rel_type
        self.tail_index = tail_index
        self.sampler = sampler
        self.batch_size = batch_size
        self.shuffle = shuffle

    def __len__(self) -> int:
        return -(-self.tail_index.numel() // self.batch_size)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        num_facts, device = self.tail_index.numel(), self.tail_index.device
        perm = torch.randperm(num_facts) if self.shuffle else torch.arange(num_facts)
        for i in perm.to(device).split(self.batch_size):
            fact = self.head_index[i], self.rel_type[i], self.tail_index[i]
            yield *fact, self.sampler(*fact)

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.tail_index.numel()}, sampler={self.sampler}, "
            f"batch_size={self.batch_size})"
        )
