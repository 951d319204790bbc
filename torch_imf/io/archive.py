import os
import os.path as osp
import shutil
import tarfile
import zipfile
from typing import IO, cast

from torch_imf.io.atomic import remove_leftovers, temporary_path

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")


def unpack(path: str, folder: str) -> str:
    r"""Unpacks an archive of images in a folder and returns where it is, which is complete once it
    is there, and another place once the archive changes (in size or time). Nothing is written
    elsewhere. Raises a :class:`ValueError` if it is damaged, or a member of a tar file leads
    outside.
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
        if suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                archive.extractall(temporary)  # Which leaves out '..', and makes no links.
        else:
            _extract_tar(path, temporary)
        os.rename(temporary, out)
    except tarfile.FilterError as e:
        raise ValueError(f"'{path}' is refused: {e}") from e
    except Exception as e:  # A damaged archive can make its reader raise anything.
        if osp.isdir(out):
            return out  # Another process was faster.
        if isinstance(e, OSError) and e.errno is not None:
            raise  # Not the archive is at fault, but the disk.
        raise ValueError(f"'{path}' is damaged, please fetch it anew ({e})") from e
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return out


def _extract_tar(path: str, folder: str) -> None:
    with tarfile.open(path) as archive:
        for member in archive:
            archive.extract(member, folder, filter="data")

        # A damaged header passes for the end, which is a block of zeros:
        file = cast(IO[bytes], archive.fileobj)
        file.seek(archive.offset)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("unexpected end of data")
        while file.read(1 << 20):
            pass  # Compressed content has its checksum at its end.
