r"""Reads tables of Parquet and Excel by pandas. Without the rest, as another process does it."""

from collections.abc import Iterator

#: How many rows are passed on at once.
CHUNK = 1 << 14


def read_frame(file: str, path: str) -> Iterator[list[list[str]]]:
    r"""Yields the rows of a file on disk in chunks. In Parquet, the names of the columns come
    first. Errors name the path.
    """
    import pandas as pd

    excel = path.lower().endswith(".xlsx")
    try:
        if excel:
            frame = pd.read_excel(file, header=None, dtype=str, keep_default_na=False)
        else:  # Arrow's own types, as a column of integers that lacks one is none of pandas'.
            import pyarrow as pa

            frame = pd.read_parquet(file, dtype_backend="pyarrow")
            frame = frame.astype(pd.ArrowDtype(pa.string()))
            yield [list(map(str, frame))]
        for start in range(0, len(frame), CHUNK):
            yield frame.iloc[start : start + CHUNK].fillna("").to_numpy(object).tolist()
    except (OSError, MemoryError):
        raise
    except Exception as e:  # A damaged file can make a reader raise anything.
        kind = "Excel" if excel else "Parquet"
        raise ValueError(f"'{path}' cannot be read as a file of {kind} ({e})") from e
