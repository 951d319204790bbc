import hashlib
import json
import os
import re
import warnings
from typing import Any

import fsspec
from torch import Tensor

from torch_imf.io.atomic import is_stale, read_bytes, replacing

#: The version of the layout of a folder.
FORMAT = 1
MANIFEST = "config.json"
FILE = re.compile(r"(?:model|graph|names)-[0-9a-f]{12}\.(?:safetensors|json)")


def root_of(folder: str | os.PathLike[str]) -> str:
    r"""Returns a folder without a slash at its end.

    Raises:
        ValueError: If it is empty, which would be the root of the disk.
    """
    root = os.fspath(folder)
    if root == "":
        raise ValueError("Invalid 'folder' argument (got ''), the current folder is '.'")
    return root if root.endswith("://") else root.rstrip("/")


def entry_of(name: str, content: bytes) -> dict[str, str]:
    r"""Returns the name of a file, after its content, and its hash."""
    digest = hashlib.sha256(content).hexdigest()
    stem, _, suffix = name.partition(".")
    return {"file": f"{stem}-{digest[:12]}.{suffix}", "sha256": digest}


def write(path: str, content: bytes) -> None:
    r"""Writes a file in one step."""
    with replacing(path) as file:
        file.write(content)


def check_folder(root: str) -> None:
    r"""Raises a :class:`ValueError` if a folder is a file, or holds something
    else by the name of our manifest.
    """
    filesystem, path = fsspec.core.url_to_fs(root)
    if filesystem.isfile(path):
        raise ValueError(f"'{root}' is a file. Choose another folder")
    try:
        config = json.loads(read_bytes(f"{root}/{MANIFEST}"))
    except FileNotFoundError:
        return
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict) or not {"format", "files"} <= set(config):
        raise ValueError(
            f"'{root}' holds another '{MANIFEST}', which is not by 'save_pretrained'. Choose "
            f"another folder"
        )


def remove_unnamed(root: str) -> None:
    r"""Removes the files of models that the manifest of a folder does not name,
    and what writers that are gone have left there.
    """
    filesystem, path = fsspec.core.url_to_fs(root)
    filesystem.invalidate_cache(path)
    try:  # Of whatever version it is.
        named = set(FILE.findall(read_bytes(f"{root}/{MANIFEST}").decode(errors="replace")))
    except FileNotFoundError:
        named = set()
    for other in filesystem.ls(path, detail=False) if filesystem.isdir(path) else []:
        name = other.rpartition("/")[2]
        if (FILE.fullmatch(name) and name not in named) or is_stale(name):
            filesystem.rm(other)


def write_card(root: str, card: str) -> None:
    r"""Writes the card of a model, unless there is one that we have not
    written, or that has been edited since.
    """
    path, end = f"{root}/README.md", "<!-- torch_imf card {} -->\n"
    try:
        old = read_bytes(path).decode(errors="replace")
    except FileNotFoundError:
        old = ""
    body = old[: old.rfind(end[:10])]
    if old and old != body + end.format(hashlib.sha256(body.encode()).hexdigest()[:12]):
        warnings.warn(
            f"'{path}' stays as it is, as it is not by 'save_pretrained' or has been edited since. "
            f"Delete it to have a card written",
            stacklevel=3,
        )
        return
    content = card + end.format(hashlib.sha256(card.encode()).hexdigest()[:12])
    write(path, content.encode())


def read_config(root: str) -> dict[str, Any]:
    r"""Reads what a folder holds.

    Raises:
        ValueError: If it holds no model, or not one that we can read.
    """
    path = f"{root}/{MANIFEST}"
    try:
        config = json.loads(read_bytes(path))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ValueError(f"'{root}' holds no saved model: there is no '{path}'") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"'{path}' is damaged: it is no JSON ({error})") from error
    if not isinstance(config, dict) or not isinstance(config.get("format"), int):
        raise ValueError(f"'{path}' is not by 'save_pretrained': it has no 'format'")
    if config["format"] != FORMAT:
        raise ValueError(
            f"'{path}' is of format {config['format']}, and this version of torch_imf reads "
            f"format {FORMAT}. It was written by {config.get('versions')}"
        )
    model, files = config.get("model"), config.get("files")
    if not isinstance(model, dict) or not isinstance(files, dict):
        raise ValueError(f"'{path}' is damaged: it lacks 'model' or 'files'")
    names = [x.get("file") if isinstance(x, dict) else x for x in files.values()]
    if not all(isinstance(x, str) and FILE.fullmatch(x) for x in names):
        raise ValueError(f"'{path}' is damaged: it names files that are not its own {names}")
    return config


def read(root: str, config: dict[str, Any], name: str) -> bytes:
    r"""Reads one of the files that a configuration names.

    Raises:
        ValueError: If it is missing, or damaged.
    """
    entry = config["files"].get(name)
    if not isinstance(entry, dict):
        raise ValueError(f"'{root}/{MANIFEST}' is damaged: it names no '{name}'")
    path = f"{root}/{entry['file']}"
    try:
        content = read_bytes(path)
    except FileNotFoundError as error:
        raise ValueError(f"'{path}' is missing, which '{MANIFEST}' names") from error
    if hashlib.sha256(content).hexdigest() != entry.get("sha256"):
        raise ValueError(f"'{path}' is damaged: it is not what '{MANIFEST}' says. Copy it again")
    return content


def read_tensors(root: str, config: dict[str, Any], name: str) -> dict[str, Tensor]:
    r"""Reads the tensors of one of the files that a configuration names.

    Raises:
        ValueError: If it is missing, damaged, or no file of tensors.
    """
    load = safetensors_torch().load
    content = read(root, config, name)
    try:
        return load(content)
    except Exception as error:
        path = f"{root}/{config['files'][name]['file']}"
        raise ValueError(f"'{path}' is no file of tensors ({error})") from error


def safetensors_torch() -> Any:
    r"""Imports what reads and writes files of tensors."""
    try:
        import safetensors.torch
    except ImportError as error:
        raise ImportError(
            "Saved models require 'safetensors', run 'pip install safetensors'"
        ) from error
    return safetensors.torch
