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
        self.tail_index = self.triple_key % self.num_nodes
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
        start = self.ptr[pos]
        count = self.ptr[pos + 1] - start
        count = count if found is None else count * found
        end = count.cumsum(0)
        row = torch.arange(pos.numel(), device=pos.device).repeat_interleave(count)
        offset = (start - end + count)[row]
        return torch.stack(
            [row, self.tail_index[offset + torch.arange(row.numel(), device=pos.device)]]
        )

    def contains(self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor) -> Tensor:
        r"""Tells which triples are known. The arguments broadcast."""
        if len(self) == 0:
            size = torch.broadcast_shapes(head_index.size(), rel_type.size(), tail_index.size())
            return torch.zeros(size, dtype=torch.bool, device=tail_index.device)
        if self.is_composed:  # Queries need not be found first.
            query = head_index.long() * self.num_relations + rel_type
            # An id beyond the index would alias another triple:
            found = (rel_type >= 0) & (rel_type < self.num_relations)
            found = found & (head_index >= 0) & (head_index < self.num_nodes)
        else:
            query, found = self.find(head_index, rel_type)
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
        key = head_index.long() * self.num_relations + rel_type
        pos = torch.searchsorted(self.key, key).clamp_(max=self.key.numel() - 1)
        # A relation beyond the index would alias the next head's first one, and a head far beyond
        # it any other:
        found = (self.key[pos] == key) & (rel_type >= 0) & (rel_type < self.num_relations)
        return pos, found & (head_index >= 0) & (head_index < self.num_nodes)

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
    sizes = [index.numel() for index in triples.values()]
    if len(set(sizes)) > 1:
        raise ValueError(
            f"'head_index', 'rel_type' and 'tail_index' need to have the same length (got {sizes})"
        )
    for name, index in triples.items():
        high = num_relations if name == "rel_type" else num_nodes
        if index.numel() > 0 and (int(index.min()) < 0 or (high and int(index.max()) >= high)):
            raise ValueError(
                f"'{name}' holds ids outside [0, {high if high else 'inf'}) "
                f"(got a range of [{int(index.min())}, {int(index.max())}])"
            )
