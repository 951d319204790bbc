import hashlib
import os
import os.path as osp
import sys
import urllib.request
import warnings
from http.client import HTTPException, IncompleteRead
from pathlib import Path
from urllib.parse import quote

from torch_geometric.io import fs

from torch_imf.datasets.sources import RawFile
from torch_imf.io.atomic import read_bytes, replacing

#: The seconds that a source may send nothing for.
TIMEOUT = 30.0


def download(file: RawFile, folder: str) -> str:
    r"""Brings a raw file into a folder, unless a sound copy is already there.

    The file is looked for in the mirror that the environment variable
    :obj:`TORCH_IMF_MIRROR` points to (a folder or a base URL), then upstream.
    It is written under a temporary name, checked, and only then given its own
    name, so that a file that is there is complete whatever happens; after an
    interruption, the next call fetches what is missing.
    A copy that does not match its checksum is named in a warning and replaced.

    Args:
        file (RawFile): The file.
        folder (str): The folder of raw files, created if needed.

    Returns:
        The path of the file in :obj:`folder`.

    Raises:
        RuntimeError: If no source has the file, a transfer breaks off, or
            what arrives does not match the checksum. Nothing is left behind.
    """
    path = osp.join(folder, file.path)
    if fs.exists(path):
        problem = mismatch(read_bytes(path), file.checksum)
        if problem is None:
            return path
        warnings.warn(f"'{path}' is damaged ({problem}) and will be fetched anew", stacklevel=2)

    sources = [source for source in (mirror(file.name), file.url) if source is not None]
    problems = [] if sources else ["TORCH_IMF_MIRROR is not set, and there is no source upstream"]
    for source in sources:
        try:
            content = retrieve(source, file.checksum)
        except (OSError, HTTPException, ValueError) as e:
            problems.append(f"{source}: {e}")
            continue
        with replacing(path) as out:
            out.write(content)
        return path

    raise RuntimeError(
        f"Dataset not found. Please download '{osp.basename(path)}' from '{file.origin}' and move "
        f"it to '{osp.dirname(path)}' ({'; '.join(problems)})"
    )


def mirror(file: str) -> str | None:
    r"""Returns the address of a file in the mirror :obj:`TORCH_IMF_MIRROR`,
    or :obj:`None` if no mirror is set.

    Args:
        file (str): The path of the file inside the mirror.
    """
    base = os.environ.get("TORCH_IMF_MIRROR", "")
    if base == "":
        return None
    if "://" not in base:
        base = Path(base).expanduser().resolve().as_uri()
    return f"{base.rstrip('/')}/{quote(file)}"


def retrieve(source: str, digest: str | None) -> bytes:
    r"""Returns the content of an address.

    Args:
        source (str): The address.
        digest (str, optional): The checksum of the content, see
            :class:`RawFile`, or :obj:`None` if there is none to compare with.

    Raises:
        OSError: If the source cannot be read, or the transfer breaks off.
        ValueError: If the content does not match its checksum.
    """
    if not source.startswith("file:"):
        print(f"Downloading {source}", file=sys.stderr)
    try:
        with urllib.request.urlopen(source, timeout=TIMEOUT) as response:
            content = response.read()
            expected = response.headers.get("Content-Length")
    except TimeoutError as e:
        raise OSError(f"has sent nothing for {TIMEOUT:g} seconds, try again later") from e
    except IncompleteRead as e:
        sent = len(e.partial)
        total = "" if e.expected is None else f" of {sent + e.expected}"
        raise OSError(f"broke off after {sent}{total} bytes, try again") from e
    if expected is not None and len(content) != int(expected):
        raise OSError(f"broke off after {len(content)} of {expected} bytes, try again")
    problem = None if digest is None else mismatch(content, digest)
    if problem is not None:
        raise ValueError(problem)
    return content


def mismatch(content: bytes, digest: str) -> str | None:
    r"""Returns what is wrong with the content of a file, or :obj:`None` if it
    matches its checksum.
    """
    if len(digest) == 40:
        name = "Git hash"
        found = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    else:
        name, found = "SHA-256", hashlib.sha256(content).hexdigest()
    return None if found == digest else f"has the {name} {found} rather than {digest}"
