r"""Paths of files, on disk or on any file system of :obj:`fsspec`."""

import os
import os.path as osp

import fsspec
from fsspec.core import OpenFile
from fsspec.implementations.local import LocalFileSystem


def url_to_fs(path: str | os.PathLike[str]) -> tuple[fsspec.AbstractFileSystem, str]:
    r"""Returns the file system of a path, and the path there. Only what has :obj:`"://"` is the
    address of another one: :obj:`runs::1` is a file here, not a chain of file systems.
    """
    path = os.fspath(path)
    if "://" in path:
        return fsspec.core.url_to_fs(path)
    return LocalFileSystem(), osp.abspath(osp.expanduser(path))


def open_file(
    path: str | os.PathLike[str], mode: str = "rb", compression: str | None = None
) -> OpenFile:
    r"""Returns a file to be opened by :obj:`with`, as :obj:`fsspec.open` does."""
    return OpenFile(*url_to_fs(path), mode, compression)
