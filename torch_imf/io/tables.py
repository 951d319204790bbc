r"""Tables of text: TSV, CSV, JSON, JSONL, Parquet and Excel, row by row, with errors that name file
and line.

Not by pandas, which fills rows that are too short, numbers lines without those inside of quotes,
takes the last of two JSON entries of one key, lets binary data pass, and is no faster.
"""

import csv
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
from functools import partial
from itertools import chain, count, islice
from typing import TYPE_CHECKING, cast

import fsspec

from torch_imf.io import check_regular, warn
from torch_imf.io.atomic import on_disk
from torch_imf.io.confined import confined

if TYPE_CHECKING:
    import pyarrow as pa

SEPARATORS = {".tsv": "tabs", ".tab": "tabs", ".txt": "tabs", ".csv": "commas"}
PARQUET = (".parquet", ".pq")
BINARY = (*PARQUET, ".xlsx")
JSON = (".json", ".jsonl", ".ndjson")
#: The formats of tables.
TABLES = (*SEPARATORS, *JSON, *BINARY)

#: How many bytes a line may have (in a gzipped file, it can be without end), and how many
#: characters a JSON file, which is read as a whole.
LONGEST, LARGEST = 1 << 26, 1 << 30
SURROGATE = re.compile("[\ud800-\udfff]")
DATE = re.compile(r"(-?\d+)-(\d{1,2})-(\d{1,2})")


@dataclass(frozen=True)
class Column:
    r"""A column of a table, and the words that name it."""

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
    layout = _Layout(path, columns, header)
    for line, row in _rows(path, columns):
        fields = layout.pick(line, row)
        if fields is not None:
            yield line, fields


def read_columns(
    path: str, columns: Sequence[Column], header: bool | None = None
) -> list["pa.ChunkedArray"]:
    r"""Returns the columns of a table, as :meth:`read_table` reads them. Plain TSV is read by
    :obj:`pyarrow`, and row by row only to name the line of an error.
    """
    import pyarrow as pa

    layout = _Layout(path, columns, header)
    rows = _rows(path, columns)
    line, row = next(rows, (0, None))
    first = [] if row is None else [layout.pick(line, row)]
    rest = layout.read_after(line) if first and SEPARATORS.get(suffix(path)) == "tabs" else None
    if rest is None:
        first += (layout.pick(*row) for row in rows)
    start = to_columns(filter(None, first), len(columns))
    if rest is None:
        return start
    return [
        pa.chunked_array([*x.chunks, *y.chunks], pa.string())
        for x, y in zip(start, rest, strict=True)
    ]


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
    r"""Streams the lines of a UTF-8 file with their ends, of a gzipped one if its name ends in
    :obj:`.gz`.
    """
    with readable(path), fsspec.open(path, "rb", compression="infer") as file:
        for line, content in enumerate(iter(partial(file.readline, LONGEST + 1), b""), start=1):
            if len(content) > LONGEST:
                raise ValueError(
                    f"'{path}', line {line}: this line has more than {LONGEST:,} bytes"
                )
            try:
                text = content.decode("utf-8-sig" if line == 1 else "utf-8")
            except UnicodeDecodeError as e:
                raise ValueError(
                    f"'{path}', line {line}: not valid UTF-8, save it as such ({e.reason})"
                ) from e
            if "\0" in text:
                raise ValueError(f"'{path}', line {line}: this is no text, but binary data")
            yield text


@contextmanager
def readable(path: str) -> Iterator[None]:
    r"""Says which file cannot be read, as a :class:`ValueError`: there is none, or it is damaged.
    Errors of the disk stay as they are.
    """
    check_regular(path)
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


def _rows(path: str, columns: Sequence[Column]) -> Iterator[tuple[int, list[str]]]:
    kind = suffix(path)
    if kind not in TABLES:
        raise ValueError(f"'{path}' is no table, expected one of {list(TABLES)} (text also as .gz)")
    if kind in JSON:
        yield from _json_rows(path, columns)
    elif kind in BINARY:
        yield from _pandas_rows(path)
    elif kind == ".csv":
        yield from _csv_rows(path)
    else:
        for line, text in enumerate(read_lines(path), start=1):
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
    # The names of the columns of a Parquet file come first, in row 0.
    read = "torch_imf.io.frames:read_frame"
    with readable(path), on_disk(path) as file:
        chunks = confined(read, file, path, told=f"'{path}'", instead="save it as TSV")
        rows = chain.from_iterable(cast("Iterator[list[list[str]]]", chunks))
        yield from enumerate(rows, start=int(suffix(path) == ".xlsx"))


def _json_rows(path: str, columns: Sequence[Column]) -> Iterator[tuple[int, list[str]]]:
    lines = enumerate(read_lines(path), start=1)
    if suffix(path) != ".json":
        for line, text in lines:
            if text.strip():
                yield line, _from_object(_parse(text, path, line), where(path, line), columns)
        return
    file = io.StringIO()
    for line, text in lines:
        file.write(text)
        if file.tell() > LARGEST:
            raise ValueError(
                f"'{path}', line {line}: this JSON has more than {LARGEST:,} characters, save it "
                f"as JSONL"
            )
    content = _parse(file.getvalue(), path)
    if isinstance(content, dict):
        key, value = columns[0].name, columns[1].name
        values = [x if isinstance(x, dict) else {value: x} for x in content.values()]
        content = [{**x, key: name} for name, x in zip(content, values, strict=True)]
    if not isinstance(content, list):
        raise ValueError(f"'{path}': expected an object of entities, or a list of objects")
    for i, entry in enumerate(content, start=1):
        yield i, _from_object(entry, where(path, i), columns)


def _parse(text: str, path: str, line: int = 1) -> object:
    def unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
        keys = [key for key, _ in pairs]
        if len(set(keys)) < len(keys):
            twice = next(key for key in keys if keys.count(key) > 1)
            raise ValueError(f"'{path}', line {line}: the key {short(twice)} occurs twice")
        return dict(pairs)

    try:
        # Python refuses integers of thousands of digits:
        return json.loads(text, object_pairs_hook=unique, parse_int=str)
    except (json.JSONDecodeError, RecursionError) as e:  # Nested too deeply.
        line += getattr(e, "lineno", 1) - 1
        raise ValueError(f"'{path}', line {line}: this is no JSON that can be read ({e})") from e


def _from_object(entry: object, place: str, columns: Sequence[Column]) -> list[str]:
    if not isinstance(entry, dict):
        raise ValueError(f"{place}: expected an object with keys (got {short(entry)})")
    fields = []
    for column in columns:
        key = next((word for word in column.words if word in entry), None)
        if key is None and column.required:
            raise ValueError(
                f"{place}: there is no {column.name} (got {short(entry)}), expected one of the "
                f"keys {list(column.words)}"
            )
        value = "" if key is None or entry[key] is None else entry[key]
        if isinstance(value, bool | dict | list) or SURROGATE.search(str(value)):
            raise ValueError(f"{place}: the {column.name} is no text (got {short(value)})")
        fields.append(str(value))
    return fields


class _Layout:
    r"""Where the columns of a table are, which its first row tells."""

    def __init__(self, path: str, columns: Sequence[Column], header: bool | None) -> None:
        self.path = path
        self.columns = columns
        self.header = True if suffix(path) in PARQUET else header
        self.names = ", ".join(column.name for column in columns if column.required)
        is_json = suffix(path) in JSON  # Whose rows have the fields of all columns.
        self.index: list[int | None] = list(range(len(columns))) if is_json else []
        self.width = len(self.index)

    def pick(self, line: int, row: list[str]) -> list[str] | None:
        r"""Returns the fields of a row, :obj:`None` for a header."""
        place = where(self.path, line)
        is_header = not self.index and self._begin(place, row)
        if len(row) != self.width:
            kind = SEPARATORS.get(suffix(self.path), "")
            raise ValueError(
                f"{place}: expected {self.width} fields{kind and ' separated by '}{kind} "
                f"({self.names}), got {len(row)}: {short(row)}"
            )
        if is_header:
            return None
        fields = ["" if i is None else row[i].strip() for i in self.index]
        for field, column in zip(fields, self.columns, strict=True):
            if field == "" and column.required and not column.blank:
                raise ValueError(f"{place}: the {column.name} is empty")
        return fields

    def read_after(self, line: int) -> list["pa.ChunkedArray"] | None:
        r"""Returns the columns of TSV after a line, :obj:`None` if it is to be read row by row."""
        import pyarrow as pa
        import pyarrow.compute as pc
        from pyarrow import csv

        names = list(map(str, range(self.width)))
        with readable(self.path), fsspec.open(self.path, "rb", compression="infer") as file:
            for _ in range(line):
                file.readline()
            try:
                table = csv.read_csv(
                    file,
                    csv.ReadOptions(column_names=names),
                    csv.ParseOptions(delimiter="\t", quote_char=False),
                    csv.ConvertOptions(column_types=dict.fromkeys(names, pa.string())),
                )
            except pa.ArrowInvalid:
                return None
        out = [pc.utf8_trim_whitespace(table[i]) for i in self.index if i is not None]
        bad = (pc.any(pc.or_(pc.equal(x, ""), pc.match_substring(x, "\0"))).as_py() for x in out)
        return None if len(out) < len(self.columns) or any(bad) else out

    def _begin(self, place: str, row: list[str]) -> bool:
        # Finds the columns, and returns whether the first row is a header.
        if SEPARATORS.get(suffix(self.path)) == "tabs" and '"' in {field[:1] for field in row}:
            warn(f"{place}: {short(row)} is in quotes, which are part of names in TSV, not in CSV")
        names = list(map(_simplify, row))
        words = [list(map(_simplify, column.words)) for column in self.columns]
        index = [next((names.index(x) for x in group if x in names), None) for group in words]
        pairs = zip(index, self.columns, strict=True)
        found = all(i is not None or not column.required for i, column in pairs)
        if found and self.header is not False:
            for name in (x for x in names if names.count(x) > 1 and x in chain(*words)):
                raise ValueError(f"{place}: the header has '{name}' twice (got {short(row)})")
            others = [field for i, field in enumerate(row) if i not in index]
            if others:
                warn(f"'{self.path}': the columns {others} are left out")
            self.index, self.width = index, len(row)
            return True
        known = [name in chain(*words) and len(name) > 1 for name in names]  # Letters may be all.
        if any(known) and self.header is not False:
            message = (
                f"{place}: {short(row)} names columns, but not all of {self.names}. If it is a "
                f"header, name these; if not, pass 'header=False'"
            )
            if all(known):
                raise ValueError(message)
            warn(message)
        number = count()
        self.index = [next(number) if column.required else None for column in self.columns]
        self.width = next(number)
        return self.header is True


def _simplify(field: str) -> str:
    # The name of a column without case and what separates words.
    return re.sub(r"[\W_]+", "", field).lower() or field.strip()
