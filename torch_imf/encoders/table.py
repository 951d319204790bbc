import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .bounds import check_storage
from .unpickle import ContentError

CHUNK = 1 << 18
"""How many values are read at once."""


@dataclass
class Table:
    r"""The content of a file of features.

    Args:
        names (list[str], optional): The names of the rows, or :obj:`None` if
            they are those of the entities.
        num_rows (int): The number of rows.
        blocks (iterator): The features of the rows in their order, a few at a
            time, of shape :math:`(B, D)`.
    """

    names: list[str] | None
    num_rows: int
    blocks: Iterator[Tensor]


def tabulate(load: Callable[[], object]) -> Table:
    r"""Returns the table in an object: a matrix (on its own, or under one
    name), a list of rows, or a dictionary of rows by name or number.
    """
    content = load()
    matrix = find_matrix(content)
    if matrix is not None:
        shape = tuple(matrix.shape)
        check_matrix(shape)
        if isinstance(matrix, Tensor):
            check_storage(matrix, "It")
        # Loaded for each part, as one that is closed lets go of the memory that it was mapped to:
        blocks = (
            to_float(find_matrix(load())[part], "It")  # type: ignore[index]
            for part in parts(shape)
        )
        return Table(None, shape[0], blocks)

    if isinstance(content, dict) and not all(isinstance(key, int) for key in content):
        names = [to_name(key) for key in content]
        rows = map(to_row, content.values(), names)
        return Table(names, len(names), rows)
    if isinstance(content, dict):
        if sorted(content) != list(range(len(content))):
            raise ContentError(f"Its rows are numbered, but not from 0 to {len(content) - 1}")
        content = [content[row] for row in range(len(content))]
    if not isinstance(content, list | tuple):
        raise ContentError(f"It holds no arrays (got {type(content).__name__})")
    return Table(None, len(content), map(to_vector, content, map(str, range(len(content)))))


def find_matrix(content: object) -> Tensor | np.ndarray | None:
    r"""Returns the matrix that an object is, or that is its only entry."""
    if isinstance(content, dict) and len(content) == 1:
        value = next(iter(content.values()))
        return value if getattr(value, "ndim", 0) == 2 and len(value) > 1 else None
    if isinstance(content, Tensor) and content.layout != torch.strided:
        raise ContentError(f"It is no dense array (got {content.layout})")
    return content if isinstance(content, Tensor | np.ndarray) else None


def to_vector(value: object, name: str) -> Tensor:
    x = to_row(value, name)
    if x.dim() != 2:
        raise ContentError(f"Row {name} needs to be a vector (got shape {list(x.size()[1:])})")
    return x


def to_row(value: object, name: str) -> Tensor:
    r"""Returns the features of one row, of shape :math:`(1, D)`, or several of
    shape :math:`(1, L, D)`.
    """
    x = to_float(value, f"'{name}'")
    shape = list(x.size())
    while x.dim() > 1 and x.size(0) == 1:
        x = x.squeeze(0)
    if x.dim() not in (1, 2) or x.size(-1) == 0:
        raise ContentError(f"'{name}' needs to be a vector, or several (got shape {shape})")
    return x.unsqueeze(0)


def to_float(value: object, name: str) -> Tensor:
    if isinstance(value, list | tuple):
        try:
            value = np.array(value, dtype=np.float64)
        except (TypeError, ValueError) as e:
            raise ContentError(f"{name} is no list of numbers ({e})") from e
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biuf":
        with np.errstate(all="ignore"):
            return torch.from_numpy(np.array(value, dtype=np.float32))
    if isinstance(value, Tensor) and value.layout == torch.strided and not value.is_complex():
        check_storage(value, name)
        return value.detach().float()
    kind = getattr(value, "dtype", type(value).__name__)
    raise ContentError(f"{name} is no array of numbers (got {kind})")


def to_name(name: object) -> str:
    if isinstance(name, bytes):  # As in pickles of Python 2, and HDF5 that is not in UTF-8.
        return name.decode("utf-8", "replace")
    if not isinstance(name, str):
        raise ContentError(f"It needs to hold names or row numbers (got {name!r})")
    return name


def pool(x: Tensor) -> Tensor:
    r"""Returns the mean of several features per row, less those that are all
    zero.
    """
    if x.dim() == 2:
        return x
    keep = (x != 0).any(dim=-1, keepdim=True)
    return (x.double().sum(dim=-2) / keep.sum(dim=-2).clamp(min=1)).float()


def check_matrix(shape: tuple[int, ...], dims: tuple[int, ...] = (2,)) -> None:
    if len(shape) not in dims or 0 in shape:
        raise ContentError(f"It needs to be a matrix with a row per entity (got {list(shape)})")


def parts(shape: tuple[int, ...]) -> Iterator[slice]:
    r"""Yields the rows of an array in parts of up to :obj:`CHUNK` values."""
    step = max(1, CHUNK // math.prod(shape[1:]))
    for start in range(0, shape[0], step):
        yield slice(start, min(start + step, shape[0]))
