import hashlib
import os
import os.path as osp
import shutil
import sys
import tempfile
import urllib.request
import warnings
from http.client import HTTPException
from pathlib import Path


def download(file: str, url: str | None, sha256: str, folder: str) -> str:
    r"""Brings a raw file into a folder, unless a sound copy is already there.

    The file is looked for in the mirror that the environment variable
    :obj:`TORCH_IMF_MIRROR` points to (a folder or a base URL), then upstream.
    It is written under a temporary name, checked, and only then given its own
    name, so that a file that is there is complete whatever happens; after an
    interruption, the next call fetches what is missing.
    A copy that does not match its checksum is named in a warning and replaced.

    Args:
        file (str): The path of the file inside a mirror,
            :obj:`"<Dataset>/<source>/<name>"`.
        url (str, optional): The address upstream, or :obj:`None` if only a
            mirror has the file.
        sha256 (str): The SHA-256 of its content, in hexadecimal.
        folder (str): The folder to place it in, created if needed.

    Returns:
        The path of the file in :obj:`folder`.

    Raises:
        RuntimeError: If no source has the file, a transfer breaks off, or
            what arrives does not match the checksum. Nothing is left behind.
    """
    path = osp.join(folder, osp.basename(file))
    if osp.exists(path):
        found = checksum(path)
        if found == sha256:
            return path
        warnings.warn(
            f"'{path}' is damaged (its SHA-256 is {found} rather than {sha256}) "
            f"and will be fetched anew",
            stacklevel=2,
        )

    sources = [source for source in (mirror(file), url) if source is not None]
    problems = [] if sources else ["TORCH_IMF_MIRROR is not set, and there is no source upstream"]
    for source in sources:
        try:
            fetch(source, path, sha256)
            return path
        except (OSError, HTTPException, ValueError) as e:
            problems.append(f"{source}: {e}")

    raise RuntimeError(
        f"Dataset not found. Please download '{osp.basename(file)}' from "
        f"'{url or '$TORCH_IMF_MIRROR/' + file}' and move it to '{folder}' "
        f"({'; '.join(problems)})"
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
    return f"{base.rstrip('/')}/{file}"


def fetch(source: str, path: str, sha256: str) -> None:
    r"""Copies an address to a path in one step: afterwards, :obj:`path` is
    either the complete file or as it was before.
    """
    if not source.startswith("file:"):
        print(f"Downloading {source}", file=sys.stderr)
    os.makedirs(osp.dirname(path), exist_ok=True)
    handle, temporary = tempfile.mkstemp(prefix=".download-", dir=osp.dirname(path))
    try:
        with os.fdopen(handle, "wb") as f, urllib.request.urlopen(source, timeout=30) as response:
            shutil.copyfileobj(response, f, length=1 << 20)
            expected = response.headers.get("Content-Length")
            if expected is not None and f.tell() != int(expected):
                raise OSError(f"broke off after {f.tell()} of {expected} bytes")
        found = checksum(temporary)
        if found != sha256:
            raise ValueError(f"has the SHA-256 {found} rather than {sha256}")
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        if osp.exists(temporary):
            os.remove(temporary)


def checksum(path: str) -> str:
    r"""Returns the SHA-256 of a file, in hexadecimal."""
    digest = hashlib.sha256()
    with open(path, "rb") as f:
        while chunk := f.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
