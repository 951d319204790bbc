from collections.abc import Callable
from typing import TypeVar

import torch
from torch import Tensor
from tqdm import tqdm

from .cache import FeatureCache

T = TypeVar("T")
Encode = Callable[[dict[str, T]], tuple[list[str], Tensor]]


def encode_rows(
    num_rows: int,
    entries: list[tuple[int, str, T]],
    load: Callable[[], Encode[T]],
    batch_size: int,
    cache: FeatureCache | None = None,
    channels: int = 0,
    name: str = "",
) -> tuple[Tensor, Tensor]:
    r"""Encodes items that belong to rows, in batches, and returns the mean of
    the features of each row, and which rows have any.

    Items of the same key are encoded once. Those that the cache has are not
    encoded at all, and the others are kept there, batch by batch; features
    that are not finite are not kept. Sums are taken in double precision, so
    that their order does not matter.

    Args:
        num_rows (int): The number of rows :math:`N`.
        entries (list): The row, the key and the item itself of each item.
        load (callable): Loads the model, if there is anything to encode, and
            returns a function from a batch (key -> item) to the keys of the
            items it could encode and their features.
        batch_size (int): The number of items per batch.
        cache (FeatureCache, optional): The cache. (default: :obj:`None`)
        channels (int, optional): The number of columns if no item could be
            encoded. (default: :obj:`0`)
        name (str, optional): What the progress bar says. (default: :obj:`""`)

    Returns:
        The features :math:`(N, D)`, zero for rows without any, and the mask
        :math:`(N)`.
    """
    pending: dict[str, T] = {}
    rows_of: dict[str, list[int]] = {}
    for row, key, item in entries:
        pending.setdefault(key, item)
        rows_of.setdefault(key, []).append(row)

    count = torch.zeros(num_rows, dtype=torch.long)
    total = torch.zeros(num_rows, channels, dtype=torch.double)

    def add(keys: list[str], x: Tensor) -> None:
        nonlocal total
        if len(keys) == 0:
            return
        if not count.any():
            total = total.new_zeros(num_rows, x.size(-1))
        pairs = [(i, row) for i, key in enumerate(keys) for row in rows_of[key]]
        index, row = torch.tensor(pairs).t()
        total.index_add_(0, row, x[index].double())
        count.index_add_(0, row, torch.ones_like(row))

    if cache is not None:
        for keys, x in cache.read(rows_of):
            add(keys, x)
            for key in keys:
                del pending[key]

    names = list(pending)
    if len(names) > 0:
        encode = load()
        done = len(rows_of) - len(names)
        with tqdm(total=len(rows_of), initial=done, desc=name, disable=None) as bar:
            for start in range(0, len(names), batch_size):
                batch = {key: pending[key] for key in names[start : start + batch_size]}
                keys, x = encode(batch)
                x = x.detach().float().cpu()
                add(keys, x)
                if cache is not None:
                    finite = x.isfinite().all(dim=-1)
                    kept = [key for key, keep in zip(keys, finite.tolist(), strict=True) if keep]
                    cache.write(kept, x[finite])
                bar.update(len(batch))

    x = (total / count.clamp(min=1).view(-1, 1)).float()
    return x, count > 0
