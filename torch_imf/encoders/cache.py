import json
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from torch_imf.encoders.base import Encoder, record_of
from torch_imf.io import warn
from torch_imf.io.atomic import cache_folder, is_own, make_private, replacing
from torch_imf.io.hash import hash_content
from torch_imf.io.mapped import zeros
from torch_imf.io.progress import watched
from torch_imf.io.sealed import seal, unseal


class FeatureCache:
    r"""A folder of features that are found again by what they were computed from, so that an
    encoder which is interrupted goes on where it was.

    Each encoder has a folder of its own, named by a hash of what it is (:obj:`record_of`, written
    down there in :obj:`encoder.json`), with one file of features and the hashes of their texts or
    images per batch, or of as many batches as are a hundredth of those before. Files are complete
    or not there, so that processes may share the folder. A damaged one is named in a warning and
    computed anew, and one of another user is not read. A new folder is that of its user only. Files
    may be deleted at any time.
    """

    def __init__(self, root: bool | str | os.PathLike[str], encoder: Callable) -> None:
        self.encoder = record_of(encoder)
        if " at 0x" in self.encoder:
            raise ValueError(
                f"The features of {self.encoder} cannot be told from others, as its settings hold "
                f"an object without a name. Pass 'cache=False'"
            )
        folder = cache_folder() if isinstance(root, bool) else os.path.expanduser(root)
        name = f"{type(encoder).__name__}-{hash_content(self.encoder)[:16]}"
        self.folder = Path(folder) / name
        self.writable = True

    def read(self, keys: Collection[str]) -> dict[str, Tensor]:
        r"""Returns the features of those of the given keys that are there."""
        pairs = (zip(*block, strict=True) for block in self.blocks(keys))
        return {key: row for block in pairs for key, row in block}

    def blocks(self, keys: Collection[str]) -> Iterator[tuple[list[str], Tensor]]:
        r"""Yields the features of those of the given keys that are there, file by file: their keys,
        and rows of features.
        """
        for path in sorted(self.folder.glob("*.safetensors")):
            if not is_own(path):
                warn(f"The cached features '{path}' are those of another user, and not read")
                continue
            try:
                content = unseal(os.fspath(path))
                found = [(i, key) for i, key in enumerate(content["keys"]) if key in keys]
                if content["encoder"] == self.encoder and found:
                    rows, names = zip(*found, strict=True)
                    yield list(names), content["x"][list(rows)]
            except OSError as e:
                warn(f"The cached features '{path}' cannot be read ({e})")
            except (ValueError, LookupError, TypeError) as e:
                warn(f"The cached features '{path}' are damaged and will be computed anew ({e})")
                with suppress(OSError):  # The folder may be read-only.
                    path.unlink()

    def write(self, keys: list[str], x: Tensor) -> None:
        r"""Keeps the finite rows of features :obj:`[len(keys), D]` in one file. If that cannot be
        written to, a warning says so.
        """
        finite = x.isfinite().all(dim=-1)
        keys = [key for key, keep in zip(keys, finite.tolist(), strict=True) if keep]
        if len(keys) == 0 or not self.writable:
            return
        try:
            make_private(self.folder.parent)
            make_private(self.folder)
            about = self.folder / "encoder.json"
            if not about.exists():
                with replacing(about) as file:
                    file.write(json.dumps({"encoder": self.encoder}, indent=2).encode() + b"\n")
            with replacing(
                self.folder / f"{hash_content(' '.join(keys))[:32]}.safetensors"
            ) as file:
                seal({"encoder": self.encoder, "keys": keys, "x": x[finite]}, file)
        except OSError as e:
            warn(
                f"Features are not kept, as the cache '{self.folder}' cannot be written to ({e}). "
                f"Set TORCH_IMF_CACHE to another folder, or pass 'cache=False'"
            )
            self.writable = False


class BatchEncoder(Encoder):
    r"""The base class of encoders that run a model over batches of texts or images.

    Args:
        batch_size (int, optional): The number of items per batch. (default: :obj:`32`)
        cache (bool or str, optional): The folder to keep features in, see :class:`FeatureCache`:
            :obj:`True` is :obj:`$TORCH_IMF_CACHE` or :obj:`~/.cache/torch_imf`, :obj:`False` keeps
            none. (default: :obj:`False`)
        device (str, optional): The device to run on, an accelerator if there is one by default.
            (default: :obj:`None`)
        channels (int, optional): The size of a feature vector if it is known beforehand. (default:
            :obj:`0`)
    """

    def __init__(
        self,
        batch_size: int = 32,
        cache: bool | str | os.PathLike[str] = False,
        device: str | None = None,
        channels: int = 0,
    ) -> None:
        self.batch_size, self.cache = batch_size, cache
        self.device, self.channels = device, channels

    def load(self) -> Callable[[list[Any]], Tensor]:
        r"""Returns the model, as a function from a list of items to their features."""
        raise NotImplementedError

    def encode(
        self,
        num_rows: int,
        entries: list[tuple[int, str, Any]],
        read: Callable[[dict[str, Any]], dict[str, Any]] = dict,
    ) -> tuple[Tensor, Tensor]:
        r"""Encodes items that belong to rows (a row, a key and an item each), and returns the mean
        of the features of each row, of shape :math:`(N, D)`, and which rows have any.

        Items of the same key are encoded once, those that the cache has not at all. The model gets
        what :obj:`read` makes of the items of a batch, by their keys, of which it may leave out
        some.
        """
        cache = None if self.cache is False else FeatureCache(self.cache, self)
        items = {key: item for _, key, item in entries}
        slot = {key: i for i, key in enumerate(items)}
        found, table = torch.zeros(len(items), dtype=torch.bool), torch.zeros(0, 0)

        def add(keys: list[str], x: Tensor) -> None:
            nonlocal table
            table = zeros(len(items), x.size(1)) if table.numel() == 0 else table
            index = torch.tensor([slot[key] for key in keys])
            table[index], found[index] = x.to(table.dtype), True

        if cache is not None:
            for block in cache.blocks(slot):
                add(*block)
        pending = [key for key, is_there in zip(items, found.tolist(), strict=True) if not is_there]
        waiting: list[tuple[list[str], Tensor]] = []
        num_waiting = num_kept = 0
        model = self.load() if pending else None
        for start in watched(range(0, len(pending), self.batch_size), "Encoding"):
            keys = pending[start : start + self.batch_size]
            batch = read({key: items[key] for key in keys})
            if len(batch) > 0 and model is not None:
                waiting.append((list(batch), model(list(batch.values())).detach().float().cpu()))
                add(*waiting[-1])
                num_waiting += len(batch)
            # In few files: a run that is interrupted does the last hundredth again, at most.
            is_last = start + self.batch_size >= len(pending)
            if waiting and (is_last or 100 * num_waiting >= num_kept):
                if cache is not None:
                    names = [key for block, _ in waiting for key in block]
                    cache.write(names, torch.cat([x for _, x in waiting]))
                num_kept, num_waiting = num_kept + num_waiting, 0
                waiting.clear()

        if not bool(found.any()):
            return torch.zeros(num_rows, self.channels), torch.zeros(num_rows, dtype=torch.bool)
        row = torch.tensor([row for row, *_ in entries])
        index = torch.tensor([slot[key] for _, key, _ in entries])
        row, index = row[found[index]], index[found[index]]
        count = row.bincount(minlength=num_rows)
        out = zeros(num_rows, table.size(1))
        for part, rows in zip(index.split(2**14), row.split(2**14), strict=True):
            out.index_add_(0, rows, table[part])
        return out.div_(count.clamp(min=1).view(-1, 1)), count > 0
