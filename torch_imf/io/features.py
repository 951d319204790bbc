import errno
import io
import math
import os.path as osp
import pickle
import re
import zipfile
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, BinaryIO, NamedTuple, cast

import numpy as np

from torch_imf.io import require
from torch_imf.io.atomic import on_disk
from torch_imf.io.confined import confined

if TYPE_CHECKING:  # Most files are read by a process that needs no PyTorch.
    from torch import Tensor

#: How many values are read at once.
CHUNK = 1 << 20
#: The data types of arrays: booleans, integers, floats and texts, as keys of a dictionary may be.
DTYPE = re.compile(r"[<>=|]?[biufUS]\d+")
#: The data types of PyTorch. Those of 16 bits that NumPy does not know are read as integers.
STORAGES = {"Bool": "b1", "Byte": "u1", "Char": "i1", "Short": "i2", "Int": "i4", "Long": "i8"}
STORAGES |= {"Half": "f2", "Float": "f4", "Double": "f8", "BFloat16": "u2"}
STORAGES = {f"torch.{name}Storage": dtype for name, dtype in STORAGES.items()}
#: What a pickle may call: at once, and to make arrays.
PLAIN: dict[str, Callable[..., object]] = {
    "collections.OrderedDict": dict,
    "_codecs.encode": lambda text, _: text.encode("latin1"),  # As old protocols write bytes.
}
ARRAYS = {f"numpy.core.multiarray.{name}" for name in ("_reconstruct", "scalar")}
ARRAYS |= {"numpy.core.numeric._frombuffer", "numpy.ndarray", "numpy.dtype"}
ARRAYS |= {f"torch._utils._rebuild_{name}" for name in ("tensor_v2", "parameter")} | set(STORAGES)
#: How a file begins that PyTorch has written before 1.6.
MAGIC = 0x1950A86A20F9469CFC6C
TRUST = "If you trust it, load it once, and save its features by 'torch.save'"
#: The formats whose readers take no more than a file has: they check its sizes.
SOUND = (".npy", ".safetensors")


class ContentError(ValueError):
    r"""A file is whole, but holds what it should not."""


class Features(NamedTuple):
    r"""The content of a file of features: the names of its rows (:obj:`None` if they are those of
    the entities), their number, and blocks of them of shape :math:`(B, D)`, in their order. Where
    there are several features of a row, it is their mean, less those that are all zero.
    """

    names: list[str] | None
    num_rows: int
    blocks: "Iterable[Tensor]"


class _Arrays(NamedTuple):
    # The same, with arrays of shape `[B, D]` or `[B, L, D]`.
    names: list[str] | None
    num_rows: int
    blocks: Iterable[np.ndarray]


@contextmanager
def read(path: str) -> Iterator[Features]:
    r"""Reads a file of features, from the disk or any file system of :obj:`fsspec`, as it is asked
    for where its format allows it. Raises a :class:`ValueError` that names it if it is damaged,
    holds anything but features, or takes more memory or time than is due to its size.
    """
    import torch

    with on_disk(path) as file:
        parts = (
            read_parts(file, path)
            if format_of(path) in SOUND
            else confined(
                "torch_imf.io.features:read_parts",
                file,
                path,
                told=f"Cannot read the features '{path}'. It",
                instead="load it once, and save its features by 'numpy.save'",
            )
        )
        with closing(cast("Generator[object]", parts)):
            names, num_rows = cast("tuple[list[str] | None, int]", next(parts))
            yield Features(names, num_rows, (torch.from_numpy(x) for x in parts))


def read_parts(file: str, path: str) -> Iterator[object]:
    r"""Yields the names of the rows of a file on disk and their number, and then blocks of them,
    with errors that name the path.
    """
    with _told(path):
        names, num_rows, blocks = FORMATS[format_of(path)](file)
        if num_rows == 0:
            raise ContentError("It holds none")
        yield names, num_rows
        for x in blocks:
            if x.ndim == 3:
                count = (x != 0).any(axis=-1).sum(axis=-1, keepdims=True).clip(min=1)
                x = (x.sum(axis=-2, dtype=np.float64) / count).astype(np.float32)
            yield x


@contextmanager
def _told(path: str) -> Iterator[None]:
    # Names the file in any error of its reader.
    try:
        yield
    except ContentError as e:
        raise ValueError(f"Cannot read the features '{path}'. {e}") from e
    except (ImportError, MemoryError):
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


def _read_npz(path: str) -> _Arrays:
    # A matrix, or the matrix 'feature' and the names 'entity' of its rows.
    with zipfile.ZipFile(path) as archive:
        members = {name.removesuffix(".npy"): name for name in archive.namelist()}
        keys = list(members) if len(members) == 1 else ["feature", "entity"]
        if not set(keys) <= set(members):
            raise ContentError(
                f"It needs to hold one array, or two that are called 'entity' and 'feature' (got "
                f"{list(members)[:10]})"
            )
        # To their ends, which checks the checksums:
        contents = (io.BytesIO(archive.read(members[key])) for key in keys)
        x, *others = (np.load(content, allow_pickle=False) for content in contents)
    if not others:
        return _matrix(lambda: x)
    names = others[0]
    if names.dtype.kind not in "US" or names.shape != x.shape[:1]:
        raise ContentError(
            f"'entity' needs to be a list of {len(x):,} names (got {names.dtype} of shape "
            f"{list(names.shape)})"
        )
    return _matrix(lambda: x, list(map(_to_name, names.tolist())))


def _read_h5(path: str) -> _Arrays:
    require("h5py", "'.h5' files", "h5")
    import h5py

    keys: list[str | bytes] = []

    def visit(key: str | bytes, x: object) -> None:
        if isinstance(x, h5py.Dataset):
            if x.external or x.is_virtual:
                raise ContentError(f"'{_to_name(key)}' is in another file, which is refused")
            keys.append(key)

    def values() -> Iterator[object]:
        with h5py.File(path, "r") as file:
            for key in keys:
                yield file[key][()]

    with h5py.File(path, "r") as file:
        file.visititems(visit)  # Slashes in a name make groups, which are visited as well.
    return _vectors(list(map(_to_name, keys)), values())


def _read_safetensors(path: str) -> _Arrays:
    from safetensors.torch import load_file

    return _tabulate(load_file(path))


def _read_pickle(path: str) -> _Arrays:
    # What `pickle.dump` or `torch.save` wrote, whatever its name.
    with open(path, "rb") as file:
        return _tabulate(load_arrays(file))


#: How files of features may end, and what reads them.
FORMATS: dict[str, Callable[[str], _Arrays]] = {
    # Anew for each part, which lets go of the memory that the one before was mapped to:
    ".npy": lambda path: _matrix(lambda: np.load(path, mmap_mode="r", allow_pickle=False)),
    ".npz": _read_npz,
    **dict.fromkeys((".h5", ".hdf5"), _read_h5),
    ".safetensors": _read_safetensors,
    **dict.fromkeys((".pth", ".pt", ".pkl", ".pickle"), _read_pickle),
}


def _tabulate(content: object) -> _Arrays:
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
    if isinstance(content, list | tuple):
        return _vectors(names, content)
    if not hasattr(content, "ndim"):
        raise ContentError(f"It holds no arrays (got {type(content).__name__})")
    matrix = cast(np.ndarray, content)
    return _matrix(lambda: matrix)


def _matrix(load: Callable[[], np.ndarray], names: list[str] | None = None) -> _Arrays:
    shape = tuple(load().shape)
    if len(shape) not in ((2,) if names is None else (2, 3)) or 0 in shape:
        raise ContentError(f"It needs to be a matrix with a row per entity (got {list(shape)})")
    step = max(1, CHUNK // math.prod(shape[1:]))
    blocks = (_to_float(load()[i : i + step], "It") for i in range(0, shape[0], step))
    return _Arrays(names, shape[0], blocks)


def _vectors(names: list[str] | None, values: Iterable[object]) -> _Arrays:
    labels = names or [f"row {i}" for i, _ in enumerate(values)]
    return _Arrays(names, len(labels), map(_to_row, values, labels))


def _to_row(value: object, name: str) -> np.ndarray:
    # The features of one row, of shape `[1, D]`, or several of shape `[1, L, D]`.
    x = _to_float(value, f"'{name}'")
    shape = list(x.shape)
    while x.ndim > 1 and x.shape[0] == 1:
        x = x[0]
    if x.ndim not in (1, 2) or x.shape[-1] == 0:
        raise ContentError(f"'{name}' needs to be a vector, or several (got shape {shape})")
    return x[None]


def _to_float(value: object, name: str) -> np.ndarray:
    if hasattr(value, "detach"):  # A tensor, of a type that NumPy may not know.
        value = value.detach().float().numpy()
    if isinstance(value, list | tuple):
        with suppress(TypeError, ValueError):  # Of several lengths.
            value = np.array(value)
    if isinstance(value, np.ndarray | np.generic) and value.dtype.kind in "biuf":
        with np.errstate(all="ignore"):
            return np.array(value, dtype=np.float32)
    kind = getattr(value, "dtype", type(value).__name__)
    raise ContentError(f"{name} is no array of numbers (got {kind})")


def _to_name(name: object) -> str:
    if isinstance(name, bytes):  # As in HDF5 that is not in UTF-8.
        return name.decode("utf-8", "replace")
    if not isinstance(name, str):
        raise ContentError(f"It needs to hold names or row numbers (got {name!r})")
    return name


def basename(path: str) -> str:
    r"""Returns the name of a file, without the query of a URL."""
    return osp.basename(path.partition("?")[0] if "://" in path else path)


def format_of(path: str) -> str:
    r"""Returns how the name of a file ends, in lower case."""
    return osp.splitext(basename(path))[1].lower()


# Pickles ##########################################################################################


def load_arrays(file: BinaryIO) -> object:
    r"""Reads a file of :obj:`pickle.dump` or :obj:`torch.save` that holds arrays, without running
    what it says. A pickle is a program that calls any function that it names. Here, calls are
    written down only, and those that make arrays are carried out after the last instruction, so
    that none can reach what they make.
    """
    start = file.read(4)
    file.seek(0)
    if start == b"PK\x03\x04":
        with zipfile.ZipFile(file) as archive:
            names = archive.namelist()
            root = next(x for x in names if x.endswith("/data.pkl")).removesuffix("data.pkl")
            if f"{root}byteorder" in names and archive.read(f"{root}byteorder") != b"little":
                raise ContentError("Its numbers are in the byte order of another machine")
            content = _Unpickler(io.BytesIO(archive.read(f"{root}data.pkl"))).load()
            return _build(content, cache(lambda key: archive.read(f"{root}data/{key}")))
    content = _Unpickler(file).load()
    storages: dict[str, bytes] = {}
    if content == MAGIC:  # By PyTorch before 1.6: two versions, the content, and its storages.
        unpicklers = [_Unpickler(file) for _ in range(4)]
        *_, content, keys = (unpickler.load() for unpickler in unpicklers)
        for key in keys:
            size = np.dtype(unpicklers[2].storages[key]).itemsize
            storages[key] = file.read(size * int.from_bytes(file.read(8), "little"))
    return _build(content, storages.__getitem__)


@dataclass(eq=False)
class _Call:
    # A call that a pickle asks for, and what it then sets.
    name: str
    args: tuple
    state: tuple = ()

    def __setstate__(self, state: tuple) -> None:
        self.state = state


class _Unpickler(pickle.Unpickler):
    def __init__(self, file: BinaryIO) -> None:
        super().__init__(file)
        self.storages: dict[str, str] = {}  # The data type of each.

    def find_class(self, module: str, name: str) -> Callable[..., object]:
        name = f"{module.replace('numpy._core', 'numpy.core')}.{name}"  # It moved in NumPy 2.
        if name not in ARRAYS and name not in PLAIN:
            raise ContentError(
                f"The pickle asks for '{name}', which is refused: it may hold nothing but arrays, "
                f"and lists and dictionaries of them. {TRUST}"
            )
        # A new one, as a pickle can write to what it gets:
        return lambda *args: PLAIN[name](*args) if name in PLAIN else _Call(name, args)

    def persistent_load(self, pid: object) -> object:
        match pid:  # A part of another storage has a value instead of nothing at its end.
            case ("storage", kind, str(key), _, int()) | ("storage", kind, str(key), _, _, None):
                self.storages[key] = STORAGES[kind().name]  # type: ignore[operator]
                return _Call("storage", (key, self.storages[key]))
        raise ContentError("The pickle asks for objects outside of it, which is refused")


def _build(value: object, read: Callable[[str], bytes]) -> object:
    # What was read, with arrays in place of the calls that make them. PyTorch keeps their content
    # elsewhere, in storages.
    match value:
        case None | bool() | int() | float() | str() | bytes() | bytearray():
            return value
        case dict():
            return {_build(key, read): _build(entry, read) for key, entry in value.items()}
        case list() | tuple():
            return [_build(entry, read) for entry in value]
        case _Call("torch._utils._rebuild_parameter", (content, *_)):
            return _build(content, read)
        case _Call("torch._utils._rebuild_tensor_v2", (storage, offset, shape, stride, *_)):
            key, code = storage.args
            size = np.dtype(code).itemsize
            strides = [size * step for step in stride]
            x: np.ndarray = np.ndarray(shape, code, read(key), size * offset, strides)
            return (x.astype("u4") << 16).view("f4") if code == "u2" else x
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
