import torch
import torch.nn.functional as F
from torch import Tensor
from torch_geometric.data import Data


class TripletIndex:
    r"""An index over triples that answers, for a batch of queries :math:`(h, r)`, which tails are
    known. Triples are sorted once; every look-up is a :func:`torch.searchsorted`, on the device of
    the triples.

    .. code-block:: python

        index = TripletIndex(head_index, rel_type, tail_index)
        row, col = index(head_index[:2], rel_type[:2])
        score[row, col] = -math.inf

    Args:
        head_index, rel_type, tail_index (torch.Tensor): The triples, of shape :obj:`[E]` each.

    Raises:
        ValueError: If the tensors are not integer vectors of one length, or hold an id that is
            negative or too large.
    """

    def __init__(self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor) -> None:
        check_triples(head_index, rel_type, tail_index)
        self.num_relations, self.num_nodes = (
            (int(rel_type.max()) + 1, max(int(head_index.max()), int(tail_index.max())) + 1)
            if head_index.numel() > 0
            else (1, 1)
        )
        check_key(self.num_nodes, self.num_relations)
        query = head_index.long() * self.num_relations + rel_type
        # Triples are told apart, and ordered, by one number: the tail and the number of the query
        # or, on the largest graphs, where this would overflow 64 bits, its position among queries.
        size = self.num_nodes * self.num_relations * self.num_nodes
        self.is_composed = size <= torch.iinfo(torch.long).max
        if not self.is_composed:
            self.key, query = query.unique(return_inverse=True)
            check_key(self.num_nodes, self.key.numel())
        self.triple_key = sort_distinct(query.mul_(self.num_nodes).add_(tail_index))
        tail_index = self.triple_key % self.num_nodes
        self.tail_index = tail_index.int() if self.num_nodes < 2**31 else tail_index
        query, count = (self.triple_key // self.num_nodes).unique_consecutive(return_counts=True)
        if self.is_composed:
            self.key = query
        # One range even if there is no query, so that look-ups need no special case:
        self.ptr = F.pad(count.cumsum(0), (1, int(count.numel() == 0)))

    @classmethod
    def from_data(cls, data: Data, mask: Tensor | None = None) -> "TripletIndex":
        r"""Indexes the facts of a graph (or those in a :obj:`mask` over edges) in both directions,
        whether or not it holds inverse triples.
        """
        base = data.edge_type < data.num_relations
        base = base if mask is None else base & mask
        (head_index, tail_index), rel_type = data.edge_index[:, base], data.edge_type[base]
        return cls(*both_sides(head_index, rel_type, tail_index, data.num_relations))

    def queries(self, pos: Tensor | None = None) -> tuple[Tensor, Tensor]:
        r"""The distinct queries :obj:`(head_index, rel_type)`, sorted, or some of them."""
        key = self.key if pos is None else self.key[pos]
        return key // self.num_relations, key % self.num_relations

    def facts(self) -> Tensor:
        r"""The distinct triples in ascending order, of shape :obj:`[3, F]`."""
        if len(self) == 0:
            return self.key.new_empty(3, 0)
        row = torch.arange(self.key.numel(), device=self.key.device)
        head_index, rel_type = self.queries(row.repeat_interleave(self.ptr.diff()))
        return torch.stack([head_index, rel_type, self.tail_index.long()])

    def __len__(self) -> int:
        return self.tail_index.numel()

    def __call__(self, head_index: Tensor, rel_type: Tensor) -> Tensor:
        r"""Returns the known tails of each query as :obj:`pos_index`, of shape :obj:`[2, P]`: row
        is the position in the batch, column the entity. Rows ascend; an unknown query has no entry.
        """
        return self.tails(*self.find(head_index, rel_type))

    def tails(self, pos: Tensor, found: Tensor | None = None) -> Tensor:
        r"""As a call, for queries at some positions of :meth:`queries`, without those that are not
        :obj:`found`.
        """
        row, slot = spread(self.ptr[pos], self.count(pos, found))
        return torch.stack([row, self.tail_index[slot].long()])

    def count(self, pos: Tensor, found: Tensor | None = None) -> Tensor:
        r"""Counts the known tails of queries, given as in :meth:`tails`."""
        count = self.ptr[pos + 1] - self.ptr[pos]
        return count if found is None else count * found

    def contains(self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor) -> Tensor:
        r"""Tells which triples are known. The arguments broadcast."""
        if len(self) == 0:
            return torch.zeros_like(head_index + rel_type + tail_index, dtype=torch.bool)
        # Where keys are composed, queries need not be found first:
        number = self._number if self.is_composed else self.find
        query, found = number(head_index, rel_type)
        found = found & (tail_index >= 0) & (tail_index < self.num_nodes)
        key = query * self.num_nodes + tail_index
        slot = torch.searchsorted(self.triple_key, key).clamp_(max=len(self) - 1)
        return found & (self.triple_key[slot] == key)

    def find(self, head_index: Tensor, rel_type: Tensor) -> tuple[Tensor, Tensor]:
        r"""Returns the position of each query among :meth:`queries`, and whether it is there at
        all. The arguments broadcast.
        """
        if len(self) == 0:
            zero = torch.zeros_like(head_index + rel_type, dtype=torch.long)
            return zero, zero.bool()
        key, found = self._number(head_index, rel_type)
        pos = torch.searchsorted(self.key, key).clamp_(max=self.key.numel() - 1)
        return pos, found & (self.key[pos] == key)

    def _number(self, head_index: Tensor, rel_type: Tensor) -> tuple[Tensor, Tensor]:
        # One number per query, and whether it is its own: ids beyond the index would alias others.
        found = (rel_type >= 0) & (rel_type < self.num_relations)
        found = found & (head_index >= 0) & (head_index < self.num_nodes)
        return head_index.long() * self.num_relations + rel_type, found

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({len(self)}, num_queries={self.key.numel()})"


def distinct_facts(
    edge_index: Tensor, edge_type: Tensor, num_nodes: int, num_relations: int
) -> tuple[Tensor, Tensor]:
    r"""Returns the distinct facts in ascending order, of shape :obj:`[3, F]`, and which of them
    each row holds, of shape :obj:`[E]`.
    """
    # By two keys, as one of all three would overflow 64 bits on the largest graphs:
    query, index = (edge_index[0].long() * num_relations + edge_type).unique(return_inverse=True)
    key, index = index.mul_(num_nodes).add_(edge_index[1]).unique(return_inverse=True)
    query, tail_index = query[key // num_nodes], key % num_nodes
    return torch.stack([query // num_relations, query % num_relations, tail_index]), index


def spread(start: Tensor, count: Tensor) -> tuple[Tensor, Tensor]:
    r"""Spreads out ranges of so many numbers each: which range a number is of, and the number."""
    row = torch.arange(count.numel(), device=count.device).repeat_interleave(count)
    offset = (start - count.cumsum(0) + count)[row]
    return row, offset + torch.arange(row.numel(), device=count.device)


def mark(index: Tensor, size: int) -> Tensor:
    r"""Returns a mask of shape :obj:`[size]` that is true at some positions."""
    mask = torch.zeros(size, dtype=torch.bool, device=index.device)
    mask[index] = True
    return mask


def check_key(num_nodes: int, size: int) -> None:
    r"""Raises if pairs of an entity and something else do not fit 64 bits."""
    if num_nodes * size > torch.iinfo(torch.long).max:
        raise ValueError(
            f"The ids of entities are too large (got a largest one of {num_nodes - 1}). Number "
            f"entities and relations from 0 on"
        )


def sort_distinct(key: Tensor) -> Tensor:
    r"""Returns the distinct values of a vector, which it may sort, in order."""
    if key.device.type == "cpu":
        key.numpy().sort()  # In place: that of PyTorch takes seven times the memory.
    else:
        key = key.sort()[0]
    return key.unique_consecutive() if bool((key[1:] == key[:-1]).any()) else key


def both_sides(
    head_index: Tensor, rel_type: Tensor, tail_index: Tensor, num_relations: int
) -> tuple[Tensor, Tensor, Tensor]:
    r"""Returns the given triples, then their inverses, of shape :obj:`[2 E]`."""
    return (
        torch.cat([head_index, tail_index]),
        torch.cat([rel_type, rel_type + num_relations]),
        torch.cat([tail_index, head_index]),
    )


def check_triples(
    head_index: Tensor,
    rel_type: Tensor,
    tail_index: Tensor,
    num_nodes: int | None = None,
    num_relations: int | None = None,
) -> None:
    r"""Raises a :class:`ValueError` if triples are of a wrong shape or type, or an id is outside of
    :obj:`[0, num)`.
    """
    triples = {"head_index": head_index, "rel_type": rel_type, "tail_index": tail_index}
    for name, index in triples.items():
        if index.dim() != 1 or index.is_floating_point() or index.dtype == torch.bool:
            raise ValueError(
                f"'{name}' needs to be a one-dimensional integer tensor "
                f"(got shape {list(index.size())} of {index.dtype})"
            )
        if index.numel() != head_index.numel():
            sizes = [x.numel() for x in triples.values()]
            raise ValueError(f"{list(triples)} need to have the same length (got {sizes})")
        check_range(name, index, num_relations if name == "rel_type" else num_nodes)


def check_range(name: str, index: Tensor, size: int | None) -> None:
    r"""Raises a :class:`ValueError` if an id is not in :obj:`[0, size)`."""
    low, high = (int(x) for x in index.aminmax()) if index.numel() > 0 else (0, -1)
    if low < 0 or (size is not None and high >= size):
        end = "inf" if size is None else size
        raise ValueError(f"'{name}' holds ids outside [0, {end}) (got a range of [{low}, {high}])")
