import errno
import hashlib
import io
import os
import os.path as osp
import re
import secrets
import shutil
import socket
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import Any, BinaryIO
from weakref import WeakValueDictionary

import fsspec
from filelock import FileLock, Timeout
from fsspec.implementations.local import LocalFileSystem

from torch_imf.io import warn

#: How a file is called while it is written: after its own name come the machine and the process
#: that writes it, and something random.
TEMPORARY = re.compile(r"\..*-(?P<machine>[0-9a-f]{8})-(?P<process>\d+)-[0-9a-f]{8}\.tmp")
#: The seconds after which nobody writes to a temporary file any more, wherever it comes from.
MAX_AGE = 24 * 60 * 60
#: The seconds to wait for a lock without a word.
PATIENCE = 3.0
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)

# Files in one step ##############################################################################


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    r"""Opens a file for writing that takes the place of :obj:`path` in one
    step once the block has ended well: afterwards, :obj:`path` is either
    complete or as it was before, and nothing else is left behind. It has the
    permissions of the file that it replaces; a link stays, and the file that it
    leads to is replaced.

    .. code-block:: python

        with replacing("data.pt") as file:
            torch.save(data, file)

    A process that is killed in the block leaves a temporary file, which is
    removed by the next call that writes to this folder (:meth:`is_stale`).

    Args:
        path (str): The path, on disk or any file system of :obj:`fsspec`. Its
            folder is created if needed.

    Raises:
        OSError: If the file cannot be written. The message says what to do if
            the disk is full.
    """
    filesystem, name = fsspec.core.url_to_fs(os.fspath(path))
    if not isinstance(filesystem, LocalFileSystem):
        folder, _, name = name.rpartition("/")
        filesystem.makedirs(folder, exist_ok=True)
        temporary = f"{folder}/{temporary_name(name)}"
        try:
            with filesystem.open(temporary, "wb") as remote:
                yield remote
            filesystem.mv(temporary, f"{folder}/{name}")
        finally:
            if filesystem.exists(temporary):
                filesystem.rm(temporary)
        return

    name = osp.realpath(name)
    folder = osp.dirname(name)
    temporary = osp.join(folder, temporary_name(osp.basename(name)))
    raw: _NewFile | None = None
    try:
        os.makedirs(folder, exist_ok=True)
        remove_stale(folder)
        raw = _NewFile(temporary, like=name)
        with io.BufferedWriter(raw) as file:
            yield file
        os.replace(temporary, name)
    except Exception as error:
        # What writes to the file may raise something else in place of its error:
        failure = (raw and raw.failure) or error
        if not isinstance(failure, OSError) or failure.errno not in FULL:
            raise
        raise OSError(
            failure.errno,
            f"{os.strerror(failure.errno)}: '{name}' could not be written, and is as it was "
            f"before. Free some space (or raise the quota) and try again, or choose another folder",
        ) from error
    finally:
        with suppress(OSError):  # As a rule, it is not there any more.
            os.remove(temporary)


class _NewFile(io.FileIO):
    # A new file with the permissions of another one, which remembers why it could not be written.
    failure: OSError | None = None

    def __init__(self, path: str, like: str) -> None:
        mode = stat.S_IMODE(os.stat(like).st_mode) if osp.exists(like) else None
        # As with any new file, the system takes what its user does not want off the mode:
        created = 0o666 if mode is None else 0o600
        super().__init__(path, "xb", opener=lambda path, flags: os.open(path, flags, created))
        if mode is not None:
            with suppress(PermissionError):  # Where there are none.
                os.chmod(path, mode)

    def write(self, data: Any, /) -> int:
        try:
            return super().write(data)
        except OSError as error:
            self.failure = error
            raise


def temporary_name(name: str) -> str:
    r"""Returns a name for a file or folder as long as it is written, by which
    others know who writes it.
    """
    # Names of files are limited to 255 bytes:
    stem = name.encode()[:200].decode(errors="ignore")
    return f".{stem}-{_machine()}-{os.getpid()}-{secrets.token_hex(4)}.tmp"


def is_stale(name: str, age: float = 0.0) -> bool:
    r"""Returns whether a file or folder was left behind by a writer that is
    gone: a process of this machine that has ended, or any after a day without a write.

    Args:
        name (str): The name of the file, without its folder.
        age (float, optional): The seconds since the last write to it.
            (default: :obj:`0.0`)
    """
    match = TEMPORARY.fullmatch(name)
    if match is None or age > MAX_AGE:
        return match is not None
    if match["machine"] != _machine() or os.name != "posix":
        return False
    try:
        os.kill(int(match["process"]), 0)  # Sends nothing.
    except (ProcessLookupError, OverflowError):
        return True
    except PermissionError:  # It belongs to somebody else.
        pass
    return False


def remove_stale(folder: str) -> None:
    r"""Removes what writers that are gone have left in a folder on disk."""
    now = time.time()
    with os.scandir(folder) as entries:
        for entry in entries:
            with suppress(OSError):  # Another process was faster, or the file is not ours.
                if is_stale(entry.name, now - entry.stat(follow_symlinks=False).st_mtime):
                    if entry.is_dir(follow_symlinks=False):
                        shutil.rmtree(entry.path)
                    else:
                        os.remove(entry.path)


@cache
def _machine() -> str:
    # Two containers may go by one name, and number their processes alike.
    name = socket.gethostname()
    with suppress(OSError):
        name += os.readlink("/proc/self/ns/pid")
    return hashlib.sha256(name.encode()).hexdigest()[:8]


def read_bytes(path: str) -> bytes:
    r"""Returns the content of a file on any file system."""
    with fsspec.open(path, "rb") as file:
        return file.read()


def cache_folder() -> str:
    r"""Returns the folder to keep what can be made again:
    :obj:`$TORCH_IMF_CACHE` or, if not set, :obj:`~/.cache/torch_imf`.
    """
    return osp.expanduser(os.environ.get("TORCH_IMF_CACHE") or "~/.cache/torch_imf")


# Locks ##########################################################################################


@contextmanager
def locked(folder: str | os.PathLike[str]) -> Iterator[None]:
    r"""Lets one process (and thread) at a time into the block, by the file
    :obj:`.lock` in a folder (created if needed), which stays there. Others wait
    for it, and after a few seconds say so; nobody waits for a process that has
    ended. A block inside of another one of the same folder goes on. Folders
    that cannot be written to, or whose disk knows no locks, or that are
    elsewhere, have none: the block is run without.

    .. code-block:: python

        with locked(root):
            if not osp.exists(path):  # Another one may have done it.
                process()
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
    lock = _CLAIMS.get(key) or FileLock(file, thread_local=False)
    try:
        if not lock.is_locked:
            lock.acquire(timeout=0)
    except Timeout as error:
        raise RuntimeError(
            f"'{os.fspath(path)}' is in use by another process, which holds the lock '{file}'. "
            f"Wait for it to end, or choose another file"
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
    warn(
        f"The lock '{file}' cannot be had ({error}). See to it that no two processes work there at "
        f"once"
    )
