import copy
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from torch_imf.data.index import both_sides

MASKS = ("train_mask", "val_mask", "test_mask")


def check_graph(data: Data) -> None:
    r"""Raises a :class:`ValueError` that says what is wrong with the facts of
    a graph, with or without inverse triples, if anything is: attributes that
    are absent, of a wrong shape or type, or ids out of range.
    """
    names = ["edge_index", "edge_type", "num_relations", *MASKS]
    absent = [name for name in names if data.get(name) is None]
    if absent:
        raise ValueError(
            f"The graph lacks {absent}. It needs 'edge_index', 'edge_type', 'num_relations' (of "
            f"base relations), and the masks over edges {list(MASKS)}"
        )
    num_edges = data.edge_index.size(-1)
    if data.edge_index.size() != (2, num_edges) or data.edge_index.dtype != torch.long:
        raise ValueError(
            f"'edge_index' needs to be a long tensor of shape [2, E] (got "
            f"{data.edge_index.dtype} of shape {list(data.edge_index.size())})"
        )
    check_shape(data, "edge_type", torch.long, num_edges)
    for name in MASKS:
        check_shape(data, name, torch.bool, num_edges)

    check_range("edge_index", data.edge_index, int(data.num_nodes), "entities")
    factor = 2 if has_inverse(data) else 1
    check_range("edge_type", data.edge_type, factor * data.num_relations, "relations")


def has_inverse(data: Data) -> bool:
    r"""Tells whether :class:`~torch_imf.transforms.AddInverse` has been
    applied to a graph: as many of its facts are of inverse relations as of
    base relations.
    """
    num_inverse = int((data.edge_type >= data.num_relations).sum())
    half = 0 < 2 * num_inverse == data.edge_type.numel()
    return half and int(data.edge_type.max()) < 2 * data.num_relations


def prepare(model: torch.nn.Module, data: Data) -> Data:
    r"""Checks that a graph is sound and fits a model, and returns it with its
    facts on the device of the model. Its features stay where they are.

    Raises:
        ValueError: If :meth:`check_graph` finds a problem, or the model is for
            another number of entities or relations.
    """
    check_graph(data)
    for name, kind in (("num_nodes", "entities"), ("num_relations", "base relations")):
        expected: Any = getattr(model, name, data[name])
        if expected != data[name]:
            raise ValueError(
                f"The model expects {expected} {kind}, but the graph holds {data[name]}"
            )
    device = next(model.parameters(), data.edge_index).device
    return copy.copy(data).to(device, "edge_index", "edge_type", *MASKS)


def draw_validation(data: Data, num_facts: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    r"""Returns up to so many validation facts, drawn at random if there are
    more, and then their inverses, as :meth:`~torch_imf.data.index.both_sides`.
    """
    facts = (data.val_mask & (data.edge_type < data.num_relations)).nonzero().view(-1)
    # On the CPU, for the same draw on any device:
    perm = torch.randperm(facts.numel(), generator=torch.Generator().manual_seed(seed))
    facts = facts[perm[:num_facts].to(facts.device)]
    (head_index, tail_index), rel_type = data.edge_index[:, facts], data.edge_type[facts]
    return both_sides(head_index, rel_type, tail_index, data.num_relations)


def check_shape(data: Data, name: str, dtype: torch.dtype, size: int) -> None:
    r"""Raises a :class:`ValueError` if an attribute is no vector of this type
    and size.
    """
    value = data[name]
    if value.size() != (size,) or value.dtype != dtype:
        raise ValueError(
            f"'{name}' needs to be a {dtype} tensor of shape [{size}] (got {value.dtype} "
            f"of shape {list(value.size())})"
        )


def check_range(name: str, index: Tensor, size: int, kind: str) -> None:
    r"""Raises a :class:`ValueError` if an id is not in :obj:`[0, size)`."""
    bad = (index < 0) | (index >= size)
    if bad.any():
        raise ValueError(
            f"'{name}' holds ids out of range for {size} {kind} in {int(bad.sum())} places "
            f"(first: {int(index[bad][0])})"
        )


def loop_relations(data: Data) -> Tensor:
    r"""Returns the base relations in which some training fact leads from an
    entity to itself. In all others, no entity is an answer to itself.
    """
    is_loop = data.train_mask & (data.edge_index[0] == data.edge_index[1])
    return (data.edge_type[is_loop] % int(data.num_relations)).unique()
