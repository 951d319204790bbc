import errno
import io
import math
import os.path as osp
import pickle
import re
import zipfile
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from tempfile import TemporaryDirectory
from typing import BinaryIO, NamedTuple

import fsspec
import numpy as np
import torch
from fsspec.implementations.local import LocalFileSystem
from safetensors.torch import load_file
from torch import Tensor

from torch_imf.io import require
from torch_imf.io.archive import RATIO, is_bomb

#: How many values are read at once.
CHUNK = 1 << 20
#: The data types of arrays: booleans, integers, floats and texts, as keys of a dictionary may be.
DTYPE = re.compile(r"[<>=|]?[biufUS]\d+")
#: What a pickle may call: at once, and to make arrays.
PLAIN: dict[str, Callable[..., object]] = {
    "collections.OrderedDict": dict,
    "_codecs.encode": lambda text, _: text.encode("latin1"),  # As old protocols write bytes.
}
ARRAYS = {f"numpy.core.multiarray.{name}" for name in ("_reconstruct", "scalar")}
ARRAYS |= {"numpy.core.numeric._frombuffer", "numpy.ndarray", "numpy.dtype"}
TRUST = "If you trust it, load it once, and save its features by 'torch.save'"


class ContentError(ValueError):
    r"""A file is whole, but holds what it should not."""


class Features(NamedTuple):
    r"""The content of a file of features: the names of its rows (:obj:`None` if they are those of
    the entities), their number, and blocks of them of shape :math:`(B, D)`, in their order. Where
    there are several features of a row, it is their mean, less those that are all zero.
    """

    names: list[str] | None
    num_rows: int
    blocks: Iterable[Tensor]


@contextmanager
def read(path: str) -> Iterator[Features]:
    r"""Reads a file of features, from the disk or any file system of :obj:`fsspec`, as it is asked
    for where its format allows it. Raises a :class:`ValueError` that names it if it is damaged, or
    holds anything but features.
    """
    with on_disk(path) as file:
        with _told(path):
            names, num_rows, blocks = FORMATS[format_of(path)](file)
            if num_rows == 0:
                raise ContentError("It holds none")

        def means() -> Iterator[Tensor]:
            with _told(path):
                for x in blocks:
                    if x.dim() == 3:
                        count = (x != 0).any(dim=-1).sum(dim=-1, keepdim=True).clamp(min=1)
                        x = (x.double().sum(dim=-2) / count).float()
                    yield x

        yield Features(names, num_rows, means())


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


def _read_npz(path: str) -> Features:
    # A matrix, or the matrix 'feature' and the names 'entity' of its rows.
    _check_zip(path)
    with zipfile.ZipFile(path) as archive:
        members = {name.removesuffix(".npy"): name for name in archive.namelist()}
        keys = list(members) if len(members) == 1 else ["feature", "entity"]
        if not set(keys) <= set(members):
            raise ContentError(
                f"It needs to hold one array, or two that are called 'entity' and 'feature' (got "
                f"{list(members)[:10]})"
            )
        x, *others = (read_member(archive, members[key]) for key in keys)
    if not others:
        return _matrix(lambda: x)
    names = others[0]
    if names.dtype.kind not in "US" or names.shape != x.shape[:1]:
        raise ContentError(
            f"'entity' needs to be a list of {len(x):,} names (got {names.dtype} of shape "
            f"{list(names.shape)})"
        )
    return _matrix(lambda: x, list(map(_to_name, names.tolist())))


def read_member(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    r"""Returns an array of an :obj:`.npz` file, read to its end, which checks the checksum."""
    return np.load(io.BytesIO(archive.read(name)), allow_pickle=False)


def _read_h5(path: str) -> Features:
    require("h5py", "'.h5' files", "h5")
    import h5py

    sizes: dict[str | bytes, int] = {}

    def visit(key: str | bytes, x: object) -> None:
        if isinstance(x, h5py.Dataset):
            if x.external or x.is_virtual:
                raise ContentError(f"'{_to_name(key)}' is in another file, which is refused")
            sizes[key] = x.nbytes

    def values() -> Iterator[object]:
        with h5py.File(path, "r") as file:
            for key in sizes:
                yield file[key][()]

    with h5py.File(path, "r") as file:
        file.visititems(visit)  # Slashes in a name make groups, which are visited as well.
    _check_size(path, sum(sizes.values()))
    return _vectors(list(map(_to_name, sizes)), values())


def _read_torch(path: str) -> Features:
    mmap = zipfile.is_zipfile(path)  # Not so before PyTorch 1.6.
    if mmap:
        _check_zip(path)
    try:
        content = torch.load(path, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as e:
        refused = re.search(r"GLOBAL (\S+)", str(e))
        if refused is None:
            raise
        raise ContentError(
            f"It asks for '{refused[1]}', which needs 'weights_only=False' and runs what the file "
            f"says. {TRUST}"
        ) from e
    return _tabulate(content, path)


def _read_pickle(path: str) -> Features:
    if zipfile.is_zipfile(path):  # What `torch.save` wrote, whatever its name.
        return _read_torch(path)
    with open(path, "rb") as file:
        return _tabulate(load_arrays(file), path)


#: How files of features may end, and what reads them.
FORMATS: dict[str, Callable[[str], Features]] = {
    # Anew for each part, which lets go of the memory that the one before was mapped to:
    ".npy": lambda path: _matrix(lambda: np.load(path, mmap_mode="r", allow_pickle=False)),
    ".npz": _read_npz,
    **dict.fromkeys((".h5", ".hdf5"), _read_h5),
    ".safetensors": lambda path: _tabulate(load_file(path), path),
    **dict.fromkeys((".pth", ".pt"), _read_torch),
    **dict.fromkeys((".pkl", ".pickle"), _read_pickle),
}


def _tabulate(content: object, path: str) -> Features:
    # A matrix (on its own, or under one name), a list of rows, or rows by name or number.
    names: list[str] | None = None
    if isinstance(content, dict) and len(content) == 1:
        (value,) = content.values()
        content = value if getattr(value, "ndim", 0) == 2 and len(value) > 1 else content
    if isinstance(content, dict) and all(isinstance(key, int) for key in content):
        if sorted(content) != list(range(len(content))):
            raise ContentError(f"Its rows are numbered, but not from 0 to {len(content) - 1}")
        content = [content[row] for row in range(len(content))]
    elif isinstance(content, dict):
        names, content = list(map(_to_name, content)), list(content.values())
    rows = content if isinstance(content, list | tuple) else [content]
    if any(isinstance(x, Tensor) and x.layout != torch.strided for x in rows):
        raise ContentError("It holds what is no dense array")
    _check_size(path, sum(getattr(x, "nbytes", 0) for x in rows))
    if rows is content:
        return _vectors(names, rows)
    if not isinstance(content, Tensor | np.ndarray):
        raise ContentError(f"It holds no arrays (got {type(content).__name__})")
    matrix = content
    return _matrix(lambda: matrix)


def _matrix(load: Callable[[], Tensor | np.ndarray], names: list[str] | None = None) -> Features:
    shape = tuple(load().shape)
    if len(shape) not in ((2,) if names is None else (2, 3)) or 0 in shape:
        raise ContentError(f"It needs to be a matrix with a row per entity (got {list(shape)})")
    step = max(1, CHUNK // math.prod(shape[1:]))
    blocks = (_to_float(load()[i : i + step], "It") for i in range(0, shape[0], step))
    return Features(names, shape[0], blocks)


def _vectors(names: list[str] | None, values: Iterable[object]) -> Features:
    labels = names or [f"row {i}" for i, _ in enumerate(values)]
    return Features(names, len(labels), map(_to_row, values, labels))


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
        with suppress(TypeError, ValueError):  # Of several lengths.
            value = np.array(value)
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biuf":
        with np.errstate(all="ignore"):
            return torch.from_numpy(np.array(value, dtype=np.float32))
    if isinstance(value, Tensor) and not value.is_complex():
        return value.detach().float()
    kind = getattr(value, "dtype", type(value).__name__)
    raise ContentError(f"{name} is no array of numbers (got {kind})")


def _to_name(name: object) -> str:
    if isinstance(name, bytes):  # As in HDF5 that is not in UTF-8.
        return name.decode("utf-8", "replace")
    if not isinstance(name, str):
        raise ContentError(f"It needs to hold names or row numbers (got {name!r})")
    return name


def _check_zip(path: str) -> None:
    with zipfile.ZipFile(path) as archive:
        _check_size(path, sum(member.file_size for member in archive.infolist()))


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


# Pickles ##########################################################################################


def load_arrays(file: BinaryIO) -> object:
    r"""Reads a pickle that holds arrays of NumPy, without running what it says. It is a program
    that calls any function that it names. Here, calls are written down only, and those that make
    arrays are carried out after the last instruction, so that none can reach what they make.
    """
    return _build(_Unpickler(file).load())


@dataclass(eq=False)
class _Call:
    # A call that a pickle asks for, and what it then sets.
    name: str
    args: tuple
    state: tuple = ()

    def __setstate__(self, state: tuple) -> None:
        self.state = state


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Callable[..., object]:
        name = f"{module.replace('numpy._core', 'numpy.core')}.{name}"  # It moved in NumPy 2.
        if name not in ARRAYS and name not in PLAIN:
            raise ContentError(
                f"The pickle asks for '{name}', which is refused: it may hold nothing but arrays "
                f"of NumPy, and lists and dictionaries of them. {TRUST}"
            )
        # A new one, as a pickle can write to what it gets:
        return lambda *args: PLAIN[name](*args) if name in PLAIN else _Call(name, args)

    def persistent_load(self, pid: object) -> object:
        raise ContentError("The pickle asks for objects outside of it, which is refused")


def _build(value: object) -> object:
    # What was read, with arrays in place of the calls that make them.
    match value:
        case None | bool() | int() | float() | str() | bytes() | bytearray():
            return value
        case dict():
            return {_build(key): _build(entry) for key, entry in value.items()}
        case list() | tuple():
            return [_build(entry) for entry in value]
        case _Call("numpy.core.numeric._frombuffer", (content, dtype, shape, order)):
            return _to_array(content, dtype, shape, order)
        case _Call("numpy.core.multiarray.scalar", (dtype, content)):
            return _to_array(content, dtype, (), "C").item()
        case _Call(state=(*_, shape, dtype, fortran, content)):
            return _to_array(content, dtype, shape, "F" if fortran else "C")
    kind = value.name if isinstance(value, _Call) else type(value).__name__
    raise ContentError(f"The pickle holds what is no array (got {kind})")


def _to_array(content: bytes, dtype: _Call, shape: tuple, order: str) -> np.ndarray:
    code = str(dtype.args[0]) if dtype.args else ""
    if not DTYPE.fullmatch(code):
        raise ContentError(f"The pickle holds an array of data type '{code}', not numbers")
    # Only the byte order of a state, which could call bytes of an array pointers to objects:
    kind = np.dtype(code).newbyteorder(dtype.state[1] if dtype.state else "|")
    return np.frombuffer(content, kind).reshape(shape, order=order)  # type: ignore[call-overload]
