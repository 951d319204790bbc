from collections.abc import Iterator

import torch
from torch import Tensor


def chunk_positives(
    pos_index: Tensor,
    num_queries: int,
    num_keys: int,
    chunk_size: int | None = None,
) -> Iterator[tuple[int, int, Tensor, Tensor]]:
    r"""Splits the candidates of a 1-N loss into chunks, and yields for each
    its range :obj:`start, end` and the positives inside it (:obj:`row`: query,
    :obj:`col`: position in the chunk).
    """
    if chunk_size is None:
        # About 8 MB of float32 logits stay close to the cores:
        chunk_size = max(256, 2**21 // max(num_queries, 1))
    if chunk_size < 1:
        raise ValueError(f"'chunk_size' needs to be positive (got {chunk_size})")
    col, perm = pos_index[1].sort()
    row = pos_index[0][perm]
    start = range(0, num_keys, chunk_size)
    bound = torch.tensor([*start, num_keys], device=col.device)
    ptr = torch.searchsorted(col, bound).tolist()
    for i, j in enumerate(start):
        part = slice(ptr[i], ptr[i + 1])
        yield j, min(j + chunk_size, num_keys), row[part], col[part] - j


def fact_shares(
    pos_index: Tensor, num_queries: int, weight: Tensor | None, dtype: torch.dtype
) -> tuple[Tensor, Tensor]:
    r"""Returns the share of each query in a mean that is weighed by
    :obj:`weight`, zero for a query without positives, and that of each of its
    positives, of shape :obj:`[B]` each.
    """
    count = torch.bincount(pos_index[0], minlength=num_queries).to(dtype)
    share = torch.ones_like(count) if weight is None else weight.to(dtype)
    share = share / share.sum().clamp(min=torch.finfo(dtype).tiny) * (count > 0)
    return share, share / count.clamp(min=1)


def compute_dtype(query: Tensor, key: Tensor) -> tuple[Tensor, Tensor, torch.dtype]:
    r"""Returns the operands of the products, cast as autocast asks, and the
    type of everything else: :obj:`float32` or wider.
    """
    if query.size(0) == 0 or key.size(0) == 0:
        raise ValueError(
            f"A 1-N loss needs queries and candidates (got {query.size(0)} and {key.size(0)})"
        )
    device_type = query.device.type
    dtype = torch.promote_types(query.dtype, key.dtype)
    accumulate = torch.promote_types(dtype, torch.float32)
    if torch.is_autocast_enabled(device_type):
        dtype = torch.get_autocast_dtype(device_type)
    return query.detach().to(dtype), key.detach().to(dtype), accumulate
