import errno
import hashlib
import lzma
import os
import os.path as osp
import shutil
import stat
import tarfile
import zipfile
import zlib
from pathlib import PureWindowsPath
from typing import IO, cast

from torch_imf.io.atomic import remove_stale, temporary_name

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")
DAMAGED = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, lzma.LZMAError),
    *(EOFError, KeyError, OSError),
)
# What the names of members cause, rather than the disk:
NAMING = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EINVAL)

#: How many bytes any file may have when it is unpacked.
FLOOR = 1 << 26
#: How many times as large as it is a file may be when it is unpacked. Features and images are far
#: below that, and what is made to fill a disk (a bomb) far above.
RATIO = 300


def is_bomb(path: str, unpacked: int) -> bool:
    r"""Returns whether a file is far larger when it is unpacked (in bytes) than
    any honest one.
    """
    return unpacked > max(FLOOR, RATIO * osp.getsize(path))


def unpack(path: str, folder: str) -> str:
    r"""Unpacks an archive of images, unless that has been done before.

    Args:
        path (str): The archive, :obj:`.tar` (also :obj:`.tar.gz` and such) or
            :obj:`.zip`.
        folder (str): The folder to unpack it in, created if needed.

    Returns:
        A folder inside :obj:`folder` that is complete once it is there. It is
        another one if the archive changes (in size or time).

    Raises:
        ValueError: If the archive is damaged, of another kind, far larger when
            unpacked, or has members that are links or would be placed outside.
            Nothing is left behind.
    """
    name = osp.basename(path)
    suffix = next((suffix for suffix in ARCHIVES if name.lower().endswith(suffix)), None)
    if suffix is None:
        raise ValueError(f"'{path}' is no archive ({', '.join(ARCHIVES)})")
    info = os.stat(path)
    digest = hashlib.sha256(f"{info.st_size} {info.st_mtime_ns}".encode()).hexdigest()
    out = osp.join(folder, f"{name[: -len(suffix)]}-{digest[:8]}")
    if osp.isdir(out):
        return out

    os.makedirs(folder, exist_ok=True)
    remove_stale(folder)
    temporary = osp.join(folder, temporary_name(osp.basename(out)))
    os.mkdir(temporary)
    try:
        (_extract_zip if suffix == ".zip" else _extract_tar)(path, temporary)
        os.rename(temporary, out)
    except DAMAGED as e:
        if osp.isdir(out):
            return out  # Another process was faster.
        if isinstance(e, OSError) and e.errno not in (None, *NAMING):
            raise  # Not the archive is at fault, but the disk.
        raise ValueError(f"'{path}' is damaged, please fetch it anew ({e})") from e
    except RuntimeError as e:  # A password, or a compression that Python does not know.
        raise ValueError(f"'{path}' cannot be unpacked ({e})") from e
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return out


def _extract_zip(path: str, folder: str) -> None:
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            _check_name(path, member.filename, stat.S_ISLNK(member.external_attr >> 16))
        _check_size(path, sum(member.file_size for member in archive.infolist()))
        archive.extractall(folder)


def _extract_tar(path: str, folder: str) -> None:
    size = 0
    with tarfile.open(path) as archive:
        for member in archive:
            # Hard links inside are safe, for there are no symbolic ones:
            is_file = member.isfile() or member.isdir() or member.islnk()
            _check_name(path, member.name, not is_file, member.linkname)
            size += tarfile.BLOCKSIZE + member.size
            _check_size(path, size)
            archive.extract(member, folder, filter="data")

        # A damaged header passes for the end, which is a block of zeros:
        file = cast(IO[bytes], archive.fileobj)
        file.seek(archive.offset)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("unexpected end of data")
        while file.read(1 << 20):
            pass  # Compressed content has its checksum at its end.


def _check_size(path: str, size: int) -> None:
    if is_bomb(path, size):
        raise ValueError(
            f"'{path}' is refused, as it is more than {RATIO} times as large when unpacked. If you "
            f"trust it, unpack it and pass the folder"
        )


def _check_name(path: str, name: str, special: bool, link: str = "") -> None:
    places = [PureWindowsPath(name), PureWindowsPath(link)]  # Either slash separates.
    if special or any(place.root != "" or ".." in place.parts for place in places):
        raise ValueError(
            f"'{path}' is refused, its member {name!r:.80} is a link or device or leads outside. "
            f"If you trust it, unpack it and pass the folder"
        )
