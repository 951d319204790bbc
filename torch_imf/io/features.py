import errno
import io
import math
import os.path as osp
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import NamedTuple

import fsspec
import numpy as np
import torch
from fsspec.implementations.local import LocalFileSystem
from torch import Tensor

from torch_imf.io.archive import RATIO, is_bomb
from torch_imf.io.unpickle import ContentError, load_arrays, load_tensors

#: How many values are read at once.
CHUNK = 1 << 20


class Features(NamedTuple):
    r"""The content of a file of features: the names of its rows (:obj:`None` if they are those of
    the entities), their number, and blocks of them of shape :math:`(B, D)`, in their order. Where
    there are several features of a row, it is their mean, less those that are all zero.
    """

    names: list[str] | None
    num_rows: int
    blocks: Iterator[Tensor]


@contextmanager
def read(path: str) -> Iterator[Features]:
    r"""Reads a file of features, from the disk or any file system of :obj:`fsspec`, as it is asked
    for where its format allows it. Raises a :class:`ValueError` that names it if it is damaged, or
    holds anything but features.
    """
    with on_disk(path) as file:
        with _told(path):
            features = FORMATS[format_of(path)](file)
            if features.num_rows == 0:
                raise ContentError("It holds none")

        def blocks() -> Iterator[Tensor]:
            with _told(path):
                for x in features.blocks:
                    if x.dim() == 3:
                        count = (x != 0).any(dim=-1).sum(dim=-1, keepdim=True).clamp(min=1)
                        x = (x.double().sum(dim=-2) / count).float()
                    yield x

        yield Features(features.names, features.num_rows, blocks())


@contextmanager
def _told(path: str) -> Iterator[None]:
    # Names the file in any error of its reader.
    try:
        yield
    except ContentError as e:
        raise ValueError(f"Cannot read the features '{path}'. {e}") from e
    except ImportError:
        raise
    except Exception as e:  # A damaged file can make a reader raise anything.
        # It cannot even be opened (a place that no file can have is one that a damaged file names):
        if isinstance(e, OSError) and e.errno not in (None, errno.EINVAL):
            raise
        reason = f"{type(e).__name__}: {e}".split("\n")[0][:200]
        raise ValueError(
            f"The features '{path}' are damaged or no '{format_of(path)}' file ({reason}). Please "
            f"fetch the file anew"
        ) from e


def _read_npy(path: str) -> Features:
    # Anew for each part, which lets go of the memory that the one before was mapped to:
    return _matrix(lambda: np.load(path, mmap_mode="r", allow_pickle=False))


def _read_npz(path: str) -> Features:
    # A matrix, or the matrix 'feature' and the names 'entity' of its rows.
    with zipfile.ZipFile(path) as archive:
        _check_size(path, sum(member.file_size for member in archive.infolist()))
        found = {name.removesuffix(".npy"): name for name in archive.namelist()}
        if len(found) == 1:
            x = read_member(archive, *found.values())
            return _matrix(lambda: x)
        if not {"entity", "feature"} <= set(found):
            raise ContentError(
                f"It needs to hold one array, or two that are called 'entity' and 'feature' (got "
                f"{list(found)[:10]})"
            )
        names, x = (read_member(archive, found[name]) for name in ("entity", "feature"))
    if names.dtype.kind not in "US" or names.shape != x.shape[:1]:
        raise ContentError(
            f"'entity' needs to be a list of {len(x):,} names (got {names.dtype} of shape "
            f"{list(names.shape)})"
        )
    return _matrix(lambda: x, [_to_name(name) for name in names.tolist()])


def read_member(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    r"""Returns an array of an :obj:`.npz` file, read to its end, which checks the checksum."""
    return np.load(io.BytesIO(archive.read(name)), allow_pickle=False)


def _read_h5(path: str) -> Features:
    try:
        import h5py
    except ImportError as e:
        raise ImportError("'.h5' files require 'h5py', run 'pip install h5py'") from e
    keys: list[str | bytes] = []
    size = 0

    def visit(key: str | bytes, x: object) -> None:
        nonlocal size
        if isinstance(x, h5py.Dataset):
            if x.external or x.is_virtual:
                raise ContentError(f"'{_to_name(key)}' is in another file, which is refused")
            keys.append(key)
            size += x.nbytes

    with h5py.File(path, "r") as file:
        file.visititems(visit)  # Slashes in a name make groups, which are visited as well.
    _check_size(path, size)

    def values() -> Iterator[object]:
        with h5py.File(path, "r") as file:
            for key in keys:
                yield file[key][()]

    return _vectors([_to_name(key) for key in keys], values())


def _read_safetensors(path: str) -> Features:
    from safetensors.torch import load_file

    return _tabulate(load_file(path), path)


def _read_torch(path: str) -> Features:
    mmap = zipfile.is_zipfile(path)  # Not so before PyTorch 1.6.
    if mmap:
        with zipfile.ZipFile(path) as archive:
            _check_size(path, sum(member.file_size for member in archive.infolist()))
    return _tabulate(load_tensors(path, mmap), path)


def _read_pickle(path: str) -> Features:
    if zipfile.is_zipfile(path):  # What `torch.save` wrote, whatever its name.
        return _read_torch(path)
    with open(path, "rb") as file:
        return _tabulate(load_arrays(file), path)


#: How files of features may end, and what reads them.
FORMATS: dict[str, Callable[[str], Features]] = {
    ".npy": _read_npy,
    ".npz": _read_npz,
    ".h5": _read_h5,
    ".hdf5": _read_h5,
    ".safetensors": _read_safetensors,
    ".pth": _read_torch,
    ".pt": _read_torch,
    ".pkl": _read_pickle,
    ".pickle": _read_pickle,
}


def _tabulate(content: object, path: str) -> Features:
    # A matrix (on its own, or under one name), a list of rows, or rows by name or number.
    if isinstance(content, dict) and len(content) == 1:
        (value,) = content.values()
        content = value if getattr(value, "ndim", 0) == 2 and len(value) > 1 else content
    if isinstance(content, Tensor) and content.layout != torch.strided:
        raise ContentError(f"It is no dense array (got {content.layout})")
    if isinstance(content, Tensor | np.ndarray):
        matrix = content
        _check_size(path, matrix.nbytes)
        return _matrix(lambda: matrix)
    names: list[str] | None = None
    if isinstance(content, dict) and not all(isinstance(key, int) for key in content):
        names, content = [_to_name(key) for key in content], list(content.values())
    elif isinstance(content, dict):
        if sorted(content) != list(range(len(content))):
            raise ContentError(f"Its rows are numbered, but not from 0 to {len(content) - 1}")
        content = [content[row] for row in range(len(content))]
    if not isinstance(content, list | tuple):
        raise ContentError(f"It holds no arrays (got {type(content).__name__})")
    _check_size(path, sum(getattr(x, "nbytes", 0) for x in content))
    return _vectors(names, content)


def _matrix(load: Callable[[], Tensor | np.ndarray], names: list[str] | None = None) -> Features:
    shape = tuple(load().shape)
    if len(shape) not in ((2,) if names is None else (2, 3)) or 0 in shape:
        raise ContentError(f"It needs to be a matrix with a row per entity (got {list(shape)})")
    step = max(1, CHUNK // math.prod(shape[1:]))
    blocks = (_to_float(load()[i : i + step], "It") for i in range(0, shape[0], step))
    return Features(names, shape[0], blocks)


def _vectors(names: list[str] | None, values: Iterable[object]) -> Features:
    num_rows = len(names) if names is not None else len(list(values))
    labels = names or [f"row {i}" for i in range(num_rows)]
    return Features(names, num_rows, map(_to_row, values, labels))


def _to_row(value: object, name: str) -> Tensor:
    # The features of one row, of shape `[1, D]`, or several of shape `[1, L, D]`.
    x = _to_float(value, f"'{name}'")
    shape = list(x.size())
    while x.dim() > 1 and x.size(0) == 1:
        x = x.squeeze(0)
    if x.dim() not in (1, 2) or x.size(-1) == 0:
        raise ContentError(f"'{name}' needs to be a vector, or several (got shape {shape})")
    return x.unsqueeze(0)


def _to_float(value: object, name: str) -> Tensor:
    if isinstance(value, list | tuple):
        try:
            value = np.array(value, dtype=np.float64)
        except (TypeError, ValueError) as e:
            raise ContentError(f"{name} is no list of numbers ({e})") from e
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biuf":
        with np.errstate(all="ignore"):
            return torch.from_numpy(np.array(value, dtype=np.float32))
    if isinstance(value, Tensor) and value.layout == torch.strided and not value.is_complex():
        return value.detach().float()
    kind = getattr(value, "dtype", type(value).__name__)
    raise ContentError(f"{name} is no array of numbers (got {kind})")


def _to_name(name: object) -> str:
    if isinstance(name, bytes):  # As in HDF5 that is not in UTF-8.
        return name.decode("utf-8", "replace")
    if not isinstance(name, str):
        raise ContentError(f"It needs to hold names or row numbers (got {name!r})")
    return name


def _check_size(path: str, size: int) -> None:
    # Of what is compressed, never stored, or repeats the few values that are.
    if is_bomb(path, size):
        raise ContentError(
            f"It is more than {RATIO} times as large when unpacked, which is refused. If you trust "
            f"it, load it once, and save its features without compression"
        )


def basename(path: str) -> str:
    r"""Returns the name of a file, without the query of a URL."""
    return osp.basename(path.partition("?")[0] if "://" in path else path)


def format_of(path: str) -> str:
    r"""Returns how the name of a file ends, in lower case."""
    return osp.splitext(basename(path))[1].lower()


@contextmanager
def on_disk(path: str) -> Iterator[str]:
    r"""Returns the path of a file on the disk, of a copy if it is elsewhere."""
    filesystem, name = fsspec.core.url_to_fs(path)
    if isinstance(filesystem, LocalFileSystem):
        yield name
        return
    with TemporaryDirectory(prefix="torch_imf-", ignore_cleanup_errors=True) as folder:
        copy = osp.join(folder, "features")
        filesystem.get_file(name, copy)
        yield copy
