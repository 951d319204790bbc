import hashlib
import lzma
import os
import os.path as osp
import shutil
import stat
import tarfile
import tempfile
import zipfile
from pathlib import PureWindowsPath

from torch_imf.datasets import io
from torch_imf.datasets.io import short

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")
DAMAGED = (*io.DAMAGED, zipfile.BadZipFile, lzma.LZMAError)


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
        ValueError: If the archive is damaged, of another kind, or has members
            that are links or would be placed outside. Nothing is left behind.
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
    temporary = tempfile.mkdtemp(prefix=".unpack-", dir=folder)
    try:
        (extract_zip if suffix == ".zip" else extract_tar)(path, temporary)
        os.chmod(temporary, 0o755)
        os.rename(temporary, out)
    except DAMAGED as e:
        if osp.isdir(out):
            return out  # Another process was faster.
        if isinstance(e, OSError) and e.errno is not None:
            raise  # Not the archive is at fault, but the disk.
        raise ValueError(f"'{path}' is damaged, please fetch it anew ({e})") from e
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return out


def extract_zip(path: str, folder: str) -> None:
    r"""Extracts a zip archive if all of its members are safe."""
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            check_member(path, member.filename, stat.S_ISLNK(member.external_attr >> 16))
        archive.extractall(folder)


def extract_tar(path: str, folder: str) -> None:
    r"""Extracts a tar archive, checking each member before it is written."""
    with tarfile.open(path) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", lambda member, _: member)
        for member in archive:
            # Hard links inside are safe, for there are no symbolic ones:
            special = not (member.isfile() or member.isdir() or member.islnk())
            check_member(path, member.name, special, member.linkname)
            archive.extract(member, folder)

        # A damaged header passes for the end, which is a block of zeros:
        assert archive.fileobj is not None
        archive.fileobj.seek(archive.offset)
        if archive.fileobj.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("unexpected end of data")
        while archive.fileobj.read(1 << 20):
            pass  # Compressed content has its checksum at its end.


def check_member(path: str, name: str, special: bool, link: str = "") -> None:
    r"""Refuses a member of an archive that is special or leads outside."""
    places = [PureWindowsPath(name), PureWindowsPath(link)]  # Either slash separates.
    if special or any(place.root != "" or ".." in place.parts for place in places):
        raise ValueError(
            f"'{path}' is refused, its member {short(name)} is a link or device or leads outside. "
            f"If you trust it, unpack it and pass the folder"
        )
