r"""Reads tables of Parquet by pandas and of Excel by openpyxl. Without the rest, as another process
does it.
"""

from collections.abc import Iterator
from typing import Any

from torch_imf.io import require

#: How many rows are passed on at once, and parsed until it is told.
CHUNK = 1000


def read_frame(file: str, path: str) -> Iterator[list[list[str]] | list[str] | int]:
    r"""Yields the rows of a file on disk in chunks, after how many there are and, of Excel, the
    names of the sheet that is read and of others that hold something. In Parquet, the names of the
    columns are the first row. Of Excel, numbers in between tell how many rows have been parsed, as
    chunks come only then. Errors name the path.
    """
    is_excel = path.lower().endswith(".xlsx")
    try:
        yield from _excel(file) if is_excel else _parquet(file)
    except (OSError, MemoryError, ImportError):
        raise
    except Exception as e:  # A damaged file can make a reader raise anything.
        kind = "Excel" if is_excel else "Parquet"
        raise ValueError(f"'{path}' cannot be read as a file of {kind} ({e})") from e


def _excel(file: str) -> Iterator[list[list[str]] | list[str] | int]:
    require("openpyxl", "Tables of Excel", "excel")
    from openpyxl import load_workbook

    book = load_workbook(file, read_only=True, data_only=True, keep_links=False)
    sheet, *others = book.worksheets
    size = str(sheet.max_row or 0)  # As it says itself.
    for x in book.worksheets:
        x.reset_dimensions()  # Which are often wrong.
    yield [size, sheet.title, *(x.title for x in others if any(map(_cells, x.rows)))]
    rows = []
    for i, row in enumerate(sheet.rows, start=1):
        rows.append(_cells(row))
        if i % CHUNK == 0:
            yield CHUNK
    yield len(rows) % CHUNK
    width = max(map(len, rows), default=0)
    for start in range(0, len(rows), CHUNK):
        yield [[*row, *[""] * (width - len(row))] for row in rows[start : start + CHUNK]]
    book.close()


def _cells(row: Any) -> list[str]:
    # The cells of a row up to the last that holds anything. Errors, as #N/A, hold nothing.
    out = ["" if x.value is None or x.data_type == "e" else _text(x.value) for x in row]
    while out and not out[-1]:
        out.pop()
    return out


def _text(value: object) -> str:
    return str(int(value) if isinstance(value, float) and value.is_integer() else value)


def _parquet(file: str) -> Iterator[list[list[str]] | list[str]]:
    import pandas as pd
    import pyarrow as pa

    # Arrow's own types, as a column of integers that lacks one is none of pandas':
    frame = pd.read_parquet(file, dtype_backend="pyarrow")
    frame = frame.reset_index() if any(frame.index.names) else frame
    yield [str(len(frame) + 1)]
    yield [list(map(str, frame))]
    text = pd.ArrowDtype(pa.string())
    columns = [frame.iloc[:, i] for i in range(frame.shape[1])]
    for i, column in enumerate(columns):
        try:
            columns[i] = column.astype(text)
        except (pa.ArrowException, NotImplementedError):  # Refused if it is asked for.
            columns[i] = pd.Series(f"\0{column.dtype}", column.index, text)
    frame = pd.concat(columns, axis=1) if columns else frame
    for start in range(0, len(frame), CHUNK):
        yield frame.iloc[start : start + CHUNK].fillna("").to_numpy(object).tolist()
