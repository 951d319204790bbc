import os
import os.path as osp
import shutil
import stat
import tarfile
import zipfile
from pathlib import PureWindowsPath
from typing import IO, cast

from torch_imf.io.atomic import remove_leftovers, temporary_path
from torch_imf.io.confined import FLOOR, RATIO

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")


class _Refused(ValueError):
    pass


def is_bomb(path: str, unpacked: int) -> bool:
    r"""Returns whether a file is far larger when it is unpacked (in bytes) than any honest one."""
    return unpacked > max(FLOOR, RATIO * osp.getsize(path))


def unpack(path: str, folder: str) -> str:
    r"""Unpacks an archive of images in a folder and returns where it is, which is complete once it
    is there, and another place once the archive changes (in size or time). Raises a
    :class:`ValueError` if it is damaged, a bomb, or has members that are links or lead outside.
    """
    name = osp.basename(path)
    suffix = next((suffix for suffix in ARCHIVES if name.lower().endswith(suffix)), None)
    if suffix is None:
        raise ValueError(f"'{path}' is no archive ({', '.join(ARCHIVES)})")
    info = os.stat(path)
    out = osp.join(folder, f"{name[: -len(suffix)]}-{info.st_size:x}-{info.st_mtime_ns:x}")
    if osp.isdir(out):
        return out
    os.makedirs(folder, exist_ok=True)
    remove_leftovers(folder)
    temporary = temporary_path(out)
    os.mkdir(temporary)
    try:
        (_extract_zip if suffix == ".zip" else _extract_tar)(path, temporary)
        os.rename(temporary, out)
    except _Refused as e:
        raise ValueError(
            f"'{path}' is refused, {e}. If you trust it, unpack it and pass the folder"
        ) from e
    except Exception as e:  # A damaged archive can make its reader raise anything.
        if osp.isdir(out):
            return out  # Another process was faster.
        if isinstance(e, OSError) and e.errno is not None:
            raise  # Not the archive is at fault, but the disk.
        raise ValueError(f"'{path}' is damaged, please fetch it anew ({e})") from e
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return out


def _extract_zip(path: str, folder: str) -> None:
    size = 0
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            size += member.file_size
            _check(path, size, stat.S_ISLNK(member.external_attr >> 16), member.filename)
        archive.extractall(folder)


def _extract_tar(path: str, folder: str) -> None:
    size = 0
    with tarfile.open(path) as archive:
        for member in archive:
            size += tarfile.BLOCKSIZE + member.size
            # Hard links inside are safe, for there are no symbolic ones:
            special = not (member.isfile() or member.isdir() or member.islnk())
            _check(path, size, special, member.name, member.linkname)
            archive.extract(member, folder, filter="data")

        # A damaged header passes for the end, which is a block of zeros:
        file = cast(IO[bytes], archive.fileobj)
        file.seek(archive.offset)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("unexpected end of data")
        while file.read(1 << 20):
            pass  # Compressed content has its checksum at its end.


def _check(path: str, size: int, special: bool, *names: str) -> None:
    places = map(PureWindowsPath, names)  # Either slash separates.
    if special or any(place.root != "" or ".." in place.parts for place in places):
        raise _Refused(f"its member {names[0]!r:.80} is a link or device or leads outside")
    if is_bomb(path, size):
        raise _Refused(f"as it is more than {RATIO} times as large when unpacked")
