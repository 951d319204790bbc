import bz2
import errno
import gzip
import hashlib
import lzma
import os
import os.path as osp
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import PureWindowsPath
from typing import IO

from torch_imf.io.atomic import remove_stale, temporary_name
from torch_imf.io.limits import RATIO, too_large
from torch_imf.io.tables import short

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")
DAMAGED = (tarfile.TarError, EOFError, OSError, zlib.error, zipfile.BadZipFile, lzma.LZMAError)
OPENERS: dict[bytes, Callable[[str], IO[bytes]]] = {
    b"\x1f\x8b": gzip.open,  # type: ignore[dict-item]
    b"BZh": bz2.open,  # type: ignore[dict-item]
    b"\xfd7zXZ": lzma.open,  # type: ignore[dict-item]
}
# What the names of members cause, rather than the disk:
NAMING = (errno.ENAMETOOLONG, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.EINVAL)


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
            Nothing is left behind. What a process that is killed leaves is removed
        by the next call that unpacks there.
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
    os.mkdir(temporary, 0o700)
    try:
        (extract_zip if suffix == ".zip" else extract_tar)(path, temporary)
        os.chmod(temporary, 0o755)
        os.rename(temporary, out)
    except DAMAGED as e:
        if osp.isdir(out):
            return out  # Another process was faster.
        if isinstance(e, OSError) and e.errno not in (None, *NAMING):
            raise  # Not the archive is at fault, but the disk.
        raise ValueError(f"'{path}' is damaged, please fetch it anew ({e})") from e
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return out


def extract_zip(path: str, folder: str) -> None:
    r"""Extracts a zip archive if all of its members are safe."""
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        for member in members:
            check_member(path, member.filename, stat.S_ISLNK(member.external_attr >> 16))
        check_size(path, sum(member.file_size for member in members))
        try:
            archive.extractall(folder)
        except RuntimeError as e:  # A password, or a compression that Python does not know.
            raise ValueError(f"'{path}' cannot be unpacked ({e})") from e


def extract_tar(path: str, folder: str) -> None:
    r"""Extracts a tar archive, checking each member before it is written."""
    with BoundedFile(path) as file, tarfile.open(fileobj=file, mode="r:") as archive:  # type: ignore
        archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
        for member in archive:
            # Hard links inside are safe, for there are no symbolic ones:
            special = not (member.isfile() or member.isdir() or member.islnk())
            # Those with holes are larger than what is stored:
            check_member(path, member.name, special or member.issparse(), member.linkname)
            check_size(path, archive.offset)
            try:
                archive.extract(member, folder)
            except KeyError as e:
                raise tarfile.ReadError(f"{short(member.name)} is a link to nothing") from e

        # A damaged header passes for the end, which is a block of zeros:
        file.seek(archive.offset)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("unexpected end of data")
        while file.read(1 << 20):
            pass  # Compressed content has its checksum at its end.


class BoundedFile:
    r"""A file that may be compressed, of which no more can be read than an
    honest one of its size would have.
    """

    def __init__(self, path: str) -> None:
        with open(path, "rb") as file:
            start = file.read(6)
        opener = next((x for magic, x in OPENERS.items() if start.startswith(magic)), None)
        self.path = path
        self.file: IO[bytes] = open(path, "rb") if opener is None else opener(path)

    def read(self, size: int) -> bytes:
        check_size(self.path, self.file.tell() + size)
        return self.file.read(size)

    def seek(self, offset: int) -> int:
        check_size(self.path, offset)
        return self.file.seek(offset)

    def tell(self) -> int:
        return self.file.tell()

    def __enter__(self) -> "BoundedFile":
        return self

    def __exit__(self, *args: object) -> None:
        self.file.close()


def check_size(path: str, size: int) -> None:
    r"""Refuses an archive that is too large when it is unpacked."""
    if too_large(os.path.getsize(path), size):
        raise ValueError(
            f"'{path}' is refused, as it is more than {RATIO} times as large when unpacked. If you "
            f"trust it, unpack it and pass the folder"
        )


def check_member(path: str, name: str, special: bool, link: str = "") -> None:
    r"""Refuses a member of an archive that is special or leads outside."""
    places = [PureWindowsPath(name), PureWindowsPath(link)]  # Either slash separates.
    if special or "\0" in name or any(place.root != "" or ".." in place.parts for place in places):
        raise ValueError(
            f"'{path}' is refused, its member {short(name)} is a link or device or leads outside. "
            f"If you trust it, unpack it and pass the folder"
        )
