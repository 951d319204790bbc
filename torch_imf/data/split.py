import copy
import math
from collections.abc import Iterable, Sequence
from numbers import Real

import torch
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.utils import select

from torch_imf.data.graph import MASKS, check_graph, has_inverse
from torch_imf.data.index import check_range, distinct_facts, mark
from torch_imf.io import warn

#: Validation is broken if fewer of its facts than this share are in no other split.
MIN_EXCLUSIVE = 0.5
#: What is drawn for a new one. The standard error of an MRR on 3,965 facts of DB15K is below .006.
VAL_SHARE = 0.05

#: A share of entities to draw, or a mask or the numbers of some.
Nodes = float | Tensor | Sequence[int]


def clean_split(data: Data, seed: int = 0) -> Data:
    r"""Returns the graph with splits that share no fact and hold none twice.

    * Test facts are the published ones, each once. Training and validation lose every fact of a
      later split (test is the last), and every repetition.
    * Where fewer than half of the published validation facts are in no other split, as in DB15K, a
      new validation split is drawn from all facts of both that are no test facts: 5 % of them, as
      far as all entities and relations stay in training. The draw depends on the facts and the seed
      alone.

    Rows stay in order, the first one of each fact; if validation is drawn anew, split by split.
    Attributes of edges follow their rows, all others are shared. Published validation and test
    facts may still hold entities and relations that are not in training.

    Args:
        data (Data): The graph, without inverse triples. Rows in no split go.
        seed (int, optional): The seed of the draw. (default: :obj:`0`)

    Raises:
        ValueError: If the graph is not sound, or holds inverse triples.
    """
    check_graph(data)
    if has_inverse(data):
        raise ValueError("The graph holds inverse triples. Clean splits before 'AddInverse'")
    num_nodes, num_relations = int(data.num_nodes), int(data.num_relations)
    fact, fact_index = distinct_facts(data.edge_index, data.edge_type, num_nodes, num_relations)
    # The first row of each fact in each split, or one past the end:
    row = torch.arange(fact_index.numel(), device=fact_index.device)
    first = [first_of(fact_index[data[m]], row[data[m]], fact.size(1), row.numel()) for m in MASKS]
    train, val, test = (index < row.numel() for index in first)

    broken = int((val & ~train & ~test).sum()) < MIN_EXCLUSIVE * int(val.sum())
    if broken:
        first[0] = first[1] = torch.minimum(first[0], first[1])
        train = train | val
        index = (train & ~test).nonzero().view(-1)
        spare = index[draw_spare(fact[:, index], num_nodes, num_relations, seed)]
        val = mark(spare[: max(1, round(VAL_SHARE * index.numel()))], fact.size(1))
    splits = [train & ~val & ~test, val & ~test, test]

    masks = [mark(index[mask], row.numel()) for index, mask in zip(first, splits, strict=True)]
    # The rows of one split after those of another, or all in order:
    kept = masks if broken else [torch.stack(masks).any(dim=0)]
    row = torch.cat([mask.nonzero().view(-1) for mask in kept])

    data = copy.copy(data)
    data.num_nodes = num_nodes  # Also if the last one is in no fact any more.
    # Names of entities and relations may be as many as there are edges:
    names = [x for x in data.keys() if not x.startswith(("node_", "rel_")) and data.is_edge_attr(x)]
    for name in names:
        data[name] = select(data[name], row, data.__cat_dim__(name, data[name]))
    for name, mask in zip(MASKS, masks, strict=True):
        data[name] = mask[row]
    return data


def inductive_split(
    data: Data,
    val_nodes: Nodes = 0.1,
    test_nodes: Nodes = 0.1,
    among: Tensor | Sequence[int] | None = None,
    seed: int = 0,
) -> Data:
    r"""Returns the graph with splits by entities that training never sees: the facts of a test
    entity are test facts, those of a validation entity are validation facts, unless they are one of
    a test entity as well, and all others are training facts, whatever split they were in.

    .. code-block:: python

        data = inductive_split(data)                                    # A tenth of all entities,
        data = inductive_split(data, among=data.visual_mask)            # of those with a picture,
        data = inductive_split(data, val_nodes=[3, 14], test_nodes=[15])  # or these.

    Entities that are drawn have a fact, and leave one to all other entities that have any, and to
    every relation. The draw depends on the facts, :obj:`among` and the seed alone. How well a model
    knows new entities, :meth:`~torch_imf.evaluate` tells by :obj:`"new"`.

    Args:
        data (Data): The graph, with or without inverse triples.
        val_nodes (float, torch.Tensor or list, optional): The new entities of validation, as a mask
            :obj:`[N]` or by number, or the share of entities to draw. (default: :obj:`0.1`)
        test_nodes (float, torch.Tensor or list, optional): Those of testing. (default: :obj:`0.1`)
        among (torch.Tensor or list, optional): The entities to draw from (and that a share is one
            of), as a mask or by number, or all. (default: :obj:`None`)
        seed (int, optional): The seed of the draw. (default: :obj:`0`)

    Raises:
        ValueError: If the graph is not sound, an entity is none of it or is in both splits, too few
            can be drawn, or a split holds no facts.
    """
    check_graph(data)
    size = int(data.num_nodes)
    given = {"val_nodes": val_nodes, "test_nodes": test_nodes}
    shares = {name: x for name, x in given.items() if isinstance(x, float)}
    masks = {k: to_mask(k, x, size) for k, x in given.items() if not isinstance(x, float)}
    if shares:
        kept = to_mask("among", torch.arange(size) if among is None else among, size)
        nums = {name: round(share * int(kept.sum())) for name, share in shares.items()}
        for mask in masks.values():
            kept = kept & ~mask
        spare = draw_spare_nodes(data, seed)
        spare = spare[kept[spare]]
        if min(shares.values()) <= 0 or sum(nums.values()) > spare.numel():
            raise ValueError(
                f"Shares of new entities need to be positive, and of {int(kept.sum()):,} entities "
                f"{spare.numel():,} can be left out of training without leaving another one, or a "
                f"relation, without a fact (got {shares})"
            )
        parts = spare[: sum(nums.values())].split(list(nums.values()))
        masks |= {name: mark(part, size) for name, part in zip(nums, parts, strict=True)}
    both = (masks["val_nodes"] & masks["test_nodes"]).nonzero().view(-1).tolist()
    if both:
        raise ValueError(f"{len(both)} entities are of both splits (first: {both[0]})")
    val, test = (masks[x].to(data.edge_index.device)[data.edge_index].any(dim=0) for x in given)
    out = copy.copy(data)
    for name, mask in zip(MASKS, (~val & ~test, val & ~test, test), strict=True):
        if not bool(mask.any()):
            raise ValueError(f"With these new entities, there is no fact for '{name}'")
        out[name] = mask
    return out


def to_mask(name: str, nodes: Tensor | Sequence[int], size: int) -> Tensor:
    r"""Returns entities as a mask :obj:`[N]`, or raises a :class:`ValueError`."""
    nodes = torch.as_tensor(nodes).cpu()
    if nodes.dtype == torch.bool and nodes.size() == (size,):
        return nodes
    if nodes.dtype != torch.long or nodes.dim() != 1:
        raise ValueError(
            f"'{name}' needs to be a mask [{size}], or numbers of entities (got {nodes.dtype} of "
            f"shape {list(nodes.size())})"
        )
    check_range(name, nodes, size)
    return mark(nodes, size)


def draw_spare_nodes(data: Data, seed: int = 0) -> Tensor:
    r"""Returns which entities can be new at once, such that every other one and every relation
    keeps a fact, in random order.
    """
    size, num_relations = int(data.num_nodes), int(data.num_relations)
    base = data.edge_type < num_relations
    (head_index, tail_index), rel_type = data.edge_index[:, base].cpu(), data.edge_type[base].cpu()
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(rel_type.numel(), generator=generator)
    head_index, tail_index, rel_type = head_index[order], tail_index[order], rel_type[order]
    node, other = torch.cat([head_index, tail_index]), torch.cat([tail_index, head_index])
    # What the first fact of each entity leads to stays, as do both entities of that of a relation:
    rank = torch.arange(rel_type.numel())
    first = first_of(node, torch.arange(node.numel()), size, node.numel())
    first_rel = first_of(rel_type, rank, num_relations, rank.numel())
    has_fact = first < node.numel()
    first_rel = first_rel[first_rel < rank.numel()]
    stays = torch.cat([other[first[has_fact]], head_index[first_rel], tail_index[first_rel]])
    is_spare = has_fact & ~mark(stays, size)
    perm = torch.randperm(size, generator=generator)
    return perm[is_spare[perm]]


def draw_splits(
    fact: Tensor,
    shares: tuple[float, float, float],
    num_nodes: int,
    num_relations: int,
    seed: int = 0,
) -> list[Tensor]:
    r"""Draws training, validation and test facts, such that every entity and every relation is in a
    training fact. Where too few facts can be spared, validation and test are smaller than asked
    for, which a warning tells.
    """
    shares = check_shares(shares)
    spare = draw_spare(fact, num_nodes, num_relations, seed)
    size, num_spare = fact.size(1), spare.numel()
    num_val, num_test = (max(1, round(share * size)) for share in shares[1:])
    if num_spare < 2:
        raise ValueError(
            f"Validation and test need a fact each, but only {num_spare} of the {size} facts can "
            f"be left out of training without losing an entity or relation. Please pass ready "
            f"splits"
        )
    if num_val + num_test > num_spare:
        asked = num_val + num_test
        num_val = min(max(1, num_val * num_spare // asked), num_spare - 1)
        num_test = num_spare - num_val
        warn(
            f"Validation and test have {num_val} and {num_test} facts rather than {asked} in all: "
            f"all others keep an entity or relation in training"
        )
    part = torch.zeros(size, dtype=torch.long)
    part[spare[:num_val]] = 1
    part[spare[num_val : num_val + num_test]] = 2
    return [fact[:, part == i] for i in range(3)]


def check_shares(shares: object) -> tuple[float, float, float]:
    r"""Returns the shares of splits, or raises a :class:`ValueError`."""
    given = tuple(shares) if isinstance(shares, Iterable) else ()
    positive = len(given) == 3 and all(isinstance(x, Real) and float(x) > 0 for x in given)
    if not positive or not math.isclose(sum(given), 1, abs_tol=1e-6):
        raise ValueError(
            f"Invalid 'shares' argument (got {shares}), expected the shares of training, "
            f"validation and test, three positive numbers with a sum of 1"
        )
    return given


def draw_spare(fact: Tensor, num_nodes: int, num_relations: int, seed: int = 0) -> Tensor:
    r"""Returns which of some facts, of shape :obj:`[3, F]`, can be left out at once with every
    entity and relation in one that remains, in random order.
    """
    generator = torch.Generator().manual_seed(seed)  # On the CPU, for the same draw on any device.
    perm = torch.randperm(fact.size(1), generator=generator).to(fact.device)
    head_index, rel_type, tail_index = fact[:, perm]
    rank = torch.arange(perm.numel(), device=perm.device)
    node_index = torch.cat([head_index, tail_index])
    first_node = first_of(node_index, rank.repeat(2), num_nodes, rank.numel())
    first_rel = first_of(rel_type, rank, num_relations, rank.numel())
    return perm[~mark(torch.cat([first_node, first_rel]), rank.numel() + 1)[:-1]]


def first_of(group: Tensor, value: Tensor, size: int, default: int) -> Tensor:
    r"""Returns the smallest value of each group, of shape :obj:`[size]`."""
    return value.new_full((size,), default).scatter_reduce_(0, group, value, "amin")
