from typing import NamedTuple

import torch
from torch import Tensor

from torch_imf.data.index import TripletIndex

KINDS = ("inverse", "duplicate", "symmetric")
CHUNK = 2**18  # Facts that are joined at once, which bounds memory.


class RelationPair(NamedTuple):
    r"""Two relations that nearly say the same, or one that nearly is its own
    inverse.
    """

    rel: int
    other: int
    share: float
    """The share of facts that both have in common, of the larger one."""
    num_facts: int
    """The number of facts that both have in common."""


def find_pairs(
    fact: Tensor,
    num_relations: int,
    threshold: float = 0.8,
    min_facts: int = 5,
) -> dict[str, list[RelationPair]]:
    r"""Finds relations that repeat each other, by the pairs of entities
    :math:`P_r = \{ (h, t) : (h, r, t) \}, h \neq t`, that they link.

    .. math::
        \textrm{inverse:} \quad \frac{|P_r \cap P_s^{-1}|}{\max(|P_r|, |P_s|)}
        \qquad \textrm{duplicate:} \quad
        \frac{|P_r \cap P_s|}{\max(|P_r|, |P_s|)} \qquad
        \textrm{symmetric:} \quad \frac{|P_r \cap P_r^{-1}|}{|P_r|}

    The threshold is that of the `"Realistic Re-evaluation of Knowledge Graph
    Completion Methods" <https://arxiv.org/abs/2003.08001>`_ paper, on both
    relations at once. A fact from an entity to itself is its own inverse and
    says nothing, so it is left out.

    Args:
        fact (torch.Tensor): Head, relation and tail of distinct facts, of
            shape :obj:`[3, F]`.
        num_relations (int): The number of relations.
        threshold (float, optional): The share to reach. (default: :obj:`0.8`)
        min_facts (int, optional): How many facts both relations need to have;
            with fewer, a share says little. (default: :obj:`5`)

    Returns:
        The pairs of each kind (:obj:`"inverse"`, :obj:`"duplicate"`,
        :obj:`"symmetric"`), those with most facts in common first. Each pair
        is there once, with :obj:`rel < other` (:obj:`rel == other` if
        symmetric).
    """
    fact = fact[:, fact[0] != fact[2]]
    size = torch.bincount(fact[1], minlength=num_relations)
    index = pair_index(fact)

    out = {}
    for kind in KINDS:
        found = []
        for chunk in fact.split(CHUNK, dim=1):
            _, code = join(index, chunk, kind, num_relations)
            found.append(torch.stack(code.unique(return_counts=True)))
        code, count = torch.cat(found, dim=1)
        code, inverse = code.unique(return_inverse=True)
        count = torch.zeros_like(code).scatter_add_(0, inverse, count)

        rel, other = code // num_relations, code % num_relations
        share = count / torch.maximum(size[rel], size[other])
        mask = (share >= threshold) & (rel <= other)
        mask &= torch.minimum(size[rel], size[other]) >= min_facts
        order = mask.nonzero().view(-1)
        order = order[count[order].argsort(descending=True, stable=True)]
        columns = [x[order].tolist() for x in (rel, other, share, count)]
        out[kind] = [RelationPair(*row) for row in zip(*columns, strict=True)]
    return out


def implied_facts(
    fact: Tensor,
    known: Tensor,
    pairs: dict[str, list[RelationPair]],
    num_relations: int,
) -> dict[str, Tensor]:
    r"""Tells which facts follow from a known fact by a pair of relations of
    each kind, facts from an entity to itself aside.

    Args:
        fact (torch.Tensor): The facts to look at, of shape :obj:`[3, F]`.
        known (torch.Tensor): The facts they may follow from, of shape
            :obj:`[3, E]`.
        pairs (dict[str, list[RelationPair]]): See :meth:`find_pairs`.
        num_relations (int): The number of relations.

    Returns:
        A mask of shape :obj:`[F]` for each kind.
    """
    index = pair_index(known)
    out = {}
    for kind in KINDS:
        row, code = join(index, fact, kind, num_relations)
        both = [(pair.rel, pair.other) for pair in pairs[kind]]
        both += [(other, rel) for rel, other in both]
        codes = torch.tensor([rel * num_relations + other for rel, other in both]).to(code)
        out[kind] = torch.zeros_like(fact[0], dtype=torch.bool)
        out[kind][row[torch.isin(code, codes)]] = True
        out[kind] &= fact[0] != fact[2]
    return out


def pair_index(fact: Tensor) -> TripletIndex:
    r"""Returns the index that tells which relations lead from one entity to
    another: a :class:`TripletIndex` of :math:`(h, t, r)`.
    """
    head_index, rel_type, tail_index = fact
    return TripletIndex(head_index, tail_index, rel_type)


def join(index: TripletIndex, fact: Tensor, kind: str, num_relations: int) -> tuple[Tensor, Tensor]:
    r"""Joins facts with indexed ones of the same pair of entities (for
    duplicates) or the reversed one: rows of :obj:`fact`, and both relations as
    :obj:`rel * num_relations + other`.
    """
    head_index, rel_type, tail_index = fact
    query = (head_index, tail_index) if kind == "duplicate" else (tail_index, head_index)
    row, other = index(*query)
    rel = rel_type[row]
    mask = (rel == other) if kind == "symmetric" else (rel != other)
    return row[mask], (rel * num_relations + other)[mask]


def distinct_facts(
    edge_index: Tensor, edge_type: Tensor, num_nodes: int, num_relations: int
) -> tuple[Tensor, Tensor]:
    r"""Returns head, relation and tail of each distinct fact in ascending
    order, of shape :obj:`[3, F]`, and which of them each row holds, of shape
    :obj:`[E]`.
    """
    query = edge_index[0].long() * num_relations + edge_type
    is_composed = num_nodes * num_relations * num_nodes <= torch.iinfo(torch.long).max
    if not is_composed:  # One key of all three would overflow 64 bits on the largest graphs.
        queries, query = query.unique(return_inverse=True)
    key, index = query.mul_(num_nodes).add_(edge_index[1]).unique(return_inverse=True)
    query = key // num_nodes
    tail_index = key - query * num_nodes
    query = query if is_composed else queries[query]
    return torch.stack([query // num_relations, query % num_relations, tail_index]), index


def mark(index: Tensor, size: int) -> Tensor:
    r"""Returns a mask of shape :obj:`[size]` that is :obj:`True` at the given
    positions.
    """
    mask = torch.zeros(size, dtype=torch.bool, device=index.device)
    mask[index] = True
    return mask
