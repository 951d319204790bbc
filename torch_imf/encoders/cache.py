import hashlib
import json
import os
import zipfile
from collections.abc import Callable, Collection
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from torch_imf.encoders.base import record_of
from torch_imf.io import warn
from torch_imf.io.atomic import cache_folder, replacing
from torch_imf.io.features import read_member

T = TypeVar("T")
Encode = Callable[[dict[str, T]], tuple[list[str], Tensor]]


class FeatureCache:
    r"""A folder of features that are found again by what they were computed from, so that an
    encoder which is interrupted goes on where it was.

    Each encoder has a folder of its own, named by a hash of what it is (:obj:`record_of`, written
    down there in :obj:`encoder.json`), with one file of features and the hashes of their texts or
    images per batch. Files are complete or not there, so that processes may share the folder. A
    damaged one is named in a warning and computed anew. Files may be deleted at any time.
    """

    def __init__(self, root: bool | str | os.PathLike[str], encoder: Callable) -> None:
        self.encoder = record_of(encoder)
        if " at 0x" in self.encoder:
            raise ValueError(
                f"The features of {self.encoder} cannot be told from others, as its settings "
                f"hold an object without a name. Pass 'cache=False'"
            )
        folder = cache_folder() if isinstance(root, bool) else root
        name = f"{type(encoder).__name__}-{hash_content(self.encoder)[:16]}"
        self.folder = Path(folder).expanduser() / name
        self.writable = True

    def read(self, keys: Collection[str]) -> dict[str, Tensor]:
        r"""Returns the features of those of the given keys that are there."""
        found: dict[str, Tensor] = {}
        for path in sorted(self.folder.glob("*.npz")):
            try:
                found.update(_read_file(path, keys))
            except OSError as e:
                warn(f"The cached features '{path}' cannot be read ({e})")
            except Exception as e:  # A damaged file can make its reader raise anything.
                warn(f"The cached features '{path}' are damaged and will be computed anew ({e})")
                with suppress(OSError):  # The folder may be read-only.
                    path.unlink()
        return found

    def write(self, keys: list[str], x: Tensor) -> None:
        r"""Keeps the finite rows of features :obj:`[len(keys), D]` in one file. If that cannot be
        written to, a warning says so.
        """
        finite = x.isfinite().all(dim=-1)
        keys = [key for key, keep in zip(keys, finite.tolist(), strict=True) if keep]
        if len(keys) == 0 or not self.writable:
            return
        try:
            about = self.folder / "encoder.json"
            if not about.exists():
                with replacing(about) as file:
                    file.write(json.dumps({"encoder": self.encoder}, indent=2).encode() + b"\n")
            with replacing(self.folder / f"{hash_content(' '.join(keys))[:32]}.npz") as file:
                np.savez(file, key=np.array(keys), x=x[finite].numpy())
        except OSError as e:
            warn(
                f"Features are not kept, as the cache '{self.folder}' cannot be written to ({e}). "
                f"Set TORCH_IMF_CACHE to another folder, or pass 'cache=False'"
            )
            self.writable = False


def _read_file(path: Path, wanted: Collection[str]) -> dict[str, Tensor]:
    with zipfile.ZipFile(path) as archive:
        keys = read_member(archive, "key.npy").tolist()
        if not any(key in wanted for key in keys):
            return {}
        x = torch.from_numpy(read_member(archive, "x.npy"))
    if x.dim() != 2 or x.dtype != torch.float32:
        raise ValueError(f"got {x.dtype} of shape {list(x.size())}")
    return {key: row for key, row in zip(keys, x, strict=True) if key in wanted}


def hash_content(content: str | bytes) -> str:
    r"""Returns the SHA-256 of a text or of bytes, in hexadecimal."""
    if isinstance(content, str):
        content = content.encode("utf-8", "surrogatepass")
    return hashlib.sha256(content).hexdigest()


def encode_rows(
    num_rows: int,
    entries: list[tuple[int, str, T]],
    load: Callable[[], Encode[T]],
    batch_size: int,
    cache: FeatureCache | None = None,
    channels: int = 0,
) -> tuple[Tensor, Tensor]:
    r"""Encodes items that belong to rows (a row, a key and an item each), in batches, and returns
    the mean of the features of each row, of shape :math:`(N, D)`, and which rows have any.

    Items of the same key are encoded once, those that the cache has not at all. If there are
    others, :obj:`load` gives a function from a batch (key -> item) to the keys of the items that it
    could encode and their features. If there are none at all, :math:`D` is :obj:`channels`.
    """
    items = {key: item for _, key, item in entries}
    found = {} if cache is None else cache.read(items)
    pending = [key for key in items if key not in found]
    if len(pending) > 0:
        encode = load()
        for start in tqdm(range(0, len(pending), batch_size), desc="Encoding", disable=None):
            batch = {key: items[key] for key in pending[start : start + batch_size]}
            keys, x = encode(batch)
            x = x.detach().float().cpu()
            found.update(zip(keys, x, strict=True))
            if cache is not None:
                cache.write(keys, x)

    known = [(row, found[key]) for row, key, _ in entries if key in found]
    if len(known) == 0:
        return torch.zeros(num_rows, channels), torch.zeros(num_rows, dtype=torch.bool)
    index = torch.tensor([row for row, _ in known])
    rows = torch.stack([x for _, x in known])
    count = index.bincount(minlength=num_rows)
    out = rows.new_zeros(num_rows, rows.size(-1)).index_add_(0, index, rows)
    return out.div_(count.clamp(min=1).view(-1, 1)), count > 0
