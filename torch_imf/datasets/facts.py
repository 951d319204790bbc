import os.path as osp
import warnings
from array import array
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from torch_imf.data.index import distinct_facts, mark
from torch_imf.data.split import first_of
from torch_imf.datasets.columns import Column
from torch_imf.datasets.lines import suffix
from torch_imf.datasets.ntriples import read_ntriples
from torch_imf.datasets.tables import TABLES, read_table

COLUMNS = (
    Column(
        "head",
        ("head", "subject", "source", "from", "head_id", "subj", "src", "h", "s")
        + ("entity1", "e1", "node1", "head_entity", "head_name", "subject_id", "source_id"),
    ),
    Column(
        "relation",
        ("relation", "predicate", "property", "rel", "relation_id", "pred", "edge", "r", "p")
        + ("relation_name", "relation_type", "predicate_id", "property_id", "edge_type"),
    ),
    Column(
        "tail",
        ("tail", "object", "target", "to", "tail_id", "obj", "dst", "t", "o")
        + ("entity2", "e2", "node2", "tail_entity", "tail_name", "object_id", "target_id"),
    ),
)

Counts = dict[str, int]


def read_facts(
    paths: Sequence[str],
    header: bool | None = None,
) -> tuple[list[Tensor], list[str], list[str], dict[str, Counts]]:
    r"""Reads files of facts, line by line, into ids. Names are numbered in
    alphabetical order, so that ids do not depend on the order of lines, and a
    fact that a file repeats is left out. The blank nodes of several files of
    N-Triples are told apart by the names of these.

    Args:
        paths (list[str]): The files: tables (see :meth:`read_table`) of head,
            relation and tail, or N-Triples.
        header (bool, optional): Whether tables have a header.
            (default: :obj:`None`)

    Returns:
        The distinct facts of each file, of shape :obj:`[3, F]`, the names of
        entities, those of relations, and how many :obj:`"rows"` each file has,
        and how many of them were left out because they are
        :obj:`"repeated"` or lead to :obj:`"literals"`.

    Raises:
        ValueError: If a file cannot be read, or holds no facts.
    """
    nodes: dict[str, int] = {}
    rels: dict[str, int] = {}
    rows, counts = [], {}
    folder = osp.dirname(osp.abspath(paths[0]))
    if len(paths) > 1:
        folder = osp.commonpath([osp.dirname(osp.abspath(path)) for path in paths])
    for path in paths:
        ids, literals = array("q"), 0
        scope = f"@{osp.relpath(path, folder)}" if len(paths) > 1 else ""
        for names in stream(path, header, scope):
            if names is None:
                literals += 1
                continue
            head, rel, tail = names
            ids.append(nodes.setdefault(head, len(nodes)))
            ids.append(rels.setdefault(rel, len(rels)))
            ids.append(nodes.setdefault(tail, len(nodes)))
        if len(ids) == 0:
            raise ValueError(f"'{path}' holds no facts")
        rows.append(torch.frombuffer(ids, dtype=torch.long).view(-1, 3).t())
        counts[path] = {"rows": rows[-1].size(1) + literals, "repeated": 0, "literals": literals}

    node_ids, node_rank = in_order(nodes)
    rel_ids, rel_rank = in_order(rels)
    facts = []
    for path, (head_index, rel_type, tail_index) in zip(paths, rows, strict=True):
        edge_index = node_rank[torch.stack([head_index, tail_index])]
        fact, _ = distinct_facts(edge_index, rel_rank[rel_type], len(nodes), len(rels))
        counts[path]["repeated"] = head_index.numel() - fact.size(1)
        facts.append(fact)
    return facts, node_ids, rel_ids, counts


def stream(path: str, header: bool | None, scope: str = "") -> Iterator[list[str] | None]:
    r"""Streams the facts of a file, :obj:`None` for one about a literal."""
    if suffix(path) == ".nt":
        yield from (fact for _, fact in read_ntriples(path, scope))
    elif suffix(path) in TABLES:
        yield from (fact for _, fact in read_table(path, COLUMNS, header))
    else:
        raise ValueError(
            f"'{path}' holds no facts, expected one of {[*TABLES, '.nt']} (or .gz, unless Parquet)"
        )


def in_order(index: dict[str, int]) -> tuple[list[str], Tensor]:
    r"""Returns names in alphabetical order, and the rank of each by its
    number.
    """
    names = sorted(index)
    rank = torch.empty(len(names), dtype=torch.long)
    rank[[index[name] for name in names]] = torch.arange(len(names))
    return names, rank


def split_facts(
    fact: Tensor,
    shares: tuple[float, float, float],
    num_nodes: int,
    num_relations: int,
    seed: int = 0,
) -> list[Tensor]:
    r"""Draws training, validation and test facts, such that every entity and
    every relation is in a training fact. Where too few facts can be spared,
    validation and test are smaller than asked for, which a warning tells.

    Args:
        fact (torch.Tensor): Head, relation and tail of distinct facts, of
            shape :obj:`[3, F]`.
        shares (tuple[float, float, float]): The share of each split.
        num_nodes (int): The number of entities.
        num_relations (int): The number of relations.
        seed (int, optional): The seed of the draw. (default: :obj:`0`)

    Returns:
        The facts of each split, in the given order.

    Raises:
        ValueError: If not even two facts can be spared.
    """
    size = fact.size(1)
    # On the CPU, for the same draw on any device:
    perm = torch.randperm(size, generator=torch.Generator().manual_seed(seed))
    head_index, rel_type, tail_index = fact[:, perm]
    rank = torch.arange(size)
    node = first_of(torch.cat([head_index, tail_index]), rank.repeat(2), num_nodes, size)
    rel = first_of(rel_type, rank, num_relations, size)
    spare = perm[~mark(torch.cat([node, rel]), size + 1)[:-1]]

    num_val, num_test = (max(1, round(share * size)) for share in shares[1:])
    if num_val + num_test > spare.numel():
        if spare.numel() < 2:
            raise ValueError(
                f"Validation and test need a fact each, but only {spare.numel()} of the {size} "
                f"facts can be left out of training without losing an entity or relation. Please "
                f"pass ready splits"
            )
        asked = num_val + num_test
        num_val = min(max(1, num_val * spare.numel() // asked), spare.numel() - 1)
        num_test = spare.numel() - num_val
        warnings.warn(
            f"Validation and test have {num_val} and {num_test} facts rather than {asked} in all: "
            f"all others keep an entity or relation in training",
            stacklevel=2,
        )
    part = torch.zeros(size, dtype=torch.long)
    part[spare[:num_val]] = 1
    part[spare[num_val : num_val + num_test]] = 2
    return [fact[:, part == i] for i in range(3)]
