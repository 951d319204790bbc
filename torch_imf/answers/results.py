import contextlib
import gzip
import math
import os
import re
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, BinaryIO

from torch_imf.io import require
from torch_imf.io.atomic import replacing
from torch_imf.io.quantities import to_number
from torch_imf.io.tables import BINARY, PARQUET, SEPARATORS, TABLES, suffix

#: The most views of answers that are shown, the last of which may be all others.
MOST_VIEWS = 5
#: Characters that Excel files cannot hold.
CONTROLS = r"[\x00-\x08\x0b-\x1f]"
#: Control characters but tabs and line feeds, separators of lines, and marks of direction.
HARMFUL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


@dataclass(frozen=True)
class Completion:
    r"""One answer to a query: the entity by number, name (with the identifier where entities share
    it) and identifier; its score over all views, and the part that each has in it (parts sum to
    it); whether the graph holds this fact, in any split; its score in each view, the weight of each
    view; and, if there is a calibration, the probability that it is a fact, and the conditional one
    if the query misses an answer, see :meth:`~torch_imf.calibrate`. Views of modalities that the
    answer, or who was asked for, :obj:`lacks` say nothing of them: their part is what the model
    takes in place of features.
    """

    index: int
    name: str
    node_id: str
    score: float
    known: bool
    views: dict[str, float]
    weights: dict[str, float]
    parts: dict[str, float]
    probability: float | None = None
    conditional: float | None = None
    lacks: tuple[str, ...] = ()


class Answers(list[Completion]):
    r"""The answers to a query, best first: a list that prints as a table. The query is a
    :obj:`fact` of head, relation and tail by names, with a question mark in place of the answers.
    """

    def __init__(
        self, completions: Iterable[Completion] = (), fact: tuple[str, ...] = ("?", "?", "?")
    ) -> None:
        super().__init__(completions)
        self.fact = fact

    @property
    def query(self) -> str:
        r"""The query on one line."""
        return shown("  ".join(self.fact))

    def __str__(self) -> str:
        if len(self) == 0:
            return f"{self.query}\n  no answer is left"
        most, rest = shown_views(self)
        views, others = [x for x in self[0].parts if x in most], ["of others"] * bool(rest)
        rows = [["", "answer", "", "probability", "score", *(f"of {v}" for v in views), *others]]
        for i, x in enumerate(self, start=1):
            known = "known" if x.known else ""
            parts = ["none" if v in x.lacks else f"{x.parts[v]:.3f}" for v in views]
            parts += [f"{sum(x.parts[v] for v in rest):.3f}"] * bool(rest)
            rows.append([str(i), x.name, known, percent(x.probability), f"{x.score:.3f}", *parts])
        return f"{self.query}\n{format_table(rows, left=(1, 2))}"


def shown_views(answers: Sequence[Completion]) -> tuple[list[str], list[str]]:
    r"""Returns the views that say most of answers, the largest part first, and those that are left
    to be shown as one.
    """
    parts = {view: sum(abs(x.parts[view]) for x in answers) for view in answers[0].parts}
    views = sorted(parts, key=lambda view: -parts[view])
    most = len(views) if len(views) <= MOST_VIEWS else MOST_VIEWS - 1
    return views[:most], views[most:]


@dataclass(frozen=True)
class Fact:
    r"""A fact that the graph does not hold: its head, relation and tail by number and by name, its
    score over all views, the probability that it is true, the conditional one if its query misses
    an answer (see :meth:`~torch_imf.calibrate`), and head, relation and tail by identifier.
    """

    head_index: int
    rel_type: int
    tail_index: int
    head: str
    relation: str
    tail: str
    score: float
    probability: float
    conditional: float
    head_id: str
    rel_id: str
    tail_id: str


class Facts(list[Fact]):
    r"""Facts, most likely first: a list that prints as a table."""

    def __str__(self) -> str:
        rows = [["", "head", "relation", "tail", "probability", "score"]]
        for i, x in enumerate(self, start=1):
            cells = [x.head, x.relation, x.tail, percent(x.probability), f"{x.score:.3f}"]
            rows.append([str(i), *cells])
        return format_table(rows, left=(1, 2, 3)) if self else "No fact is missing"


@dataclass(frozen=True)
class Rank:
    r"""The filtered rank of a fact, as of :meth:`~torch_imf.evaluate`: that of its tail, and that
    of its head, among all entities. As in answers, no entity rivals as the tail of itself, unless
    the relation has such facts.
    """

    tail: float
    head: float


@dataclass(frozen=True)
class Support:
    r"""A training fact that is like the explained one, by names. The similarity is the mean cosine
    of both heads and of both tails, once the mean of all entities is taken off.
    """

    head: str
    relation: str
    tail: str
    similarity: float


@dataclass(frozen=True)
class Reason:
    r"""What a view that needs no training has to say for a fact: by which view, in words, and the
    share of such conclusions that are training facts, if it is a rule. Of a rule, the words are the
    training facts that it concludes from.
    """

    view: str
    text: str
    confidence: float | None = None

    def __str__(self) -> str:
        if self.confidence is None:
            return self.text
        return f"{self.text}: right in {percent(self.confidence)} of cases"


@dataclass(frozen=True)
class Explanation:
    r"""What stands behind the score of a fact, which is given by names: the split that holds it, if
    any; its score over all views, probability (of the fact, and, as :obj:`conditional`, of the tail
    if its query misses one) and rank; its rank in each view alone, the weight of
    each view, and its rank over all views if no entity had a modality; the training facts of its
    relation that are nearest to it, nearest first; ways from head to tail along one or two
    training facts, as names of entities and, between them, of relations, with :obj:`^-1` where they
    are followed backwards; and the reasons of views that need no training, such as the rules that
    it follows from. It prints as a short report.
    """

    fact: tuple[str, str, str]
    split: str | None
    score: float
    probability: float | None
    rank: Rank
    views: dict[str, Rank]
    weights: dict[str, float]
    without: dict[str, Rank]
    neighbors: list[Support] = field(default_factory=list)
    paths: list[tuple[str, ...]] = field(default_factory=list)
    conditional: float | None = None
    reasons: list[Reason] = field(default_factory=list)

    def __str__(self) -> str:
        held = f"a fact of '{self.split}'" if self.split else "no known fact"
        chance = "" if self.probability is None else f", probability {percent(self.probability)}"
        ranks = [("all views", self.rank, "")]
        ranks += [(f"{v} alone", x, f"{self.weights[v]:.2f}") for v, x in self.views.items()]
        ranks += [(f"without {name}", x, "") for name, x in self.without.items()]
        rows = [[name, f"{x.tail:g}", f"{x.head:g}", weight] for name, x, weight in ranks]
        near = [f"{x.similarity:.2f}  {x.head}  {x.relation}  {x.tail}" for x in self.neighbors]
        paths = ["  ".join(path) for path in self.paths]
        lines = [
            f"{'  '.join(self.fact)}  ({held})",
            f"score {self.score:.3f}{chance}",
            "",
            format_table([["", "rank of tail", "of head", "weight"], *rows], left=(0,)),
            "",
            "Nearest training facts of the relation:",
            *(f"  {line}" for line in near or ["there are none"]),
            "",
            "Paths along training facts:",
            *(f"  {line}" for line in paths or ["there are none of one or two facts"]),
        ]
        if self.reasons:
            lines += ["", "Behind the views that need no training:"]
            lines += [f"  {reason}" for reason in self.reasons]
        return shown("\n".join(lines))


def format_table(rows: Sequence[Sequence[str]], left: Sequence[int] = ()) -> str:
    r"""Aligns the columns of a table, whose first row holds titles, to the right or, some of them,
    to the left. Columns that hold nothing below their title are left out, and line breaks in names
    are spaces.
    """
    columns = []
    for i, cells in enumerate(zip(*rows, strict=True)):
        column = [shown(re.sub(r"[\t\r\n]", " ", x)) for x in cells]
        width = max(map(len, column))
        if any(column[1:]):
            columns.append([x.ljust(width) if i in left else x.rjust(width) for x in column])
    return "\n".join("  " + "  ".join(row).rstrip() for row in zip(*columns, strict=True))


def write_table(path: str | os.PathLike[str], rows: Iterable[Sequence[object]]) -> int:
    r"""Writes rows, titles first, to a table of the format of its name (see :meth:`table_suffix`),
    which takes its place once it is complete, and returns their number without the titles. Nothing
    is an empty cell. In TSV, tabs and line breaks within a cell become spaces. In CSV and Excel,
    texts that a spreadsheet would run as formulas get an apostrophe in front. Where the file cannot
    be written is told before the first row is asked for.
    """
    kind, path, number = table_suffix(path), os.fspath(path), count(-1)
    with replacing(path) as file, gzipped(path, file) as out:
        if SEPARATORS.get(kind) == "\t":
            for row in rows:
                next(number)
                cells = (
                    "" if x is None else f"{x:.6g}" if isinstance(x, float) else x for x in row
                )
                line = "\t".join(re.sub(r"[\t\r\n]", " ", str(x)) for x in cells)
                out.write(f"{line}\n".encode())
            return next(number)
        import pandas as pd

        titles, *entries = rows
        frame = pd.DataFrame(entries, columns=list(titles), dtype=object)
        if kind in (".csv", ".xlsx"):
            frame = frame.apply(lambda column: column.map(defused))
        if kind == ".xlsx":
            frame.to_excel(out, index=False)
        elif kind in PARQUET:
            frame.to_parquet(out, index=False)
        elif kind == ".csv":
            out.write(frame.to_csv(index=False).encode())
        else:
            lines = kind != ".json"
            out.write(frame.to_json(orient="records", lines=lines, force_ascii=False).encode())
    return len(frame)


def table_suffix(path: str | os.PathLike[str]) -> str:
    r"""Returns the format of a table to write, :obj:`.tsv` if its name has no suffix. Raises a
    :class:`ValueError` if there is no such format, and an :class:`ImportError` if it needs a
    package.
    """
    path, kind = os.fspath(path), suffix(os.fspath(path)) or ".tsv"
    if os.path.isdir(path):
        raise ValueError(f"'{path}' cannot be written, it is a folder")
    if kind not in TABLES or (kind in BINARY and path.lower().endswith(".gz")):
        raise ValueError(f"'{path}' is no table, end its name in one of {', '.join(TABLES)}")
    if kind == ".xlsx":
        require("openpyxl", "Excel files", "excel")
    return kind


def gzipped(path: str, file: BinaryIO) -> AbstractContextManager[Any]:
    r"""Returns a file that compresses what is written to another, if its name ends in `.gz`."""
    if path.lower().endswith(".gz"):
        return gzip.GzipFile(fileobj=file, mode="wb", mtime=0)
    return contextlib.nullcontext(file)


def defused(cell: object) -> object:
    r"""Returns a cell that no spreadsheet takes for a formula: an apostrophe is put in front of
    texts that begin like one, but not of numbers. Characters that Excel does not hold are spaces.
    """
    if not isinstance(cell, str):
        return cell
    cell = re.sub(CONTROLS, " ", cell)
    if not cell.startswith(("=", "+", "-", "@", "\t", "\r")):
        return cell
    return cell if math.isfinite(to_number(cell)) else f"'{cell}"


def percent(value: float | None) -> str:
    r"""Writes a probability, if there is one, in per cent."""
    if value is None:
        return ""
    return "< 0.1 %" if value < 0.001 else f"{100 * value:.1f} %"


def shown(text: str) -> str:
    r"""Returns a text without what makes a terminal do or hide something, such as escape sequences
    and marks that turn the direction of writing: names, and what servers answer, are not ours.
    """
    return HARMFUL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
