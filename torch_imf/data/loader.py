from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from torch_imf.data.distributed import share
from torch_imf.data.index import TripletIndex, check_range, check_triples


class _Loader:
    def __init__(self, size: int, batch_size: int, shuffle: bool) -> None:
        if size == 0:
            raise ValueError("Cannot load batches from an empty set of triples")
        if batch_size < 1:
            raise ValueError(f"'batch_size' needs to be positive (got {batch_size})")
        self.size, self.batch_size, self.shuffle = size, batch_size, shuffle

    def __len__(self) -> int:
        return -(-self.size // self.batch_size)

    def _positions(self, device: torch.device) -> tuple[Tensor, ...]:
        # Those of each batch, in order or by PyTorch's global random state.
        perm = torch.randperm(self.size) if self.shuffle else torch.arange(self.size)
        return perm.to(device).split(self.batch_size)


class QueryLoader(_Loader):
    r"""A mini-batch loader for 1-N training: each batch holds distinct queries :math:`(h, r)` and
    all of their training tails.

    It yields :obj:`(head_index, rel_type, pos_index)` of shapes :obj:`[B]`, :obj:`[B]` and
    :obj:`[2, P]` (row: position in the batch, column: tail), on the device of the triples, in an
    order by PyTorch's global random state.

    Args:
        head_index, rel_type, tail_index (torch.Tensor): The triples, of shape :obj:`[E]` each.
        batch_size (int, optional): Queries per batch. (default: :obj:`1024`)
        shuffle (bool, optional): Whether each epoch has a new random order. (default: :obj:`False`)

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
    ) -> None:
        self.index = TripletIndex(head_index, rel_type, tail_index)
        super().__init__(self.index.key.numel(), batch_size, shuffle)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        for pos in self._positions(self.index.key.device):
            pos = pos[share(pos)]
            yield *self.index.queries(pos), self.index.tails(pos)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.index}, batch_size={self.batch_size})"


class NegativeLoader(_Loader):
    r"""A mini-batch loader for training with negatives: each batch holds facts and what a sampler
    corrupts their tails into.

    It yields :obj:`(head_index, rel_type, tail_index, neg_index)` of shapes :obj:`[B]`, :obj:`[B]`,
    :obj:`[B]` and :obj:`[B, K]`, where an entry of :obj:`-1` is no negative, on the device of the
    facts. Order and negatives come from PyTorch's global random state alone.

    Args:
        head_index, rel_type, tail_index (torch.Tensor): The facts, of shape :obj:`[E]` each; with
            inverse triples, heads are corrupted as well.
        sampler (Callable): What draws the negatives of a batch, such as a
            :class:`~torch_imf.sampler.Sampler`.
        batch_size, shuffle: As :class:`QueryLoader`, for facts.

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
        check_triples(head_index, rel_type, tail_index, getattr(sampler, "num_nodes", None))
        super().__init__(head_index.numel(), batch_size, shuffle)
        self.facts = head_index, rel_type, tail_index
        self.sampler = sampler

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor, Tensor]]:
        head_index, rel_type, tail_index = self.facts
        num_nodes = getattr(self.sampler, "num_nodes", None)
        for pos in self._positions(head_index.device):
            fact = head_index[pos], rel_type[pos], tail_index[pos]
            part = share(pos, getattr(self.sampler, "chunk_size", 1))
            # Drawn for the whole batch, so that it is the same for any number of processes:
            draw = getattr(self.sampler, "part", None)
            neg_index = draw(part, *fact) if draw else self.sampler(*fact)[part]
            head, rel, tail = (x[part] for x in fact)
            if neg_index.dim() != 2 or neg_index.size(0) != head.numel():
                got = list(neg_index.size())
                raise ValueError(f"The sampler needs to yield negatives [B, K] (got shape {got})")
            check_range("neg_index", neg_index + 1, None if num_nodes is None else num_nodes + 1)
            yield head, rel, tail, neg_index

    def __repr__(self) -> str:
        name = self.__class__.__name__
        return f"{name}({self.size}, sampler={self.sampler}, batch_size={self.batch_size})"
