import os
import os.path as osp
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from weakref import WeakValueDictionary

import fsspec
from filelock import FileLock, Timeout
from fsspec.implementations.local import LocalFileSystem

#: The seconds to wait without a word.
PATIENCE = 3.0


@contextmanager
def locked(folder: str | os.PathLike[str]) -> Iterator[None]:
    r"""Lets one process (and thread) at a time into the block, by the file
    :obj:`.lock` in a folder, which stays there. Others wait for it, and after
    a few seconds say so.

    The system takes the lock from a process that ends, however it does, so
    that nobody waits for the dead. A block inside of another one of the same
    folder goes on. Only folders on disk that can be written to have a lock:
    elsewhere, and on disks that know none, the block is run without.

    .. code-block:: python

        with locked(root):
            if not osp.exists(path):  # Another one may have done it.
                process()

    Args:
        folder (str): The folder, created if needed.
    """
    filesystem, name = fsspec.core.url_to_fs(os.fspath(folder))
    if not isinstance(filesystem, LocalFileSystem):
        yield
        return
    with suppress(OSError):  # Who is to write there will say so.
        os.makedirs(name, exist_ok=True)
    lock = _lock_of(osp.join(osp.realpath(name), ".lock"), os.getpid())
    has_lock = _wait(lock)
    try:
        yield
    finally:
        if has_lock:
            lock.release()


def claim(path: str | os.PathLike[str]) -> FileLock | None:
    r"""Claims a file on disk for this process as long as what is returned is
    referred to, or the process lives. The lock is the file
    :obj:`.<name>.lock` beside it, which stays there. It is :obj:`None` on
    disks that know none.

    Args:
        path (str): The file, which need not be there. Its folder does.

    Raises:
        RuntimeError: If another process has it.
    """
    folder, name = osp.split(osp.realpath(path))
    file = osp.join(folder, f".{name}.lock")
    key = file, os.getpid()
    lock = _CLAIMS.get(key)
    if lock is None:
        lock = FileLock(file, thread_local=False)
    if not lock.is_locked:
        try:
            lock.acquire(timeout=0)
        except Timeout as error:
            raise RuntimeError(
                f"'{os.fspath(path)}' is in use by another process, which holds the lock "
                f"'{file}'. Wait for it to end, or choose another file"
            ) from error
        except (OSError, NotImplementedError) as error:
            _warn(file, error)
            return None
    _CLAIMS[key] = lock
    return lock


_CLAIMS: WeakValueDictionary[tuple[str, int], FileLock] = WeakValueDictionary()


@cache
def _lock_of(file: str, process: int) -> FileLock:
    # One for each file, as it counts how many blocks of a thread are open. A fork has its own.
    return FileLock(file, thread_local=True)


def _wait(lock: FileLock) -> bool:
    try:
        try:
            lock.acquire(timeout=PATIENCE)
        except Timeout:
            print(
                f"Waiting for another process, which holds the lock '{lock.lock_file}'",
                file=sys.stderr,
                flush=True,
            )
            lock.acquire(timeout=-1)
    except (OSError, NotImplementedError) as error:
        if os.access(osp.dirname(lock.lock_file), os.W_OK):
            _warn(lock.lock_file, error)
        return False
    return True


def _warn(file: str, error: Exception) -> None:
    warnings.warn(
        f"The lock '{file}' cannot be had ({error}). See to it that no two processes work there at "
        f"once",
        stacklevel=4,
    )
