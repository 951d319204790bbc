import csv
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch_imf.datasets.io import short
from torch_imf.datasets.lines import PARQUET, read_lines, suffix, where

SEPARATORS = {".tsv": "\t", ".tab": "\t", ".txt": "\t", ".csv": ","}
TABLES = (*SEPARATORS, *PARQUET)


@dataclass(frozen=True)
class Column:
    r"""A column of a table.

    Args:
        name (str): What it holds, for error messages.
        words (tuple[str, ...]): The names that it goes by in a header, the
            best first.
        required (bool, optional): Whether a table needs to have it.
            (default: :obj:`True`)
        blank (bool, optional): Whether its fields may be empty.
            (default: :obj:`False`)
    """

    name: str
    words: tuple[str, ...]
    required: bool = True
    blank: bool = False


def read_table(
    path: str,
    columns: Sequence[Column],
    header: bool | None = None,
) -> Iterator[tuple[int, list[str]]]:
    r"""Streams the rows of a table: TSV (:obj:`.tsv`, :obj:`.tab`,
    :obj:`.txt`), CSV, either of them gzipped, or Parquet. White space around
    fields, empty lines and a byte-order mark do not matter.

    A table without a header holds the required columns in their order. With
    one, columns are found by their names, and others are left out with a
    warning.

    Args:
        path (str): The path of the file.
        columns (list[Column]): The columns.
        header (bool, optional): Whether the first line is a header. If
            :obj:`None`, it is one if it names all required columns.
            (default: :obj:`None`)

    Yields:
        The line (the row, of Parquet), counted from one, and a field for each
        column, empty where the table has no such column.

    Raises:
        ValueError: If the file or a line of it cannot be read.
    """
    kind = suffix(path)
    if kind not in TABLES:
        raise ValueError(
            f"'{path}' is no table, expected one of {list(TABLES)} (or .gz, unless Parquet)"
        )
    rows = parquet_rows(path) if kind in PARQUET else text_rows(path, SEPARATORS[kind])
    place: list[int | None] = list(range(sum(column.required for column in columns)))
    required = iter(range(len(place)))
    place = [next(required) if column.required else None for column in columns]
    width, first = sum(index is not None for index in place), True
    for line, row in rows:
        if first:
            first = False
            found = find_header(path, row, columns, header)
            if found is not None:
                place, width = found, len(row)
            if found is not None or header or kind in PARQUET:
                if len(row) != width:
                    raise ValueError(wrong_size(path, line, row, width, columns))
                continue
        if len(row) != width:
            raise ValueError(wrong_size(path, line, row, width, columns))
        fields = ["" if index is None else row[index].strip() for index in place]
        for field, column in zip(fields, columns, strict=True):
            if field == "" and column.required and not column.blank:
                raise ValueError(f"{where(path, line)}: the {column.name} is empty")
        yield line, fields


def find_header(
    path: str,
    row: list[str],
    columns: Sequence[Column],
    header: bool | None,
) -> list[int | None] | None:
    r"""Returns where each column is if the first row of a table names them
    all, and :obj:`None` if it does not.

    Raises:
        ValueError: If it looks like a header that lacks a column or has one
            twice.
    """
    if header is False and suffix(path) not in PARQUET:
        return None
    names = [field.strip().lower() for field in row]
    place = [
        next((names.index(word) for word in column.words if word in names), None)
        for column in columns
    ]
    absent = [
        column.name
        for column, index in zip(columns, place, strict=True)
        if index is None and column.required
    ]
    known = {word for column in columns for word in column.words}
    if absent and not known.issuperset(names):
        return None  # A fact, or a header of other words.
    twice = [name for name in names if names.count(name) > 1]
    if absent or twice:
        problem = f"has {short(twice[0])} twice" if twice else f"lacks the {absent[0]}"
        raise ValueError(
            f"{where(path, 1)}: the header {problem} (got {short(row)}). If this is no header, "
            f"pass 'header=False'"
        )
    others = [field for i, field in enumerate(row) if i not in place]
    if others:
        warnings.warn(f"'{path}': the columns {others} are left out", stacklevel=4)
    return place


def wrong_size(path: str, line: int, row: list[str], width: int, columns: Sequence[Column]) -> str:
    r"""Returns what is wrong with a row that has another number of fields."""
    kind = suffix(path)
    sep = "" if kind in PARQUET else " separated by " + ("commas" if kind == ".csv" else "tabs")
    names = ", ".join(column.name for column in columns if column.required)
    hint = ". Spaces do not separate fields" if kind in SEPARATORS and len(row) == 1 else ""
    return (
        f"{where(path, line)}: expected {width} fields{sep} ({names}), got {len(row)}: "
        f"{short(row)}{hint}"
    )


def text_rows(path: str, sep: str) -> Iterator[tuple[int, list[str]]]:
    r"""Streams the rows of a TSV or CSV file, which may be quoted if they are
    separated by commas.
    """
    if sep == "\t":
        for line, text in enumerate(read_lines(path), start=1):
            if text.strip():
                yield line, text.rstrip("\r\n").split("\t")
        return
    reader = csv.reader(read_lines(path), delimiter=sep, strict=True, skipinitialspace=True)
    line = 1
    try:
        for row in reader:
            if len(row) > 1 or "".join(row).strip():
                yield line, row
            line = reader.line_num + 1
    except csv.Error as e:
        raise ValueError(f"{where(path, line)}: the row that begins here is no CSV ({e})") from e


def parquet_rows(path: str) -> Iterator[tuple[int, list[str]]]:
    r"""Streams the rows of a Parquet file after the names of its columns."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError as e:
        raise ValueError(
            f"'{path}' is a Parquet file, which needs 'pip install pyarrow' to be read. Otherwise, "
            f"save it as TSV or CSV"
        ) from e
    try:
        with pq.ParquetFile(path) as file:
            yield 0, list(file.schema_arrow.names)
            row = 0
            for batch in file.iter_batches():
                for fields in zip(*(x.to_pylist() for x in batch.columns), strict=True):
                    row += 1
                    yield row, ["" if field is None else str(field) for field in fields]
    except FileNotFoundError as e:
        raise ValueError(f"There is no file '{path}'") from e
    except pa.ArrowException as e:
        raise ValueError(f"'{path}' cannot be read as a Parquet file ({e})") from e
