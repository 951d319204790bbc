import os
import os.path as osp
import shutil
import stat
import tarfile
import zipfile
from collections.abc import Iterator
from pathlib import PureWindowsPath
from typing import IO, cast

from torch_imf.io.atomic import remove_leftovers, temporary_path
from torch_imf.io.confined import FLOOR, RATIO, SpentError, confined

ARCHIVES = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz", ".zip")
#: How many folders deep a member may be, and how much of a disk any member takes.
DEPTH, BLOCK = 64, 4096


class _Refused(ValueError):
    pass


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
        extract = f"torch_imf.io.archive:_extract_{'zip' if suffix == '.zip' else 'tar'}"
        for refusal in confined(extract, path, temporary, ratio=4):
            raise _Refused(str(refusal))
        os.rename(temporary, out)
    except (_Refused, SpentError) as e:
        reason = (
            str(e) if isinstance(e, _Refused) else "as it takes more memory or time than is due"
        )
        raise ValueError(
            f"'{path}' is refused, {reason}. If you trust it, unpack it and pass the folder"
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


def _extract_zip(path: str, folder: str) -> Iterator[str]:
    # Yields why it is refused, if it is.
    _mask(folder)
    size = 0
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            size += BLOCK + member.file_size
            is_link = stat.S_ISLNK(member.external_attr >> 16)
            if reason := _problem(path, size, is_link, member.filename):
                yield reason
                return
        archive.extractall(folder)


def _extract_tar(path: str, folder: str) -> Iterator[str]:
    _mask(folder)
    size = 0
    with tarfile.open(path) as archive:
        for member in archive:
            size += BLOCK + member.size
            # Hard links inside are safe, for there are no symbolic ones:
            special = not (member.isfile() or member.isdir() or member.islnk())
            if reason := _problem(path, size, special, member.name, member.linkname):
                yield reason
                return
            archive.extract(member, folder, filter=_plain)

        # A damaged header passes for the end, which is a block of zeros:
        file = cast(IO[bytes], archive.fileobj)
        file.seek(archive.offset)
        if file.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
            raise tarfile.ReadError("unexpected end of data")
        while file.read(1 << 20):
            pass  # Compressed content has its checksum at its end.


def _mask(folder: str) -> None:
    # Permissions are those that the folder has got.
    os.umask(0o777 & ~os.stat(folder).st_mode)


def _plain(member: tarfile.TarInfo, folder: str) -> tarfile.TarInfo:
    # Times may be none that there is, and who may see a file is for its user to say.
    return tarfile.data_filter(member, folder).replace(mtime=None, mode=None, deep=False)  # type: ignore[arg-type]


def _problem(path: str, size: int, special: bool, *names: str) -> str | None:
    places = [PureWindowsPath(name) for name in names]  # Either slash separates.
    if special or any(place.root != "" or ".." in place.parts for place in places):
        return f"its member {names[0]!r:.80} is a link or device or leads outside"
    if max(len(place.parts) for place in places) > DEPTH:
        return f"its member {names[0]!r:.80} is more than {DEPTH} folders deep"
    if size > max(FLOOR, RATIO * osp.getsize(path)):
        return f"as it is more than {RATIO} times as large when unpacked"
    return None
