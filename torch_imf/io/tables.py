r"""Tables of text: TSV, CSV, JSON, JSONL, Parquet and Excel, row by row, with errors that name file
and line.

Text files are split here and by :obj:`csv`, rather than by pandas, whose reader fills rows that are
too short, numbers lines without those inside of quotes, lets binary data pass, and is no faster.
"""

import csv
import gzip
import io
import json
import math
import os.path as osp
import re
import zlib
from calendar import isleap
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date, datetime, timedelta, timezone
from itertools import chain, islice
from typing import TYPE_CHECKING

import fsspec

from torch_imf.io import warn

if TYPE_CHECKING:
    import pyarrow as pa

SEPARATORS = {".tsv": "\t", ".tab": "\t", ".txt": "\t", ".csv": ","}
BINARY = (".parquet", ".pq", ".xlsx")
JSON = (".json", ".jsonl", ".ndjson")
#: The formats of tables.
TABLES = (*SEPARATORS, *JSON, *BINARY)

BLOCK = 1 << 25
"""How many bytes are read at once."""
LONGEST = 1 << 26
"""How many bytes a line may have. A gzipped file can hold one without end."""
LARGEST = 1 << 30
"""How many characters a JSON file may have, which is read as a whole."""

QUOTED = re.compile(r'"(?:[^"]|"")*"')
IN_QUOTES = re.compile(rb'(?:^|\t)\s*"[^\t\n]*"\s*(?:\t|$)', re.MULTILINE)
DATE = re.compile(r"(-?\d+)-(\d{1,2})-(\d{1,2})")
OTHERS = {"\t": "Tabs", ";": "Semicolons", ",": "Commas", " ": "Spaces"}


@dataclass(frozen=True)
class Column:
    r"""A column of a table."""

    name: str
    words: tuple[str, ...]
    required: bool = True
    blank: bool = False


def read_table(
    path: str, columns: Sequence[Column], header: bool | None = None
) -> Iterator[tuple[int, list[str]]]:
    r"""Streams the rows of a table: TSV, CSV or JSONL, each of them gzipped or not, JSON (an object
    of entities and their values, or a list of objects), Parquet or Excel. White space around
    fields, empty lines and a byte-order mark do not matter. In TSV, quotes are part of a field.

    A table without a header holds the required columns in their order. With one, columns are found
    by their names (whatever their case, and what separates their words), and others are left out
    with a warning.
    """
    kind = suffix(path)
    if kind not in TABLES:
        raise ValueError(f"'{path}' is no table, expected one of {list(TABLES)} (text also as .gz)")
    if kind in JSON:
        yield from _json_rows(path, columns)
        return
    if kind in BINARY:
        rows = _pandas_rows(path)
    elif kind == ".csv":
        rows = _csv_rows(path)
    else:
        rows = _tab_rows(enumerate(read_lines(path), start=1))
    layout = _Layout(path, columns, header)
    for line, row in rows:
        fields = layout.pick(line, row)
        if fields is not None:
            yield line, fields


def read_columns(
    path: str, columns: Sequence[Column], header: bool | None = None
) -> list["pa.ChunkedArray"]:
    r"""Returns the columns of a table, as :meth:`read_table` reads them. Plain TSV is read by
    :obj:`pyarrow`, and row by row only to name the line of an error.
    """
    if SEPARATORS.get(suffix(path)) != "\t":
        return to_columns(fields for _, fields in read_table(path, columns, header))
    layout = _Layout(path, columns, header)
    blocks = []
    for first, content in read_blocks(path):
        block = layout.split(content)
        if block is None:
            rows = _tab_rows(_to_lines(path, first, content))
            block = to_columns(filter(None, (layout.pick(*row) for row in rows)), len(columns))
        blocks.append(block)
    return list(map(_concat, zip(*blocks, strict=True))) or to_columns([], len(columns))


def to_columns(rows: Iterable[Sequence[str]], width: int = 3) -> list["pa.ChunkedArray"]:
    r"""Turns rows of a number of fields into columns."""
    import pyarrow as pa

    chunks: list[list[pa.Array]] = [[] for _ in range(width)]
    rows = iter(rows)
    # Fields one after the other, as Python's garbage collector visits rows again and again:
    while fields := list(chain.from_iterable(islice(rows, 1 << 16))):
        for i, column in enumerate(chunks):
            column.append(pa.array(fields[i::width], pa.string()))
    return [pa.chunked_array(column, pa.string()) for column in chunks]


def _concat(columns: Iterable["pa.ChunkedArray"]) -> "pa.ChunkedArray":
    import pyarrow as pa

    return pa.chunked_array([chunk for x in columns for chunk in x.chunks], pa.string())


def read_rows(path: str, width: int, sep: str = "\t", header: bool = False) -> list[list[str]]:
    r"""Returns the rows of a published file, its fields as they are."""
    rows = [line.rstrip("\r\n").split(sep) for line in read_lines(path)]
    while rows and rows[-1] == [""]:
        rows.pop()
    for line, row in enumerate(rows, start=1):
        if len(row) != width:
            raise ValueError(
                f"{where(path, line)}: expected {width} fields separated by {sep!r} (got "
                f"{short(row)})"
            )
    return rows[header:]


def read_lines(path: str) -> Iterator[str]:
    r"""Streams the lines of a UTF-8 file with their ends, see :meth:`read_blocks`."""
    for first, content in read_blocks(path):
        for _, line in _to_lines(path, first, content):
            yield line


def read_blocks(path: str) -> Iterator[tuple[int, bytes]]:
    r"""Streams a file in blocks of whole lines, the first line on its own, from a gzipped file if
    its name ends in :obj:`.gz`.
    """
    line = 1
    with readable(path), fsspec.open(path, "rb") as packed:
        file = gzip.open(packed) if path.lower().endswith(".gz") else packed
        content, rest = b"", file.readline(LONGEST + 1)
        while content or rest:
            if len(content) - content.rfind(b"\n") - 1 + len(rest) > LONGEST:
                line += content.count(b"\n")
                raise ValueError(
                    f"'{path}', line {line}: this line has more than {LONGEST:,} bytes"
                )
            content += rest
            yield line, content
            line += content.count(b"\n")
            content, rest = file.read(min(BLOCK, LONGEST)), file.readline(LONGEST + 1)


def _to_lines(path: str, first: int, content: bytes) -> Iterator[tuple[int, str]]:
    r"""Streams the lines of a block and their numbers."""
    encoding = "utf-8-sig" if first == 1 else "utf-8"
    for line, part in enumerate(io.BytesIO(content), start=first):
        try:
            text = part.decode(encoding)
        except UnicodeDecodeError as e:
            raise ValueError(
                f"'{path}', line {line}: not valid UTF-8 ({e.reason}). Please save the file as "
                f"UTF-8"
            ) from e
        if "\0" in text:
            raise ValueError(f"'{path}', line {line}: this is no text, but binary data")
        yield line, text


@contextmanager
def readable(path: str) -> Iterator[None]:
    r"""Says which file cannot be read, as a :class:`ValueError`: there is none, or it is damaged.
    Errors of the disk stay as they are.
    """
    try:
        yield
    except (FileNotFoundError, IsADirectoryError) as e:
        raise ValueError(f"There is no file '{path}'") from e
    except (OSError, EOFError, zlib.error) as e:
        if isinstance(e, OSError) and e.errno is not None:
            raise
        raise ValueError(f"'{path}' is damaged, please fetch it anew ({e})") from e


def suffix(path: str) -> str:
    r"""Returns how the name of a file ends, without :obj:`.gz`."""
    return osp.splitext(osp.basename(path).lower().removesuffix(".gz"))[1]


def where(path: str, line: int) -> str:
    r"""Returns a place in a file, as error messages begin with it."""
    kind = suffix(path)
    return f"'{path}', {'row' if kind in BINARY else 'entry' if kind == '.json' else 'line'} {line}"


def short(value: object) -> str:
    r"""Returns a quotation of a value that fits an error message."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def to_number(text: str) -> float:
    r"""Returns a number, a date or a time as ISO 8601 writes it as a year with a fraction
    (:obj:`"2020-01-02T03:04:05Z"`), and NaN for anything else. Years may be negative, and days and
    months that are not known zero (:obj:`"-63-9-0"`).
    """
    match = DATE.fullmatch(text)
    try:
        if match is None and "-" in text[1:] and ":" in text:
            # Python 3.10 does not know the letter:
            time = datetime.fromisoformat(re.sub("[Zz]$", "+00:00", text))
            time = time.astimezone(timezone.utc).replace(tzinfo=None) if time.tzinfo else time
            days = (time - datetime(time.year, 1, 1)) / timedelta(days=1)
            return time.year + days / (366 if isleap(time.year) else 365)
        if match is None:
            return float(text)
        year, month, day = (int(part) for part in match.groups())
        # Raises if there is no such day; the leap years of a calendar repeat every 400 years:
        date(2000 + year % 400, max(month, 1), max(day, 1))
        return year + (max(month, 1) - 1) / 12 + (max(day, 1) - 1) / 365
    except ValueError:
        return math.nan


def to_finite(text: str, place: str, hint: str = "") -> float:
    r"""Returns :meth:`to_number` of a text at a place in a file."""
    value = to_number(text)
    if not math.isfinite(value):
        raise ValueError(f"{place}: expected a number or a date (got {short(text)}){hint}")
    return value


# Formats ########################################################################################


def _tab_rows(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, list[str]]]:
    for line, text in lines:
        if text.strip():
            yield line, text.rstrip("\r\n").split("\t")


def _csv_rows(path: str) -> Iterator[tuple[int, list[str]]]:
    # Texts may be longer than the module allows:
    csv.field_size_limit(max(LONGEST, csv.field_size_limit()))
    reader = csv.reader(read_lines(path), strict=True, skipinitialspace=True)
    line = 1
    try:
        for row in reader:
            if len(row) > 1 or "".join(row).strip():
                yield line, row
            line = reader.line_num + 1
    except csv.Error as e:
        reason = "a carriage return is no end of a line" if "new-line character" in str(e) else e
        raise ValueError(
            f"{where(path, line)}: the row that begins here is no CSV ({reason})"
        ) from e


def _pandas_rows(path: str) -> Iterator[tuple[int, list[str]]]:
    # The names of the columns of a Parquet file come first.
    import pandas as pd

    kind, extra = ("Excel", "openpyxl") if suffix(path) == ".xlsx" else ("Parquet", "pyarrow")
    try:
        __import__(extra)
        with readable(path), fsspec.open(path, "rb") as file:
            if kind == "Excel":
                frame = pd.read_excel(file, header=None, dtype=str, keep_default_na=False)
                rows = frame.fillna("").to_numpy().tolist()
                return enumerate(rows, start=1)
            import pyarrow as pa

            # Arrow's own types, as a column of integers that lacks one is none of pandas':
            frame = pd.read_parquet(file, dtype_backend="pyarrow")
            frame = frame.astype(pd.ArrowDtype(pa.string())).fillna("")
            return enumerate([list(map(str, frame)), *frame.to_numpy(object).tolist()])
    except ImportError as e:
        raise ValueError(
            f"'{path}' is a file of {kind}, which needs 'pip install {extra}' to be read. "
            f"Otherwise, save it as TSV or CSV"
        ) from e
    except Exception as e:  # A damaged file can make a reader raise anything.
        if isinstance(e, OSError) or "There is no file" in str(e):
            raise
        raise ValueError(f"'{path}' cannot be read as a file of {kind} ({e})") from e


def _json_rows(path: str, columns: Sequence[Column]) -> Iterator[tuple[int, list[str]]]:
    # By the standard library: pandas takes the last of two entries of one key, turns keys into
    # numbers, and does not say which line is wrong.
    if suffix(path) != ".json":
        for line, text in enumerate(read_lines(path), start=1):
            if text.strip():
                yield line, _from_object(_parse(text, path, line), where(path, line), columns)
        return
    lines, size = [], 0
    for line, text in enumerate(read_lines(path), start=1):
        size += len(text)
        if size > LARGEST:
            raise ValueError(
                f"'{path}', line {line}: this JSON has more than {LARGEST:,} characters. Please "
                f"save it as JSONL, which is read line by line"
            )
        lines.append(text)
    content = _parse("".join(lines), path)
    if isinstance(content, dict):
        key, value, *_ = (column.name for column in columns)
        content = [
            {**(x if isinstance(x, dict) else {value: x}), key: name} for name, x in content.items()
        ]
    if not isinstance(content, list):
        raise ValueError(f"'{path}': expected an object of entities, or a list of objects")
    for i, entry in enumerate(content, start=1):
        yield i, _from_object(entry, where(path, i), columns)


def _parse(text: str, path: str, line: int = 1) -> object:
    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        out = dict(pairs)
        if len(out) < len(pairs):
            keys = [key for key, _ in pairs]
            twice = next(key for key in out if keys.count(key) > 1)
            raise ValueError(f"'{path}', line {line}: the key {short(twice)} occurs twice")
        return out

    try:
        # Python refuses integers of thousands of digits:
        return json.loads(text, object_pairs_hook=unique, parse_int=str)
    except json.JSONDecodeError as e:
        raise ValueError(
            f"'{path}', line {line + e.lineno - 1}: this is no JSON ({e.msg}, column {e.colno})"
        ) from e
    except RecursionError as e:
        raise ValueError(f"'{path}', line {line}: this JSON is nested too deeply") from e


def _from_object(entry: object, place: str, columns: Sequence[Column]) -> list[str]:
    if not isinstance(entry, dict):
        names = " and ".join(repr(column.name) for column in columns if column.required)
        raise ValueError(f"{place}: expected an object of {names} (got {short(entry)})")
    fields = []
    for column in columns:
        key = next((word for word in column.words if word in entry), None)
        value = "" if key is None or entry[key] is None else entry[key]
        if isinstance(value, bool | dict | list):
            raise ValueError(f"{place}: the {column.name} is no text (got {short(value)})")
        field = str(value).strip()
        if column.required and (key is None or not (column.blank or field)):
            raise ValueError(
                f"{place}: there is no {column.name} (got {short(entry)}), expected one of the "
                f"keys {list(column.words)}"
            )
        if any("\ud800" <= char <= "\udfff" for char in field):
            raise ValueError(f"{place}: the {column.name} holds half a character (a surrogate)")
        fields.append(field)
    return fields


# Headers ########################################################################################


class _Layout:
    r"""Where the columns of a table are, which its first row tells."""

    def __init__(self, path: str, columns: Sequence[Column], header: bool | None) -> None:
        self.path = path
        self.columns = columns
        self.header = header
        self.names = ", ".join(column.name for column in columns if column.required)
        self.place: list[int | None] = []
        self.width = 0
        self.told_of_quotes = SEPARATORS.get(suffix(path)) != "\t"

    def pick(self, line: int, row: list[str]) -> list[str] | None:
        r"""Returns the fields of a row, :obj:`None` for a header."""
        if not self.place and self._begin(row, where(self.path, line)):
            return None
        if len(row) != self.width:
            raise ValueError(f"{where(self.path, line)}: {self._wrong_size(row)}")
        self._check_quotes(line, row)
        fields = ["" if i is None else row[i].strip() for i in self.place]
        for field, column in zip(fields, self.columns, strict=True):
            if field == "" and column.required and not column.blank:
                raise ValueError(f"{where(self.path, line)}: the {column.name} is empty")
        return fields

    def split(self, content: bytes) -> list["pa.ChunkedArray"] | None:
        r"""Returns the columns of a block of TSV, :obj:`None` if it needs to be read row by row."""
        import pyarrow as pa
        import pyarrow.compute as pc
        from pyarrow import csv

        quoted = b'"' in content and IN_QUOTES.search(content)
        if (
            not self.place
            or (quoted and not self.told_of_quotes)
            or b"\0" in content
            or b"\r" in content
        ):
            return None
        names = list(map(str, range(self.width)))
        try:
            table = csv.read_csv(
                pa.BufferReader(content),
                csv.ReadOptions(use_threads=False, column_names=names, block_size=2 * BLOCK),
                csv.ParseOptions(delimiter="\t", quote_char=False, ignore_empty_lines=False),
                csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
            )
        except pa.ArrowInvalid:
            return None
        out = []
        for i, column in zip(self.place, self.columns, strict=True):
            fields = pa.chunked_array([[""] * len(table)], pa.string()) if i is None else table[i]
            fields = pc.utf8_trim_whitespace(fields)
            if column.required and not column.blank and pc.any(pc.equal(fields, "")).as_py():
                return None
            out.append(fields)
        return out

    def _begin(self, row: list[str], line: str) -> bool:
        r"""Finds the columns, and returns whether the first row is a header."""
        parquet = suffix(self.path) in BINARY[:2]  # Columns always have names.
        place = self._find(row, line) if parquet or self.header is not False else None
        if place is not None:
            self.place, self.width = place, len(row)
            return True
        named = parquet or self.header is True
        if self.header is not False:
            self._warn_of_words(row, line, named)
        required = iter(range(len(self.columns)))
        self.place = [next(required) if column.required else None for column in self.columns]
        self.width = sum(column.required for column in self.columns)
        if named and len(row) != self.width:
            raise ValueError(f"{line}: {self._wrong_size(row)}")
        return named

    def _find(self, row: list[str], line: str) -> list[int | None] | None:
        r"""Returns where each column is, if the first row names them all."""
        names = list(map(_simplify, row))
        words = [list(map(_simplify, column.words)) for column in self.columns]
        place = [next((names.index(x) for x in group if x in names), None) for group in words]
        absent = [
            column.name
            for column, index in zip(self.columns, place, strict=True)
            if index is None and column.required
        ]
        if absent and not _words(self.columns).issuperset(names):
            return None  # A row of data, or a header of other words.
        twice = [name for name in names if names.count(name) > 1 and name in sum(words, [])]
        if absent or twice:
            problem = f"has {short(twice[0])} twice" if twice else f"lacks the {absent[0]}"
            raise ValueError(
                f"{line}: the header {problem} (got {short(row)}). If this is no header, pass "
                f"'header=False'"
            )
        others = [field for i, field in enumerate(row) if i not in place]
        if others:
            warn(f"'{self.path}': the columns {others} are left out")
        return place

    def _warn_of_words(self, row: list[str], line: str, named: bool) -> None:
        r"""Warns of a first row that names some columns, but not all of them."""
        known = [field.strip() for field in row if _simplify(field) in _words(self.columns)]
        if known:
            order = f"columns that are read as {self.names}, in this order" if named else "data"
            hint = f"names for all of them ({self.names})" if named else "'header=True'"
            other = "" if named else ", and otherwise 'header=False'"
            warn(
                f"{line}: {short(row)} are taken for {order}, although {short(known[0])} is the "
                f"name of a column. If this is a header, pass {hint}{other}"
            )

    def _check_quotes(self, line: int, row: list[str]) -> None:
        r"""Warns of the first field of TSV that is in quotes as CSV has it."""
        if self.told_of_quotes or not any('"' in field for field in row):
            return
        field = next((field for field in map(str.strip, row) if QUOTED.fullmatch(field)), None)
        if field is not None:
            self.told_of_quotes = True
            warn(
                f"{where(self.path, line)}: {short(field)} is in quotes, which are part of it in "
                f"TSV. If they are not to be, here and below, save the file as CSV"
            )

    def _wrong_size(self, row: list[str]) -> str:
        own = SEPARATORS.get(suffix(self.path))
        sep = {"\t": " separated by tabs", ",": " separated by commas"}.get(own or "", "")
        hint = ""
        if own is not None and len(row) == 1:
            found = [name for x, name in OTHERS.items() if x != own and x in row[0].strip()]
            hint = f". {found[0]} do not separate fields" if found else ""
        if any("\r" in field for field in row):
            hint = ". Please end lines in a line feed, not in a carriage return only"
        elif own == "\t" and any(field.startswith('"') for field in row):
            hint = ". In TSV, quotes protect neither tabs nor line ends; save the file as CSV"
        return (
            f"expected {self.width} fields{sep} ({self.names}), got {len(row)}: {short(row)}{hint}"
        )


def _simplify(field: str) -> str:
    r"""Returns the name of a column without case and what separates words."""
    return re.sub(r"[\W_]+", "", field).lower() or field.strip()


def _words(columns: Sequence[Column]) -> set[str]:
    r"""Returns the names of columns, without letters, which may be anything."""
    words = {_simplify(word) for column in columns for word in column.words}
    return {word for word in words if len(word) > 1}
