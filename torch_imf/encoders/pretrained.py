import hashlib
import os
import os.path as osp
import re
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import torch

SUFFIXES = {".json", ".txt", ".model", ".safetensors", ".bin"}
WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
MODULES = "modules.json"


def require(package: str, name: str, instead: str) -> None:
    r"""Raises an :class:`ImportError` that says what to do if a package is
    not installed.

    Args:
        package (str): What to install.
        name (str): The class that needs it.
        instead (str): The class that does without.
    """
    if find_spec(package.replace("-", "_")) is None:
        raise ImportError(
            f"'{name}' requires '{package}', run 'pip install {package}', or use '{instead}'"
        )


def versions(*packages: str) -> str:
    r"""Returns the versions of packages, without the name of a build."""
    found = [(package, version(package).split("+")[0]) for package in packages]
    return ", ".join(f"{package.replace('-', '_')}={number}" for package, number in found)


def default_device(device: str | None) -> torch.device:
    r"""Returns a device, by default the accelerator if there is one."""
    if device is None and torch.accelerator.is_available():
        return torch.accelerator.current_accelerator() or torch.device("cpu")
    return torch.device(device or "cpu")


def find_weights(model: str, pooling: str | None = None) -> str | None:
    r"""Returns the local folder that holds the weights of a transformer, or
    :obj:`None` if this machine has none.

    A folder given as :obj:`model` is taken as it is. Any other counts for a
    sentence transformer only with its :obj:`modules.json`: a plain transformer
    that was fetched from the same place lacks the layers after it.

    Args:
        model (str): A model name or a folder.
        pooling (str, optional): :obj:`None` for a sentence transformer, see
            :class:`TextEncoder`. (default: :obj:`None`)
    """
    if osp.isdir(model):
        return model

    name = model.removeprefix("sentence-transformers/")
    package = None if "/" in name else find_spec("gt_" + re.sub(r"\W", "_", name.lower()))
    if package is not None and package.origin is not None:
        folder = osp.join(osp.dirname(package.origin), "model")
        if pooling is not None or osp.isfile(osp.join(folder, MODULES)):
            return folder

    if find_spec("huggingface_hub") is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    for repo in [model] if "/" in model else [f"sentence-transformers/{model}", model]:
        for file in [MODULES] if pooling is None else WEIGHTS:
            try:
                path = try_to_load_from_cache(repo, file)
            except ValueError:  # Not a name that the hub would accept, such as a path.
                return None
            if isinstance(path, str) and (pooling is not None or has_weights(osp.dirname(path))):
                return osp.dirname(path)
    return None


def has_weights(folder: str) -> bool:
    r"""Returns whether a folder, or one below it, holds weights."""
    return any(file.name in WEIGHTS for file in Path(folder).rglob("*"))


def hash_weights(path: str | os.PathLike[str]) -> str:
    r"""Returns a hash of the content of a file, or of all files of a folder
    that shape the output of a model: weights, configuration and vocabulary.
    """
    root = Path(path)
    if root.is_file():
        return _hash(root)[:16]
    digest = hashlib.sha256()
    for file in sorted(file for file in root.rglob("*") if file.suffix in SUFFIXES):
        digest.update(f"{file.relative_to(root).as_posix()} {_hash(file)}\n".encode())
    return digest.hexdigest()[:16]


def _hash(path: Path) -> str:
    stat = path.stat()
    return _hash_file(path, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=256)
def _hash_file(path: Path, modified: int, size: int) -> str:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while chunk := file.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()
