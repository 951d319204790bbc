r"""Bars that tell in a terminal, and not in a pipe, how far something is and what time is left."""

import io
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import IO, Any, TypeVar

from fsspec.compression import compr
from fsspec.core import get_compression
from tqdm import tqdm

from torch_imf.io.atomic import url_to_fs

T = TypeVar("T")
#: The seconds that nobody minds, after which a bar is shown.
DELAY = 5
#: The rows that are written at once, from one step of a bar to the next.
ROWS = 65_536


def watched(
    steps: Iterable[T] | None = None, what: str = "", shown: bool = True, **options: Any
) -> "tqdm[T]":
    r"""Returns steps, or without them what counts them by :meth:`update`, whose progress a bar
    tells if they take more than a few seconds. Options are those of :obj:`tqdm`.
    """
    options = {"leave": False, "delay": DELAY, **options}
    return tqdm(steps, what, disable=None if shown else True, **options)


@contextmanager
def reading(path: str) -> Iterator[IO[bytes]]:
    r"""Opens a file, decompressed if its name says so, of which a bar tells how much is read."""
    filesystem, name = url_to_fs(path)
    unit: Any = {"unit": "B", "unit_scale": True, "total": filesystem.size(name)}
    with filesystem.open(name, "rb") as file, watched(what="Reading", **unit) as bar:
        source = io.BufferedReader(_Source(file, bar), 1 << 20)
        with compr[get_compression(name, "infer")](source, mode="rb") as content:
            yield content


class _Source(io.RawIOBase):
    def __init__(self, file: IO[bytes], bar: "tqdm[Any]") -> None:
        super().__init__()
        self.file, self.bar = file, bar

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return self.file.seekable()

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self.file.seek(offset, whence)

    def tell(self) -> int:
        return self.file.tell()

    def readinto(self, buffer: Any) -> int:
        content = self.file.read(len(buffer))
        buffer[: len(content)] = content
        self.bar.update(len(content))
        return len(content)
