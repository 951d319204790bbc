import os
import os.path as osp
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import fsspec
from fsspec import AbstractFileSystem
from fsspec.implementations.local import LocalFileSystem


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    r"""Opens a file for writing that takes the place of :obj:`path` in one
    step once the block has ended well: afterwards, :obj:`path` is either
    complete or as it was before, and nothing else is left behind.

    .. code-block:: python

        with replacing("data.pt") as file:
            torch.save(data, file)

    Args:
        path (str): The path, on disk or any file system of :obj:`fsspec`. Its
            folder is created if needed.
    """
    filesystem, name = fsspec.core.url_to_fs(os.fspath(path))
    if not isinstance(filesystem, LocalFileSystem):
        with _replacing_remote(filesystem, name) as file:
            yield file
        return
    folder = osp.dirname(name)
    os.makedirs(folder, exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=f".{osp.basename(name)}-", dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            yield file
        os.chmod(temporary, 0o644)
        os.replace(temporary, name)
    finally:
        if osp.exists(temporary):
            os.remove(temporary)


@contextmanager
def _replacing_remote(filesystem: AbstractFileSystem, path: str) -> Iterator[BinaryIO]:
    folder, _, name = path.rpartition("/")
    filesystem.makedirs(folder, exist_ok=True)
    temporary = f"{folder}/.{name}-{os.getpid()}"
    try:
        with filesystem.open(temporary, "wb") as file:
            yield file
        filesystem.mv(temporary, path)
    finally:
        if filesystem.exists(temporary):
            filesystem.rm(temporary)


def read_bytes(path: str) -> bytes:
    r"""Returns the content of a file on any file system."""
    with fsspec.open(path, "rb") as file:
        return file.read()


def cache_folder() -> str:
    r"""Returns the folder to keep what can be made again:
    :obj:`$TORCH_IMF_CACHE` or, if not set, :obj:`~/.cache/torch_imf`.
    """
    return osp.expanduser(os.environ.get("TORCH_IMF_CACHE") or "~/.cache/torch_imf")
