import hashlib
import io
import json
import os
import warnings
import zipfile
from collections.abc import Container, Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from torch_imf.io.atomic import cache_folder, replacing

# RuntimeError is what zipfile raises for flags of encryption or of a newer version:
DAMAGED = (ValueError, TypeError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile)


class FeatureCache:
    r"""A folder of features that are found again by what they were computed
    from.

    Each encoder has a folder of its own, named by a hash of its :obj:`repr`,
    which needs to tell all that shapes its features: model, weights, pooling,
    preprocessing and package versions. It is written down there, in
    :obj:`encoder.json`. Rows are kept with the hash of their text or image, in
    one file per batch.

    A file is written under a temporary name and then given its own, so that
    whatever interrupts a run costs no more than a batch, and so that processes
    may share the folder. A damaged file is named in a warning and its rows are
    computed anew. If the folder cannot be written to, a warning says so, and
    features are not kept. Files may be deleted at any time.

    Args:
        root (str): The folder that holds the folders of all encoders.
        encoder (object): The encoder.

    Raises:
        ValueError: If its :obj:`repr` holds an address in memory.
    """

    def __init__(self, root: str | os.PathLike[str], encoder: object) -> None:
        self.encoder = repr(encoder)
        if " at 0x" in self.encoder:
            raise ValueError(
                f"The features of {self.encoder} cannot be told from others, as its settings "
                f"hold an object without a name. Pass 'cache=False'"
            )
        name = f"{type(encoder).__name__}-{hash_content(self.encoder)[:16]}"
        self.folder = Path(root).expanduser() / name
        self.writable = True

    @classmethod
    def open(cls, encoder: object, cache: bool | str | os.PathLike[str]) -> "FeatureCache | None":
        r"""Returns the cache of an encoder in the folder :obj:`cache`, that of
        :meth:`~torch_imf.io.atomic.cache_folder` for :obj:`True`, and none
        for :obj:`False`.
        """
        if cache is False:
            return None
        if cache is True:
            cache = cache_folder()
        return cls(cache, encoder)

    def read(self, keys: Container[str]) -> Iterator[tuple[list[str], Tensor]]:
        r"""Yields those of the given keys that are there, and their features
        of shape :obj:`[len(keys), D]`, file by file.
        """
        done: set[str] = set()
        for path in sorted(self.folder.glob("*.npz")):
            try:
                names, rows, x = read_shard(path, keys)
            except OSError as e:
                warnings.warn(f"The cached features '{path}' cannot be read ({e})")
                continue
            except DAMAGED as e:
                warnings.warn(
                    f"The cached features '{path}' are damaged and will be computed anew ({e})"
                )
                with suppress(OSError):  # The folder may be read-only.
                    path.unlink()
                continue
            rows = [row for row in rows if names[row] not in done]
            if len(rows) > 0:
                found = [names[row] for row in rows]
                done.update(found)
                yield found, x[rows]

    def write(self, keys: list[str], x: Tensor) -> None:
        r"""Keeps features of shape :obj:`[len(keys), D]` in one file."""
        if len(keys) == 0 or not self.writable:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            about = self.folder / "encoder.json"
            if not about.exists():
                text = json.dumps({"encoder": self.encoder}, indent=2) + "\n"
                with replacing(about) as file:
                    file.write(text.encode())
            path = self.folder / f"{hash_content(' '.join(keys))[:32]}.npz"
            with replacing(path) as file:
                np.savez(file, key=np.array(keys), x=x.numpy())
        except OSError as e:
            warnings.warn(
                f"Features are not kept, as the cache '{self.folder}' cannot be written to ({e}). "
                f"Set TORCH_IMF_CACHE to another folder, or pass 'cache=False'"
            )
            self.writable = False

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}('{self.folder}')"


def read_shard(path: Path, keys: Container[str]) -> tuple[list[str], list[int], Tensor]:
    r"""Reads the keys of a file, which of them are wanted, and, if any is, the
    features (checked against the checksum that is stored with them).
    """
    with zipfile.ZipFile(path) as file:
        names = read_array(file, "key").tolist()
        rows = [row for row, name in enumerate(names) if name in keys]
        x = torch.from_numpy(read_array(file, "x")) if rows else torch.empty(len(names), 0)
    if x.dim() != 2 or x.size(0) != len(names) or x.dtype != torch.float32:
        raise ValueError(f"got {x.dtype} of shape {list(x.size())} for {len(names)} keys")
    return names, rows, x


def read_array(file: zipfile.ZipFile, name: str) -> np.ndarray:
    r"""Reads an array of an :obj:`.npz` file to the last byte, without which
    its checksum is not looked at.
    """
    info = file.getinfo(f"{name}.npy")
    if info.compress_type != zipfile.ZIP_STORED:
        raise ValueError(f"'{name}' is compressed")
    return np.load(io.BytesIO(file.read(info)), allow_pickle=False)


def hash_content(content: str | bytes) -> str:
    r"""Returns the SHA-256 of a text or of bytes, in hexadecimal."""
    if isinstance(content, str):
        content = content.encode("utf-8", "surrogatepass")
    return hashlib.sha256(content).hexdigest()
