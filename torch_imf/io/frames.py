r"""Reads tables of Parquet and Excel by pandas. Without the rest, as another process does it."""

from collections.abc import Iterator

#: How many rows are passed on at once.
CHUNK = 1 << 14


def read_frame(file: str, path: str) -> Iterator[list[list[str]] | list[str]]:
    r"""Yields the rows of a file on disk in chunks, after how many there are and, of Excel, the
    names of the sheet that is read and of others that hold something. In Parquet, the names of the
    columns are the first row. Errors name the path.
    """
    import pandas as pd

    excel = path.lower().endswith(".xlsx")
    try:
        if excel:
            sheets = pd.read_excel(file, None, header=None, dtype=str, keep_default_na=False)
            name, frame = next(iter(sheets.items()))
            others = (x for x, sheet in sheets.items() if x != name and len(sheet))
            yield [str(len(frame)), name, *others]
        else:  # Arrow's own types, as a column of integers that lacks one is none of pandas'.
            import pyarrow as pa

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
    except (OSError, MemoryError):
        raise
    except Exception as e:  # A damaged file can make a reader raise anything.
        kind = "Excel" if excel else "Parquet"
        raise ValueError(f"'{path}' cannot be read as a file of {kind} ({e})") from e
