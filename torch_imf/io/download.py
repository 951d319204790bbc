import hashlib
import logging
import os
import os.path as osp
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit
from urllib.request import url2pathname

from torch_imf.io import warn
from torch_imf.io.atomic import read_bytes, replacing, url_to_fs
from torch_imf.io.progress import watched

if TYPE_CHECKING:
    import requests

#: The seconds that a source may send nothing for.
TIMEOUT = 30.0
#: How often a transfer that breaks off, or that brings something else, is tried again.
RETRIES = 1
#: The bytes that a file may have, and those that come in a second after that time, at least.
LARGEST, SLOWEST = 1 << 33, 1 << 10


@dataclass(frozen=True)
class RawFile:
    r"""A published file: where it is found, and how it is known to be the right one.

    Args:
        name (str): Its path in a mirror, :obj:`"<Dataset>/<source>/<file>"`.
        checksum (str): Its SHA-256 (64 digits), or its hash in a Git repository (40 digits).
        url (str, optional): Its address upstream. (default: :obj:`None`)
        by_hand (str, optional): Where a person finds it if there is no address. (default:
            :obj:`None`)
    """

    name: str
    checksum: str
    url: str | None = None
    by_hand: str | None = None

    @property
    def path(self) -> str:
        r"""Its path in the folder of raw files, :obj:`"<source>/<file>"`."""
        return self.name.partition("/")[2]

    @property
    def origin(self) -> str:
        r"""Where a person would look for it."""
        return self.url or self.by_hand or f"$TORCH_IMF_MIRROR/{self.name}"


def download(file: RawFile, folder: str) -> str:
    r"""Brings a raw file into a folder, unless a sound copy is already there.

    The file is looked for in the mirror that the environment variable :obj:`TORCH_IMF_MIRROR`
    points to (a folder or a base URL), then upstream. It appears in the folder in one step, once it
    is complete and matches its checksum. A copy that does not match is named in a warning and
    replaced.
    """
    path = osp.join(folder, file.path)
    filesystem, name = url_to_fs(path)
    if filesystem.exists(name):
        problem = mismatch(read_bytes(path), file.checksum)
        if problem is None:
            return path
        warn(f"'{path}' is damaged ({problem}) and will be fetched anew")

    problems = []
    for source in (mirror(file.name), file.url):
        if source is None:
            continue
        try:
            content = retrieve(source, file.checksum)
        except (OSError, ValueError) as e:
            problems.append(f"{source}: {e}")
            continue
        with replacing(path) as out:
            out.write(content)
        return path

    reason = "; ".join(problems) or "TORCH_IMF_MIRROR is not set, and there is no source upstream"
    raise RuntimeError(
        f"Dataset not found. Please download '{osp.basename(path)}' from '{file.origin}' and move "
        f"it to '{osp.dirname(path)}' ({reason})"
    )


def mirror(file: str) -> str | None:
    r"""Returns the address of a file in the mirror :obj:`TORCH_IMF_MIRROR`, or :obj:`None` if no
    mirror is set.
    """
    base = os.environ.get("TORCH_IMF_MIRROR", "")
    if base and "://" not in base:
        base = Path(base).expanduser().resolve().as_uri()
    return f"{base.rstrip('/')}/{quote(file)}" if base else None


def retrieve(source: str, checksum: str | None = None) -> bytes:
    r"""Returns the content of an address."""
    if source.startswith("file:"):
        content = read_bytes(url2pathname(urlsplit(source).path))
    else:
        content = _fetch(source, checksum)
    problem = mismatch(content, checksum) if checksum else None
    if problem is not None:
        raise ValueError(problem)
    return content


def _fetch(source: str, checksum: str | None) -> bytes:
    import pooch

    print(f"Downloading {source}", file=sys.stderr)
    pooch.get_logger().setLevel(logging.WARNING)
    known = checksum if checksum is not None and len(checksum) == 64 else None  # No Git hash.
    with tempfile.TemporaryDirectory() as folder:
        store = pooch.create(
            folder, "", registry={"file": known}, urls={"file": source}, retry_if_failed=RETRIES
        )
        return Path(store.fetch("file", downloader=_transfer)).read_bytes()


def _transfer(source: str, path: str, _: object) -> None:
    # Brings a file to a path on disk. Not by pooch, which waits for as long as anything is sent.
    import requests

    begin, size = time.monotonic(), 0
    with requests.get(source, stream=True, timeout=TIMEOUT) as response, open(path, "wb") as file:
        response.raise_for_status()
        length = int(response.headers.get("Content-Length", 0))
        if length > LARGEST:
            raise ValueError(f"it announces {length:,} bytes, more than {LARGEST:,}")
        with watched(what="Fetching", total=length or None, unit="B", unit_scale=True) as bar:
            while content := _read(response):
                size += file.write(content)
                bar.update(len(content))
                seconds = time.monotonic() - begin
                if size > LARGEST or (seconds > TIMEOUT and size < SLOWEST * seconds):
                    raise ValueError(f"it sends more than {LARGEST:,} bytes, or too slowly")


def _read(response: "requests.Response") -> bytes:
    # What has come by now, be it a byte.
    import requests
    import urllib3

    try:
        return response.raw.read1(1 << 16, decode_content=True)
    except urllib3.exceptions.HTTPError as e:
        raise requests.ConnectionError(str(e)) from e


def mismatch(content: bytes, checksum: str) -> str | None:
    r"""Returns what is wrong with the content of a file, :obj:`None` if its checksum matches."""
    name, found = "SHA-256", hashlib.sha256(content).hexdigest()
    if len(checksum) == 40:
        name = "Git hash"
        found = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
    return None if found == checksum else f"has the {name} {found} rather than {checksum}"
