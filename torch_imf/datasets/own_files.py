import hashlib
import math
import os
import os.path as osp
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from numbers import Real
from urllib.parse import unquote

from torch_geometric.data import Data

from torch_imf.data.names import UNKNOWN
from torch_imf.datasets.columns import Column
from torch_imf.datasets.descriptions import read_descriptions
from torch_imf.datasets.facts import read_facts, split_facts
from torch_imf.datasets.graph import build_graph
from torch_imf.datasets.io import short, to_number
from torch_imf.datasets.lines import where
from torch_imf.datasets.own_folder import find_splits
from torch_imf.datasets.own_names import OwnNames
from torch_imf.datasets.tables import read_table

SPLITS = ("train", "val", "test")
FILES = ("triples", "texts", "numeric")
NUMBERS = (
    Column("entity", ("entity", "id", "node", "uri", "subject", "head", "name")),
    Column("attribute", ("attribute", "property", "relation", "predicate", "key")),
    Column("value", ("value", "number", "literal", "object", "tail")),
)

Path = str | os.PathLike[str]


@dataclass(frozen=True)
class OwnFiles:
    r"""The files that a :class:`MultimodalKG` is read from, see
    :meth:`MultimodalKG.from_files`.
    """

    triples: tuple[str, ...]
    """One file of facts, or those of training, validation and test."""
    texts: str | None = None
    images: str | None = None
    numeric: str | None = None
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1)
    seed: int = 0
    header: bool | None | Mapping[str, bool] = None
    strict: bool = True

    def __post_init__(self) -> None:
        shares = self.shares
        numbers = len(shares) == 3 and all(isinstance(x, Real) and x > 0 for x in shares)
        if not numbers or not math.isclose(sum(shares), 1, abs_tol=1e-6):
            raise ValueError(
                f"Invalid 'split' argument (got {shares}), expected the shares of training, "
                f"validation and test, three positive numbers with a sum of 1"
            )
        if isinstance(self.header, Mapping) and not set(FILES).issuperset(self.header):
            raise ValueError(
                f"Invalid 'header' argument (got the keys {list(self.header)}), expected some of "
                f"{list(FILES)}"
            )
        for value in map(self.header_of, FILES):
            if not isinstance(value, bool | None):
                raise ValueError(
                    f"Invalid 'header' argument (got {value!r}), expected True, False or None"
                )
        for path in (*self.triples, self.texts, self.numeric):
            if path is not None and not osp.isfile(path):
                raise ValueError(f"There is no file '{path}'")

    def header_of(self, name: str) -> bool | None:
        r"""Returns whether the tables of an argument have a header."""
        return self.header.get(name) if isinstance(self.header, Mapping) else self.header

    @property
    def tag(self) -> str:
        r"""A name for what is read that is fit for a file: it changes with
        places, sizes and times of the files, and all settings.
        """
        parts = [repr(self)]
        for path in (*self.triples, self.texts, self.numeric):
            if path is not None:
                info = os.stat(path)
                parts.append(f"{osp.abspath(path)} {info.st_size} {info.st_mtime_ns}")
        return hashlib.sha256("\n".join(parts).encode(errors="replace")).hexdigest()[:8]

    def read(self) -> Data:
        r"""Reads facts and names into a graph, with what was left out on the
        way in :obj:`sources`.
        """
        facts, node_ids, rel_ids, counts = read_facts(self.triples, self.header_of("triples"))
        if len(facts) == 1:
            facts = split_facts(facts[0], self.shares, len(node_ids), len(rel_ids), self.seed)
        node_names = list(map(to_label, node_ids))
        if self.texts is not None:
            names, _, counts[self.texts] = self.read_texts(OwnNames(node_ids))
            node_names = [name or x for name, x in zip(names, node_names, strict=True)]
        if self.numeric is not None:
            names_index = OwnNames(node_ids, zip(node_ids, node_names, strict=True))
            *_, counts[self.numeric] = self.read_numbers(names_index)
        data = build_graph(facts, node_ids, node_names, rel_ids, list(map(to_label, rel_ids)))
        data.sources = counts
        return data

    def read_texts(
        self, names: OwnNames
    ) -> tuple[list[str | None], list[str | None], dict[str, int]]:
        r"""Returns the name and the text of each entity, and how many rows
        there are and how many of them are of :obj:`"unknown"` entities.

        Raises:
            ValueError: If the file cannot be read, describes an entity twice
                in different words or, if strict, one that is not in the graph.
        """
        assert self.texts is not None
        node_names: list[str | None] = [None] * len(names)
        texts: list[str | None] = [None] * len(names)
        places: dict[int, str] = {}
        counts = {"rows": 0, "unknown": 0}
        for node, name, text, place in read_descriptions(self.texts, self.header_of("texts")):
            counts["rows"] += 1
            row = names.find(node)
            if row == UNKNOWN:
                self.refuse(node, place, "texts")
                counts["unknown"] += 1
                continue
            if row in places and (node_names[row] or "", texts[row] or "") != (name, text):
                raise ValueError(
                    f"{place}: {short(node)} has another text already ({places[row]}). Please "
                    f"join them into one"
                )
            places[row] = place
            node_names[row], texts[row] = name or None, text or None
        return node_names, texts, counts

    def read_numbers(
        self, names: OwnNames
    ) -> tuple[list[str], list[str], list[float], dict[str, int]]:
        r"""Returns entities, attributes and values of numeric literals, and
        counts as :meth:`read_texts` does.

        Raises:
            ValueError: If the file cannot be read, a value is neither a finite
                number nor a date or, if strict, an entity is not in the graph.
        """
        assert self.numeric is not None
        nodes, attributes, values = [], [], []
        counts = {"rows": 0, "unknown": 0}
        rows = read_table(self.numeric, NUMBERS, self.header_of("numeric"))
        for line, (node, attribute, text) in rows:
            counts["rows"] += 1
            value = to_number(text)
            if not math.isfinite(value):
                header = ". If this is a header, pass 'header={\"numeric\": True}'"
                hint = header if counts["rows"] == 1 else ""
                raise ValueError(
                    f"{where(self.numeric, line)}: expected a number or a date (got {short(text)})"
                    f"{hint}"
                )
            if names.find(node) == UNKNOWN:
                self.refuse(node, where(self.numeric, line), "numeric")
                counts["unknown"] += 1
                continue
            nodes.append(node)
            attributes.append(attribute)
            values.append(value)
        return nodes, attributes, values, counts

    def refuse(self, node: str, place: str, argument: str) -> None:
        r"""Raises a :class:`ValueError` about an entity that is not in the
        graph, if strict.
        """
        if self.strict:
            raise ValueError(
                f"{place}: the entity {short(node)} is in no fact, or its name is that of several. "
                f"Check how '{argument}' and 'triples' write it, or pass 'strict=False' to leave "
                f"such entities out"
            )


def to_paths(triples: Path | Iterable[Path] | Mapping[str, Path]) -> tuple[str, ...]:
    r"""Returns the file of facts, or those of training, validation and test,
    which a folder, a dictionary or a sequence may hold.

    Raises:
        ValueError: If it holds anything else.
    """
    if isinstance(triples, str | os.PathLike):
        path = expand(triples)
        return tuple(find_splits(path)) if osp.isdir(path) else (path,)
    if isinstance(triples, Mapping):
        files = {{"valid": "val", "validation": "val"}.get(k, k): v for k, v in triples.items()}
        if set(files) != set(SPLITS) or len(files) < len(triples):
            raise ValueError(
                f"Invalid 'triples' argument (got the keys {list(triples)}), expected one file "
                f"for each of {list(SPLITS)}"
            )
        triples = [files[split] for split in SPLITS]
    out = tuple(map(expand, triples))
    if len(out) != 3:
        raise ValueError(
            f"Invalid 'triples' argument (got {len(out)} files), expected one file to split, or "
            f"the three of training, validation and test"
        )
    return out


def expand(path: Path) -> str:
    r"""Returns a path as a string, with the home folder in place of a tilde."""
    return osp.expanduser(os.fspath(path))


def to_label(node: str) -> str:
    r"""Returns a name for people: the last part of an IRI without escapes, and
    any other identifier as it is.
    """
    iri = node[1:-1] if node.startswith("<") and node.endswith(">") else node
    if "://" not in iri:
        return node
    last = iri.rstrip("/#").replace("#", "/").rsplit("/", 1)[-1]
    return unquote(last).replace("_", " ") or node
