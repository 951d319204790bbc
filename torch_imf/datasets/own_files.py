import hashlib
import math
import os
import os.path as osp
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from urllib.parse import unquote

import torch
from torch import Tensor

from torch_imf.data.index import distinct_facts
from torch_imf.data.names import UNKNOWN, NameIndex, normalize
from torch_imf.data.split import draw_spare
from torch_imf.datasets.base import Record
from torch_imf.datasets.raw import Literals, number_facts
from torch_imf.io import warn
from torch_imf.io.rdf import FORMATS, read_rdf
from torch_imf.io.tables import (
    TABLES,
    Column,
    read_columns,
    read_table,
    short,
    suffix,
    to_columns,
    to_finite,
    where,
)

SHARES = (0.8, 0.1, 0.1)
NAMES = ("name", "label", "title")
FACTS = (
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
TEXTS = (
    Column("entity", ("entity", "id", "node", "key", "uri", "iri", "entity_id", "node_id", *NAMES)),
    Column("text", ("text", "description", "abstract", "summary", "comment"), blank=True),
    Column("name", NAMES, required=False),
)
NUMBERS = (
    Column("entity", ("entity", "id", "node", "uri", "subject", "head", "name")),
    Column("attribute", ("attribute", "property", "relation", "predicate", "key")),
    Column("value", ("value", "number", "literal", "object", "tail")),
)

AMBIGUOUS = -3
SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:/+", re.IGNORECASE)

Counts = dict[str, int]


class OwnNames(NameIndex):
    r"""An index that finds the entities of any graph by any name they go by: their identifiers as
    they are written, and then what :class:`~torch_imf.data.NameIndex` knows them by (their last
    part, if they are URIs), and their other names. Two URIs are the same if they differ in nothing
    but brackets and scheme. A name of several entities finds none of them, unless it is the
    identifier of one.

    Args:
        node_ids (list[str]): The identifier of each entity.
        aliases (iterable[tuple[str, str]], optional): Pairs of an identifier and another name of
            the same entity. (default: :obj:`()`)
    """

    def __init__(self, node_ids: list[str], aliases: Iterable[tuple[str, str]] = ()) -> None:
        self.node_ids = node_ids
        exact = {node: row for row, node in enumerate(node_ids)}
        short = self._unique((normalize(node), row) for node, row in exact.items())
        other = self._unique((normalize(alias), exact[node]) for node, alias in aliases)
        self.rows = {**other, **short, **exact}

    def find(self, name: str) -> int:
        r"""Returns the row of a name, :obj:`-1` if it finds no entity."""
        name = name.strip()
        bare = name[1:-1] if name.startswith("<") and name.endswith(">") else name
        keys = [key for key in (name, bare, normalize(name)) if key in self.rows]
        row = self.rows[keys[0]] if keys else UNKNOWN
        if row < 0 or (keys[0] not in (name, bare) and not may_be(bare, self.node_ids[row])):
            return UNKNOWN
        return row

    def __call__(self, names: Iterable[str]) -> Tensor:
        return torch.tensor([self.find(name) for name in names], dtype=torch.long)

    @staticmethod
    def _unique(pairs: Iterable[tuple[str, int]]) -> dict[str, int]:
        out: dict[str, int] = {}
        for name, row in pairs:
            out[name] = row if out.get(name, row) == row else AMBIGUOUS
        return out


def may_be(name: str, node: str) -> bool:
    r"""Returns whether two names of one last part may be the same, not two URIs of other bases."""
    node = node[1:-1] if node.startswith("<") and node.endswith(">") else node
    if not (SCHEME.match(name) and SCHEME.match(node)):
        return True
    return SCHEME.sub("", name, count=1) == SCHEME.sub("", node, count=1)


@dataclass(frozen=True)
class OwnFiles:
    r"""The files that a :class:`MultimodalKG` is read from, and how, see there."""

    triples: tuple[str, ...]
    """One file of facts, or those of training, validation and test."""
    texts: str | None
    images: str | None
    numbers: str | None
    shares: tuple[float, float, float] = SHARES
    seed: int = 0
    header: bool | None | Mapping[str, bool] = None
    strict: bool = True

    def __post_init__(self) -> None:
        shares, header = self.shares, self.header
        numbers = len(shares) == 3 and all(isinstance(x, Real) and x > 0 for x in shares)
        if not numbers or not math.isclose(sum(shares), 1, abs_tol=1e-6):
            raise ValueError(
                f"Invalid 'shares' argument (got {shares}), expected the shares of training, "
                f"validation and test, three positive numbers with a sum of 1"
            )
        if len(self.triples) > 1 and shares != SHARES:
            raise ValueError(
                f"'shares' divide a single file of facts, and these are divided already: "
                f"{list(self.triples)}"
            )
        keys = {"triples", "texts", "numbers"}
        values = header.values() if isinstance(header, Mapping) else [header]
        if (isinstance(header, Mapping) and not keys.issuperset(header)) or not all(
            isinstance(x, bool | None) for x in values
        ):
            raise ValueError(
                f"Invalid 'header' argument (got {header!r}), expected True, False, None, or a "
                f"dictionary of these for some of {sorted(keys)}"
            )
        for path in self._paths():
            if not osp.isfile(path):
                raise ValueError(f"There is no file '{path}'")

    @property
    def tag(self) -> str:
        r"""A name for what is read that is fit for a file: it changes with places, sizes and times
        of the files, and all settings.
        """
        parts = [repr(self)]
        for path in self._paths():
            info = os.stat(path)
            parts.append(f"{osp.abspath(path)} {info.st_size} {info.st_mtime_ns}")
        return hashlib.sha256("\n".join(parts).encode(errors="replace")).hexdigest()[:8]

    def read(self) -> Record:
        r"""Reads all files, apart from images."""
        splits, node_ids, rel_ids, sources = read_facts(self.triples, self._header("triples"))
        if len(splits) == 1:
            splits = split_facts(splits[0], self.shares, len(node_ids), len(rel_ids), self.seed)
        names, rel_names = (list(map(to_label, ids)) for ids in (node_ids, rel_ids))
        texts = literals = None
        if self.texts is not None:
            index = OwnNames(node_ids)
            own_names, texts, sources[self.texts] = self.read_texts(self.texts, index)
            names = [own or name for own, name in zip(own_names, names, strict=True)]
        if self.numbers is not None:
            index = OwnNames(node_ids, zip(node_ids, names, strict=True))
            literals, sources[self.numbers] = self.read_numbers(self.numbers, index)
        return Record(splits, node_ids, rel_ids, names, rel_names, texts, literals, sources)

    def read_texts(
        self, path: str, index: OwnNames
    ) -> tuple[list[str | None], list[str | None], Counts]:
        r"""Returns the name and the text (which begins with the name) of each entity, and how many
        rows there are and how many of them are of :obj:`"unknown"` entities.
        """
        found: dict[int, tuple[str, str, int]] = {}
        counts = {"rows": 0, "unknown": 0}
        for line, (node, text, name) in read_table(path, TEXTS, self._header("texts")):
            row = self._find(node, index, path, line, "texts", counts)
            if row in found and found[row][:2] != (name, text):
                raise ValueError(
                    f"{where(path, line)}: {short(node)} has another text already "
                    f"({where(path, found[row][2])}). Please join them into one"
                )
            if row != UNKNOWN:
                found[row] = (name, text, line)
        rows = [found.get(row, ("", "", 0)) for row in range(len(index))]
        texts = [". ".join(part for part in (name, text) if part) or None for name, text, _ in rows]
        return [name or None for name, *_ in rows], texts, counts

    def read_numbers(self, path: str, index: OwnNames) -> tuple[Literals, Counts]:
        r"""Returns entities, attributes and values of numeric literals, and counts as
        :meth:`read_texts` does.
        """
        nodes, attributes, values = [], [], []
        counts = {"rows": 0, "unknown": 0}
        for line, fields in read_table(path, NUMBERS, self._header("numbers")):
            hint = ". If this is a header, pass 'header={\"numbers\": True}'"
            value = to_finite(fields[2], where(path, line), hint if counts["rows"] == 0 else "")
            if self._find(fields[0], index, path, line, "numbers", counts) != UNKNOWN:
                nodes.append(fields[0])
                attributes.append(fields[1])
                values.append(value)
        return (nodes, attributes, values), counts

    def _find(
        self, node: str, index: OwnNames, path: str, line: int, argument: str, counts: Counts
    ) -> int:
        row = index.find(node)
        counts["rows"] += 1
        counts["unknown"] += row == UNKNOWN
        if row == UNKNOWN and self.strict:
            raise ValueError(
                f"{where(path, line)}: the entity {short(node)} is in no fact, or its name is that "
                f"of several. Check how '{argument}' and 'triples' write it, or pass "
                f"'strict=False' to leave such entities out"
            )
        return row

    def _header(self, name: str) -> bool | None:
        return self.header.get(name) if isinstance(self.header, Mapping) else self.header

    def _paths(self) -> list[str]:
        return [x for x in (*self.triples, self.texts, self.numbers) if x is not None]


def read_facts(
    paths: Sequence[str], header: bool | None = None
) -> tuple[list[Tensor], list[str], list[str], dict[str, Counts]]:
    r"""Reads files of facts into ids. Names are numbered in alphabetical order, so that ids do not
    depend on the order of lines, and a fact that a file repeats is left out. The blank nodes of
    several files of RDF are told apart by the names of these.
    """
    nodes: dict[str, int] = {}
    rels: dict[str, int] = {}
    counts = {path: {"rows": 0, "repeated": 0, "literals": 0} for path in paths}
    folder = osp.commonpath([osp.dirname(osp.abspath(path)) for path in paths])

    def triples(path: str) -> Iterator[Sequence[str]]:
        scope = f"@{osp.relpath(path, folder)}" if len(paths) > 1 else ""
        for fact in read_rdf(path, scope):
            if fact is None:
                counts[path]["literals"] += 1
            else:
                yield fact

    rows = []
    for path in paths:
        if suffix(path) not in (*TABLES, *FORMATS):
            raise ValueError(
                f"'{path}' holds no facts, expected one of {[*TABLES, *FORMATS]} (text also as .gz)"
            )
        is_table = suffix(path) in TABLES
        columns = read_columns(path, FACTS, header) if is_table else to_columns(triples(path))
        rows.append(number_facts(columns, nodes, rels))
        if rows[-1].numel() == 0:
            raise ValueError(f"'{path}' holds no facts")
        counts[path]["rows"] = rows[-1].size(1) + counts[path]["literals"]

    node_ids, node_rank = _in_order(nodes)
    rel_ids, rel_rank = _in_order(rels)
    facts = []
    for path, (head_index, rel_type, tail_index) in zip(paths, rows, strict=True):
        edge_index = node_rank[torch.stack([head_index, tail_index])]
        fact, _ = distinct_facts(edge_index, rel_rank[rel_type], len(nodes), len(rels))
        counts[path]["repeated"] = head_index.numel() - fact.size(1)
        facts.append(fact)
    return facts, node_ids, rel_ids, counts


def _in_order(index: dict[str, int]) -> tuple[list[str], Tensor]:
    # Names in alphabetical order, and the rank of each by its number.
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
    r"""Draws training, validation and test facts, such that every entity and every relation is in a
    training fact. Where too few facts can be spared, validation and test are smaller than asked
    for, which a warning tells.
    """
    size = fact.size(1)
    spare = draw_spare(fact, num_nodes, num_relations, seed)
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
        warn(
            f"Validation and test have {num_val} and {num_test} facts rather than {asked} in all: "
            f"all others keep an entity or relation in training"
        )
    part = torch.zeros(size, dtype=torch.long)
    part[spare[:num_val]] = 1
    part[spare[num_val : num_val + num_test]] = 2
    return [fact[:, part == i] for i in range(3)]


def to_label(node: str) -> str:
    r"""Returns a name for people: the last part of an IRI without escapes, and any other identifier
    as it is.
    """
    iri = node[1:-1] if node.startswith("<") and node.endswith(">") else node
    if "://" not in iri:
        return node
    last = iri.rstrip("/#").replace("#", "/").rsplit("/", 1)[-1]
    return unquote(last).replace("_", " ") or node
