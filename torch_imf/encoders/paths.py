import os.path as osp
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory

import fsspec
from fsspec.implementations.local import LocalFileSystem


def locate(path: str) -> tuple[str, bool]:
    r"""Returns the path on a file system, and whether that is the disk."""
    filesystem, name = fsspec.core.url_to_fs(path)
    return name, isinstance(filesystem, LocalFileSystem)


def is_file(path: str) -> bool:
    filesystem, name = fsspec.core.url_to_fs(path)
    return filesystem.isfile(name)


def basename(path: str) -> str:
    r"""Returns the name of a file, without the query of a URL."""
    return osp.basename(path.partition("?")[0] if "://" in path else path)


def suffix(path: str) -> str:
    return osp.splitext(basename(path))[1].lower()


@contextmanager
def on_disk(path: str) -> Iterator[str]:
    r"""Copies a file that is on another file system to the disk."""
    name, local = locate(path)
    if local:
        yield name
        return
    with TemporaryDirectory(prefix="torch_imf-", ignore_cleanup_errors=True) as folder:
        name = osp.join(folder, "features")
        with fsspec.open(path, "rb") as source, open(name, "wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)
        yield name
