import gzip
import os.path as osp
from collections.abc import Iterator
from functools import partial

from torch_imf.datasets.io import DAMAGED

PARQUET = (".parquet", ".pq")

LONGEST = 1 << 26
"""How many bytes a line may have. A gzipped file can hold one without end."""


def read_lines(path: str) -> Iterator[str]:
    r"""Streams the lines of a UTF-8 file with their ends, from a gzipped one
    if its name ends in :obj:`.gz`.

    Raises:
        ValueError: If there is no such file, it is damaged, it is no text, or
            a line is longer than :obj:`LONGEST`.
    """
    line = 1
    try:
        with (gzip.open if path.lower().endswith(".gz") else open)(path, "rb") as file:
            for line, content in enumerate(iter(partial(file.readline, LONGEST + 1), b""), 1):
                if len(content) > LONGEST:
                    raise ValueError(
                        f"{where(path, line)}: this line has more than {LONGEST:,} bytes"
                    )
                text = content.decode("utf-8-sig" if line == 1 else "utf-8")
                if "\0" in text:
                    raise ValueError(f"{where(path, line)}: this is no text, but binary data")
                yield text
    except UnicodeDecodeError as e:
        raise ValueError(
            f"{where(path, line)}: not valid UTF-8 ({e.reason}). Please save the file as UTF-8"
        ) from e
    except (FileNotFoundError, IsADirectoryError) as e:
        raise ValueError(f"There is no file '{path}'") from e
    except DAMAGED as e:
        if isinstance(e, OSError) and e.errno is not None:
            raise  # Not the file is at fault, but the disk.
        raise ValueError(
            f"'{path}' is damaged after line {line}, please fetch it anew ({e})"
        ) from e


def suffix(path: str) -> str:
    r"""Returns how the name of a file ends, without :obj:`.gz`."""
    name = osp.basename(path).lower()
    return osp.splitext(name.removesuffix(".gz"))[1]


def where(path: str, line: int) -> str:
    r"""Returns a place in a file, as error messages begin with it."""
    return f"'{path}', {'row' if suffix(path) in PARQUET else 'line'} {line}"
