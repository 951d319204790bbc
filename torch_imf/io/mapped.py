r"""Matrices that stay on the disk, whose rows are read when they are asked for."""

import json
import math
import os
import tempfile
from contextlib import suppress
from typing import Any

import numpy as np
import torch
from torch import Tensor

from torch_imf.io import check_regular

#: How many bytes of features are at most kept in memory, rather than on the disk.
LARGE = 2**30
FLOATS = {"F16": torch.half, "BF16": torch.bfloat16, "F32": torch.float, "F64": torch.double}


def map_features(path: str | os.PathLike[str]) -> Tensor:
    r"""Returns the features :obj:`[N, D]` of a file without reading it: a matrix of floats
    (:obj:`.npy`), or a file with nothing else (:obj:`.safetensors`). Their rows are read when they
    are asked for, and stay in their own type: models keep no copy, so that features may be larger
    than memory.

    .. code-block:: python

        data.x_text = map_features("texts.safetensors")

    The file needs to stay as it is.

    Raises:
        ValueError: If there is no such file, or it holds anything else.
    """
    path = os.fspath(path)
    if not os.path.isfile(path):
        raise ValueError(f"There is no file of features '{path}' on this machine")
    wrong = f"The features '{path}' need to be one matrix of floats, by rows"
    if path.lower().endswith(".npy"):
        try:
            x = np.load(path, mmap_mode="r", allow_pickle=False)
        except (ValueError, OSError, EOFError) as e:
            raise ValueError(f"'{path}' is damaged or no '.npy' file ({e})") from e
        is_fit = x.ndim == 2 and x.dtype.str in ("<f2", "<f4", "<f8") and x.flags.c_contiguous
        if not is_fit:
            raise ValueError(f"{wrong} (got {x.dtype} of shape {list(x.shape)})")
        dtype = torch.from_numpy(np.empty(0, x.dtype)).dtype
        return _mapped(path, dtype, list(x.shape), x.offset)
    found = map_tensors(path)
    if len(found) != 1 or next(iter(found.values())).dim() != 2:
        raise ValueError(f"{wrong} (got { ({k: list(x.size()) for k, x in found.items()}) })")
    return next(iter(found.values()))


def map_tensors(path: str) -> dict[str, Tensor]:
    r"""Returns the floats of a safetensors file without reading them."""
    from safetensors import SafetensorError, safe_open

    check_regular(path)
    try:
        with safe_open(path, "pt"):  # Which checks sizes.
            pass
    except (SafetensorError, OSError) as e:
        raise ValueError(f"'{path}' is damaged or no safetensors file ({e})") from e
    with open(path, "rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(start - 8))
    return {
        name: _mapped(path, FLOATS[x["dtype"]], x["shape"], start + x["data_offsets"][0])
        for name, x in header.items()
        if name != "__metadata__" and x["dtype"] in FLOATS
    }


def is_mapped(x: Tensor) -> bool:
    r"""Returns whether a tensor is on the disk, by :meth:`map_features` or :meth:`zeros`."""
    # PyTorch does not tell. A storage is the same object for all tensors that share it.
    return getattr(x.untyped_storage(), "is_mapped", False)


def is_large(num_bytes: int) -> bool:
    r"""Returns whether features of so many bytes are kept on the disk."""
    return num_bytes > LARGE


def zeros(*size: int) -> Tensor:
    r"""Returns zeros, in a file without a name in the folder of temporary ones if they are more
    than :obj:`LARGE` bytes.
    """
    if not is_large(4 * math.prod(size)):
        return torch.zeros(size)
    number, path = tempfile.mkstemp(prefix="torch_imf-")
    os.truncate(number, 4 * math.prod(size))
    os.close(number)
    out = _mapped(path, torch.float, list(size), 0, shared=True)
    with suppress(OSError):  # It goes with the tensor, where systems allow that.
        os.unlink(path)
    return out


def _mapped(
    path: str, dtype: torch.dtype, size: list[int], offset: int, shared: bool = False
) -> Tensor:
    # Writes to it stay in memory, and the file as it is, unless it is shared.
    if offset % dtype.itemsize:
        raise ValueError(f"The numbers of '{path}' begin in between, write it anew")
    storage: Any = torch.UntypedStorage.from_file(path, shared, os.path.getsize(path))
    storage.is_mapped = True
    out = torch.empty(0, dtype=dtype)
    stride = [math.prod(size[i + 1 :]) for i in range(len(size))]
    return out.set_(storage, offset // dtype.itemsize, size, stride)
