r"""Files on disk or on any file system of :obj:`fsspec`, written in one step, and locks."""

import atexit
import errno
import os
import os.path as osp
import re
import secrets
import stat
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from itertools import count
from tempfile import TemporaryDirectory
from typing import BinaryIO, cast
from weakref import WeakValueDictionary

import fsspec
from filelock import FileLock, Timeout
from fsspec.core import OpenFile
from fsspec.implementations.local import LocalFileSystem

from torch_imf.io import check_regular, warn

#: How a file is called while it is written.
TEMPORARY = re.compile(r"\..+-[0-9a-f]{16}\.tmp")
#: The seconds without a write after which such a file was left behind by a process that is gone.
MAX_AGE = 24 * 60 * 60
#: The seconds to wait for a lock without a word.
PATIENCE = 3.0
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


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


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    r"""Opens a file (on any file system of :obj:`fsspec`) that takes the place of another in one
    step once the block has ended well: before, that is as it was. Permissions stay, and of a link,
    the file that it leads to is replaced. A pipe or device is written to. What a process that is
    killed leaves is removed by calls of the next day.
    """
    filesystem, name = url_to_fs(path)
    is_local = isinstance(filesystem, LocalFileSystem)
    if is_local and (_is_special(name) or name.startswith(("/dev/", "/proc/"))):
        with open(name, "wb") as stream:
            yield stream
        return
    name = osp.realpath(name) if is_local else name
    temporary = temporary_path(name)
    try:
        filesystem.makedirs(osp.dirname(name), exist_ok=True)
        with _create(temporary, name) if is_local else filesystem.open(temporary, "wb") as file:
            yield file
        (os.replace if is_local else filesystem.mv)(temporary, name)
    except Exception as error:
        cause: BaseException | None = error
        while cause is not None and not (isinstance(cause, OSError) and cause.errno in FULL):
            cause = cause.__context__  # What writes may raise something else on its way out.
        if cause is None:
            raise
        raise OSError(
            cause.errno,
            f"{os.strerror(cause.errno or 0)}: '{name}' could not be written, and is as it was "
            f"before. Free some space, or choose another folder",
        ) from error
    finally:
        with suppress(OSError):  # As a rule, it is not there any more.
            filesystem.rm_file(temporary)


def _is_special(path: str) -> bool:
    return osp.exists(path) and not osp.isfile(path) and not osp.isdir(path)


def _create(path: str, other: str) -> BinaryIO:
    # Opens a file with the permissions of another, if there is one, from the start.
    remove_leftovers(osp.dirname(path))
    mode = stat.S_IMODE(os.stat(other).st_mode) if osp.exists(other) else None
    opener = lambda path, flags: os.open(path, flags, mode or 0o666)  # noqa: E731
    file = cast(BinaryIO, open(path, "xb", opener=opener))
    if mode is not None:
        with suppress(PermissionError):  # On disks that have none.
            os.chmod(path, mode)
    return file


def temporary_path(path: str) -> str:
    r"""Returns the path of a file or folder as long as it is written."""
    folder, slash, name = path.rpartition("/") if "/" in path else path.rpartition(os.sep)
    stem = name.encode()[:200].decode(errors="ignore")  # Names are limited to 255 bytes.
    return f"{folder}{slash}.{stem}-{secrets.token_hex(8)}.tmp"


def remove_leftovers(folder: str, prefix: str = ".", age: float = MAX_AGE) -> None:
    r"""Removes what nobody has written to for some seconds, a day by default."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.startswith(prefix) and TEMPORARY.fullmatch(entry.name):
                with suppress(OSError):  # Another process was faster, or the file is not ours.
                    if time.time() - entry.stat(follow_symlinks=False).st_mtime > age:
                        remove = _remove_folder if entry.is_dir() else os.remove
                        remove(entry.path)


def _remove_folder(folder: str) -> None:
    # Not by `shutil`, which cannot remove folders inside of a thousand others.
    stem, number = secrets.token_hex(8), count()
    while entries := list(os.scandir(folder)):
        for entry in entries:
            if not entry.is_dir(follow_symlinks=False):
                os.remove(entry.path)
                continue
            for name in os.listdir(entry.path):
                os.rename(osp.join(entry.path, name), osp.join(folder, f"{stem}-{next(number)}"))
            os.rmdir(entry.path)
    os.rmdir(folder)


def read_bytes(path: str) -> bytes:
    r"""Returns the content of a file on any file system."""
    check_regular(path)
    with open_file(path) as file:
        return file.read()


@contextmanager
def on_disk(path: str) -> Iterator[str]:
    r"""Returns the path of a file on the disk, of a copy if it is elsewhere."""
    filesystem, name = url_to_fs(path)
    if isinstance(filesystem, LocalFileSystem):
        check_regular(name)
        yield name
        return
    with TemporaryDirectory(prefix="torch_imf-", ignore_cleanup_errors=True) as folder:
        copy = osp.join(folder, "copy")
        filesystem.get_file(name, copy)
        yield copy


def cache_folder() -> str:
    r"""Returns the folder to keep what can be made again. It is a temporary one, with a warning,
    where there is no home folder, and one inside, where others can write to it.
    """
    folder = osp.expanduser(os.environ.get("TORCH_IMF_CACHE") or "~/.cache/torch_imf")
    if folder.startswith("~"):
        warn("Features are not kept, as there is no home folder. Set TORCH_IMF_CACHE to a folder")
        return _temporary_cache()
    if osp.isdir(folder) and not (is_own(folder) and os.stat(folder).st_mode & 0o022 == 0):
        folder = osp.join(folder, f"user-{_user()}")
        if osp.lexists(folder) and not is_own(folder):
            warn(f"Features are not kept, as '{folder}' is that of another user")
            return _temporary_cache()
    return folder


@cache
def _temporary_cache() -> str:
    folder = TemporaryDirectory(prefix="torch_imf-", ignore_cleanup_errors=True)
    atexit.register(folder.cleanup)
    return folder.name


def make_private(folder: str | os.PathLike[str]) -> None:
    r"""Makes a folder that only its user can see, unless there is one."""
    os.makedirs(folder, mode=0o700, exist_ok=True)


def is_own(path: str | os.PathLike[str]) -> bool:
    r"""Returns whether a file or folder is that of the user, who may not be who a link is of."""
    return os.name != "posix" or os.lstat(path).st_uid == os.stat(path).st_uid == _user()


def _user() -> int:
    return os.geteuid() if os.name == "posix" else 0


@contextmanager
def locked(folder: str | os.PathLike[str]) -> Iterator[None]:
    r"""Lets one process (and thread) at a time into the block, by a file :obj:`.lock` in a folder.
    Others wait, and say so after a few seconds; nobody waits for a process that has ended. A block
    inside of another one goes on, and where no lock can be had, it is run without.
    """
    filesystem, name = url_to_fs(folder)
    if not isinstance(filesystem, LocalFileSystem):
        yield
        return
    with suppress(OSError):  # Who is to write there will say so.
        os.makedirs(name, exist_ok=True)
    lock = FileLock(osp.join(osp.realpath(name), ".lock"), is_singleton=True)
    try:
        try:
            lock.acquire(timeout=PATIENCE)
        except Timeout:
            wait = f"Waiting for another process, which holds the lock '{lock.lock_file}'"
            print(wait, file=sys.stderr, flush=True)
            lock.acquire()
    except (OSError, NotImplementedError) as error:
        if os.access(name, os.W_OK):
            _warn(lock.lock_file, error)
    try:
        yield
    finally:
        lock.release()


def claim(path: str | os.PathLike[str]) -> FileLock | None:
    r"""Claims a file on disk for this process as long as what is returned is referred to, by the
    file :obj:`.<name>.lock` beside it. It is :obj:`None` on disks that know no locks. Raises a
    :class:`RuntimeError` if another process has it.
    """
    folder, name = osp.split(osp.realpath(path))
    key = osp.join(folder, f".{name}.lock"), os.getpid()
    lock = _CLAIMS.get(key) or FileLock(key[0], thread_local=False)
    try:
        if not lock.is_locked:
            lock.acquire(timeout=0)
            remove_leftovers(folder, f".{name}-", age=0)  # Of one who had it, and was killed.
    except Timeout as error:
        raise RuntimeError(
            f"'{os.fspath(path)}' is in use by another process, which holds the lock "
            f"'{lock.lock_file}'. Wait for it to end, or choose another file"
        ) from error
    except (OSError, NotImplementedError) as error:
        _warn(lock.lock_file, error)
        return None
    _CLAIMS[key] = lock
    return lock


_CLAIMS: WeakValueDictionary[tuple[str, int], FileLock] = WeakValueDictionary()


def _warn(file: str, error: Exception) -> None:
    warn(f"The lock '{file}' cannot be had ({error}). Let no two processes work there at once")
