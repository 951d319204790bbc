import csv
import re
import warnings
from collections.abc import Iterator, Sequence

from torch_imf.datasets.columns import Column, find_header, warn_of_words
from torch_imf.datasets.io import short
from torch_imf.datasets.lines import LONGEST, PARQUET, read_lines, suffix, where

SEPARATORS = {".tsv": "\t", ".tab": "\t", ".txt": "\t", ".csv": ","}
TABLES = (*SEPARATORS, *PARQUET)
OTHERS = {"\t": "Tabs", ";": "Semicolons", ",": "Commas", " ": "Spaces"}
QUOTED = re.compile(r'"(?:[^"]|"")*"')


def read_table(
    path: str,
    columns: Sequence[Column],
    header: bool | None = None,
) -> Iterator[tuple[int, list[str]]]:
    r"""Streams the rows of a table: TSV (:obj:`.tsv`, :obj:`.tab`,
    :obj:`.txt`), CSV, either of them gzipped, or Parquet. White space around
    fields, empty lines and a byte-order mark do not matter. In TSV, quotes are
    part of a field; a warning tells the first that is in quotes as CSV has it.

    A table without a header holds the required columns in their order. With
    one, columns are found by their names (whatever their case, and what
    separates their words), and others are left out with a warning. A first
    line that is read as data although it looks like a header gets one, too.

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
        found = find_header(path, row, columns, header) if first else None
        if found is not None:
            place, width = found, len(row)
        if len(row) != width:
            raise ValueError(wrong_size(path, line, row, width, columns))
        if first:
            first = False
            named = found is not None or header or kind in PARQUET
            if found is None and (header is None or named):
                warn_of_words(path, row, columns, bool(named))
            if named:
                continue
        fields = ["" if index is None else row[index].strip() for index in place]
        for field, column in zip(fields, columns, strict=True):
            if field == "" and column.required and not column.blank:
                raise ValueError(f"{where(path, line)}: the {column.name} is empty")
        yield line, fields


def wrong_size(path: str, line: int, row: list[str], width: int, columns: Sequence[Column]) -> str:
    r"""Returns what is wrong with a row that has another number of fields."""
    kind = suffix(path)
    sep = "" if kind in PARQUET else " separated by " + ("commas" if kind == ".csv" else "tabs")
    names = ", ".join(column.name for column in columns if column.required)
    hint, own = "", SEPARATORS.get(kind)
    if own is not None and len(row) == 1:
        found = [name for x, name in OTHERS.items() if x != own and x in row[0].strip()]
        hint = f". {found[0]} do not separate fields" if found else ""
    if any("\r" in field for field in row):
        hint = ". Please end lines in a line feed, not in a carriage return only"
    elif sep.endswith("tabs") and any(field.startswith('"') for field in row):
        hint = ". In TSV, quotes protect neither tabs nor line ends; please save the file as CSV"
    return (
        f"{where(path, line)}: expected {width} fields{sep} ({names}), got {len(row)}: "
        f"{short(row)}{hint}"
    )


def text_rows(path: str, sep: str) -> Iterator[tuple[int, list[str]]]:
    r"""Streams the rows of a TSV or CSV file, which may be quoted if they are
    separated by commas.
    """
    if sep == "\t":
        quoted = False
        for line, text in enumerate(read_lines(path), start=1):
            if text.strip():
                row = text.rstrip("\r\n").split("\t")
                if '"' in text and not quoted:
                    quoted = warn_of_quotes(path, line, row)
                yield line, row
        return
    # Texts may be longer than the module allows:
    csv.field_size_limit(max(LONGEST, csv.field_size_limit()))
    reader = csv.reader(read_lines(path), delimiter=sep, strict=True, skipinitialspace=True)
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


def warn_of_quotes(path: str, line: int, row: list[str]) -> bool:
    r"""Warns of a field of TSV that is in quotes as CSV has it, and returns
    whether there is one.
    """
    field = next((field for field in map(str.strip, row) if QUOTED.fullmatch(field)), None)
    if field is not None:
        warnings.warn(
            f"{where(path, line)}: {short(field)} is in quotes, which are part of it in TSV. If "
            f"they are not to be, here and below, save the file as CSV",
            stacklevel=4,
        )
    return field is not None


def parquet_rows(path: str) -> Iterator[tuple[int, list[str]]]:
    r"""Streams the rows of a Parquet file after the names of its columns."""
    try:
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
                    yield row, list(map(to_text, fields))
    except FileNotFoundError as e:
        raise ValueError(f"There is no file '{path}'") from e
    except Exception as e:  # A damaged file can make a reader raise anything.
        if isinstance(e, OSError) and e.errno is not None:
            raise  # Not the file is at fault, but the disk.
        raise ValueError(f"'{path}' cannot be read as a Parquet file ({e})") from e


def to_text(field: object) -> str:
    r"""Returns a field of a Parquet file as text."""
    if isinstance(field, bytes):  # Of a writer that does not say that its bytes are text.
        return field.decode()
    return "" if field is None else str(field)
