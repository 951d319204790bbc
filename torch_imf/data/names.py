import difflib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cached_property
from numbers import Integral
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from torch_imf.io.atomic import read_bytes

#: Entities or relations, by name or identifier, or by number: one, or several (in a list, an array
#: or a series).
Names = str | int | Iterable[str | int] | Tensor

ELSEWHERE = -2
UNKNOWN = -1

# HDF5 takes the slashes of a name for folders, and loses those that are doubled or come first:
URI = re.compile(r"https?:/+[^/]+/(?:resource|entity|ontology|ns)/(?=.)", re.IGNORECASE)
SCHEME = re.compile(r"[a-z][a-z0-9+.-]*:/+", re.IGNORECASE)
FREEBASE = re.compile(r"/?([mg])/(\w+)", re.ASCII)


class NameIndex:
    r"""Finds the entities of a graph by what files call them, in any normal form of Unicode: by
    identifier as it is written, by URI with or without brackets
    (:obj:`<http://dbpedia.org/resource/Paris>`), by its last part (:obj:`Paris`), by Freebase id
    (:obj:`/m/05qtj`, :obj:`m.05qtj`), or by another name that is linked to the entity
    (:obj:`DBIMG00042`). A last part of several identifiers finds none of them, and URIs that differ
    in more than brackets and scheme do not find each other.

    Args:
        node_ids (iterable[str]): The identifier of each entity.
        aliases (iterable[tuple[str, str]], optional): Pairs of an identifier and another name of
            the same entity. Identifiers come before aliases, and these before later ones. An
            identifier that is not in :obj:`node_ids`, and its names, are those of another graph.
            (default: :obj:`()`)
        is_sorted (bool, optional): Whether entities are in the order of their names
            (:meth:`order`), which nobody has chosen: rows without names, as those of a matrix, then
            stand for them only where names are the numbers of rows. (default: :obj:`False`)

    Raises:
        ValueError: If two entities have the same identifier.
    """

    def __init__(
        self,
        node_ids: Iterable[str],
        aliases: Iterable[tuple[str, str]] = (),
        is_sorted: bool = False,
    ) -> None:
        self.node_ids = node_ids = list(node_ids)
        self.has_own_order = not is_sorted or node_ids == _numbers(len(node_ids))
        exact = {node: row for row, node in enumerate(node_ids)}
        if len(exact) < len(node_ids):
            twice = next(node for row, node in enumerate(node_ids) if exact[node] != row)
            raise ValueError(f"Two entities have the identifier '{twice}'")
        own: dict[str, int] = {}
        for row, name in enumerate(map(normalize, node_ids)):
            own[name] = UNKNOWN if name in own else row
        own |= exact
        self.rows = dict(own)
        for node, alias in aliases:
            row = own.get(node, own.get(normalize(node), ELSEWHERE))
            for name in (normalize(alias), normalize(node)):
                if self.rows.get(name, ELSEWHERE) == ELSEWHERE:
                    self.rows[name] = row

    def find(self, name: str) -> int:
        r"""Returns the row of a name: :obj:`-1` if nobody has it, or several have, and :obj:`-2`
        for an entity of another graph.
        """
        name = name.strip()
        for key in (name, unbracketed(name)):
            if key in self.rows:
                return self.rows[key]
        key = normalize(name)
        row = self.rows.get(key, UNKNOWN)
        if row < 0 or normalize(self.node_ids[row]) != key:
            return row
        # Two URIs may end alike, and have other bases:
        uris = [unbracketed(x) for x in (name, self.node_ids[row])]
        bases = {SCHEME.sub("", uri, 1) for uri in uris if SCHEME.match(uri)}
        return UNKNOWN if len(bases) > 1 else row

    def __call__(self, names: Iterable[str]) -> Tensor:
        r"""Returns :meth:`find` of each name, of shape :obj:`[len(names)]`."""
        return torch.tensor([self.find(name) for name in names], dtype=torch.long)

    def near(self, names: Iterable[str]) -> Tensor:
        r"""Returns the rows of names as people write them, without regard to capitals, spaces and
        underscores, :obj:`-1` where nobody is meant, or several may be.
        """
        rows = [self._folded.get(fold(name), UNKNOWN) for name in names]
        return torch.tensor(rows, dtype=torch.long)

    @cached_property
    def _folded(self) -> dict[str, int]:
        out: dict[str, int] = {}
        for name, row in self.rows.items():
            key = fold(name)
            out[key] = row if out.get(key, row) == row else UNKNOWN
        return out

    def example(self) -> str:
        r"""Returns how a file of the first entity may be named."""
        return normalize(self.node_ids[0])

    def __len__(self) -> int:
        return len(self.node_ids)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({len(self)}, names={len(self.rows)})"


class Lookup:
    r"""Finds the entity or relation that a person means: by its identifier, then by its name, then
    by either one in other letters (:obj:`"united states"` for :obj:`"United_States"`).

    Args:
        ids (list[str]): The identifiers.
        names (list[str]): The names, some of which may be the same.
        kind (str): :obj:`"entity"` or :obj:`"relation"`, for errors.
    """

    def __init__(self, ids: Sequence[str], names: Sequence[str], kind: str) -> None:
        self.ids, self.names, self.kind = ids, names, kind

    @cached_property
    def labels(self) -> list[str]:
        r"""The names, followed by the identifier where several share one."""
        count = Counter(self.names)
        ids = self.ids if len(set(self.ids)) == len(self.ids) else _numbers(len(self.ids))
        pairs = zip(self.names, ids, strict=True)
        return [x if count[x] == 1 or x == i else f"{x} ({i})" for x, i in pairs]

    @classmethod
    def of_entities(cls, data: Data) -> "Lookup":
        r"""The entities of a graph, by :obj:`node_ids` and :obj:`node_names`, which stand in for
        each other, or by number if there is neither.
        """
        names = data.get("node_names") or data.get("node_ids") or _numbers(data.num_nodes)
        return cls(data.get("node_ids") or names, names, "entity")

    @classmethod
    def of_relations(cls, data: Data) -> "Lookup":
        r"""The relations of a graph, by :obj:`rel_ids` and :obj:`rel_names`, as above."""
        names = data.get("rel_names") or data.get("rel_ids") or _numbers(data.num_relations)
        return cls(data.get("rel_ids") or names, names, "relation")

    @cached_property
    def _written(self) -> dict[str, list[int]]:
        keys = (self.labels, self.names, self.ids)  # The last ones come first.
        return dict(pair for x in keys for pair in _positions(enumerate(x)).items())

    @cached_property
    def _folded(self) -> dict[str, list[int]]:
        pairs = enumerate(zip(self.ids, self.names, strict=True))
        return _positions((i, key) for i, pair in pairs for key in dict.fromkeys(map(fold, pair)))

    def __call__(self, name: str) -> int:
        r"""Returns the row of a name. Raises a :class:`ValueError` that suggests others if nobody
        has it, or several have.
        """
        found = self._written.get(name) or self._folded.get(fold(name))
        if not found:
            near = difflib.get_close_matches(fold(name), self._folded)
            some = [self.names[self._folded[key][0]] for key in near] or self.names[:3]
            some = ", ".join(f"'{x}'" for x in some)
            hint = f"Did you mean {some}?" if near else f"Names are like {some or 'nothing'}"
            raise ValueError(f"There is no {self.kind} '{name}'. {hint}")
        if len(found) > 1:
            ids = ", ".join(f"'{self.ids[i]}' ({self.names[i]})" for i in found[:5])
            raise ValueError(
                f"The {self.kind} '{name}' is ambiguous: {len(found)} have this name. Ask for one "
                f"by its identifier: {ids}{', ...' if len(found) > 5 else ''}"
            )
        return found[0]

    def rows(self, argument: str, value: Names) -> Tensor:
        r"""Returns the rows of what is given by name or identifier, or by number, of shape
        :obj:`[B]`. A number is a row. Where names are numbers themselves, it is refused unless the
        row is called by it; a tensor always holds rows. Errors name the argument.
        """
        values: Any = value
        if not isinstance(value, Tensor) and hasattr(value, "tolist"):  # Of NumPy or pandas.
            values = value.tolist()
        elif isinstance(value, Iterable) and not isinstance(value, str | Tensor):
            values = list(value)
        values = [values] if isinstance(values, str | int) else values
        is_list = isinstance(values, list | tuple) and not any(isinstance(x, bool) for x in values)
        if is_list and all(isinstance(x, str | Integral) for x in values):
            values = [
                self(x) if isinstance(x, str) else self._row(argument, int(x)) for x in values
            ]
        try:
            out = torch.as_tensor(values)
        except (TypeError, ValueError, RuntimeError) as e:
            raise ValueError(f"'{argument}' needs to be names or numbers (got {value!r})") from e
        if out.numel() == 0:
            raise ValueError(f"'{argument}' is empty")
        return out.view(-1)

    def _row(self, argument: str, row: int) -> int:
        own = self.ids[row] if 0 <= row < len(self.ids) else ""
        if own != str(row) and (is_number(own) or str(row) in self._written):
            called = f", which is called '{own}'" if own else ""
            raise ValueError(
                f"'{argument}' may be the row {row}{called}, or the {self.kind} called '{row}'. "
                f"Give a name as a string, or a row in a tensor"
            )
        return row


def is_number(name: str) -> bool:
    r"""Tells whether a name is a whole number."""
    return name.isascii() and name.isdigit()


def order(name: str) -> tuple[bool, int, str, str]:
    r"""The key to sort names by: whole numbers by what they are, then all others."""
    digits = name.lstrip("0") if is_number(name) else ""
    return not is_number(name), len(digits), digits, name


def normalize(name: str) -> str:
    r"""Returns a name without what differs between files: brackets, the base of a URI, the slashes
    of a Freebase id, and the normal form of Unicode.
    """
    name = unicodedata.normalize("NFC", unbracketed(name.strip()))
    name = URI.sub("", name, count=1) if URI.match(name) else name
    match = FREEBASE.fullmatch(name)
    return f"{match[1]}.{match[2]}" if match else name


def unbracketed(name: str) -> str:
    r"""Returns a name without the brackets around a URI."""
    return name[1:-1] if name.startswith("<") and name.endswith(">") else name


def fold(name: str) -> str:
    r"""Returns a name without what people leave out: capitals, underscores, double spaces, and what
    :meth:`normalize` takes off.
    """
    return " ".join(normalize(name).replace("_", " ").casefold().split())


def _numbers(size: int | None) -> list[str]:
    return [str(i) for i in range(size or 0)]


def _positions(keys: Iterable[tuple[int, str]]) -> dict[str, list[int]]:
    out: dict[str, list[int]] = {}
    for i, key in keys:
        out.setdefault(key, []).append(i)
    return out


def read_ids(path: str) -> list[str]:
    r"""Reads a list of names: one per line, or names and ids in any order, with or without their
    number at the top.
    """
    try:
        lines = [x.strip() for x in read_bytes(path).decode("utf-8-sig").split("\n") if x.strip()]
    except (FileNotFoundError, UnicodeDecodeError) as error:
        raise ValueError(f"There is no file of ids '{path}', in UTF-8 ({error})") from error
    last, first = ([x.rsplit(None, 1) for x in lines], [x.split(None, 1)[::-1] for x in lines])
    for pairs in (last, first, last):
        names = {int(x[1]): x[0] for x in pairs if len(x) == 2 and x[1].isdecimal()}
        counted = len(lines) > 1 and lines[0].isdecimal() and len(names) > 0
        num_names = len(lines) - counted
        # Without a count, other numbers are those of names (Apollo 11):
        numbered = sorted(names) == list(range(num_names))
        if numbered:
            break
    if not numbered and lines and (counted or "\t" in lines[0]):
        if sorted(names) == list(range(1, num_names + 1)):
            raise ValueError(f"'{path}': its ids begin at 1, expected those from 0")
    if counted and (int(lines[0]) != num_names or not numbered):
        raise ValueError(
            f"'{path}' announces {lines[0]} names, but has {num_names}, or their ids are not the "
            f"numbers from 0 to {num_names - 1}"
        )
    out = [names[i] for i in range(num_names)] if numbered else lines
    if len(set(out)) < len(out):
        raise ValueError(f"The ids '{path}' hold a name twice")
    return out
