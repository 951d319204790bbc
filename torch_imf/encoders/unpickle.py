import io
import pickle
import re
from collections import OrderedDict
from collections.abc import Callable
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

# Booleans, integers, floats and, as the keys of a dictionary may be such, texts:
DTYPE = re.compile(r"[<>=|]?[biufUS]\d+")


class ContentError(ValueError):
    r"""Raised for a file that is whole, but holds what it should not."""


def load_arrays(file: BinaryIO) -> object:
    r"""Reads a pickle that holds arrays, without running what it says.

    A pickle is a program: :meth:`pickle.load` calls any function of any
    package that it names. Here, it can build nothing but arrays of
    :obj:`numpy` and :obj:`torch`, numbers, texts, and lists, tuples, sets and
    dictionaries of them. What stands for an array is turned into one only
    after the last instruction, so that no instruction can reach it.

    Pickles of Python 2 are read as well; their texts are :obj:`bytes`.

    Args:
        file (file): The file, opened for reading in binary mode.

    Raises:
        ContentError: If the pickle asks for anything else.
    """
    return to_arrays(ArrayUnpickler(file, encoding="bytes").load())


def load_tensors(file: str | BinaryIO, mmap: bool = False) -> object:
    r"""Reads a file of :meth:`torch.save` that holds tensors, without running
    what it says.

    Args:
        file (str or file): The file, or its path.
        mmap (bool, optional): If set to :obj:`True`, maps it to memory.
            (default: :obj:`False`)

    Raises:
        ContentError: If the file asks for anything else.
    """
    try:
        return torch.load(file, map_location="cpu", weights_only=True, mmap=mmap)
    except pickle.UnpicklingError as e:
        refused = re.search(r"GLOBAL (\S+)", str(e))
        if refused is None:
            raise
        raise ContentError(
            f"It asks for '{refused[1]}', and can be loaded with 'weights_only=False' only, which "
            f"runs what the file says. If you trust it, load it once, and save its features as a "
            f"tensor"
        ) from e


class ArrayUnpickler(pickle.Unpickler):
    r"""A :class:`pickle.Unpickler` that can build arrays only, see
    :meth:`load_arrays`.
    """

    def find_class(self, module: str, name: str) -> Callable[..., object]:
        # Packages moved in NumPy 2 and Python 3:
        module = module.replace("numpy._core", "numpy.core").replace("__builtin__", "builtins")
        if (module, name) not in BUILDERS:
            raise ContentError(
                f"The pickle asks for '{module}.{name}', which is refused: it may hold nothing "
                f"but arrays, and lists and dictionaries of arrays"
            )
        build = BUILDERS[module, name]
        return lambda *args: build(*args)  # A new one, as a pickle can write to what it gets.

    def persistent_load(self, pid: object) -> object:
        raise ContentError("The pickle asks for objects outside of it, which is refused")


class Placeholder:
    r"""What stands for an array or a number in a pickle that is being read."""

    def __init__(self, value: np.ndarray | Tensor | None = None) -> None:
        self.value = value

    def __setstate__(self, state: tuple) -> None:
        *_, shape, dtype, fortran, content = state
        self.value = read_buffer(content, dtype, shape, "F" if fortran else "C").value


class DType:
    r"""What stands for the data type of an array in a pickle."""

    def __init__(self, code: str | bytes, *args: object) -> None:
        self.code = code.decode() if isinstance(code, bytes) else code
        self.byteorder = "|"

    def __setstate__(self, state: tuple) -> None:
        byteorder = state[1]
        self.byteorder = byteorder.decode() if isinstance(byteorder, bytes) else byteorder

    def numpy(self) -> np.dtype:
        # Never from the state, which could call the bytes of an array pointers to objects:
        if not DTYPE.fullmatch(self.code):
            raise ContentError(f"The pickle holds an array of data type '{self.code}', not numbers")
        return np.dtype(self.code).newbyteorder(self.byteorder)  # type: ignore[arg-type]


def read_buffer(content: bytes, dtype: DType, shape: tuple, order: str) -> Placeholder:
    r"""Returns an array of the given content (as does
    :obj:`numpy.core.numeric._frombuffer`).
    """
    array = np.frombuffer(content, dtype.numpy())
    return Placeholder(array.reshape(shape, order=order))  # type: ignore[call-overload]


def read_scalar(dtype: DType, content: bytes) -> Placeholder:
    return read_buffer(content, dtype, (), "C")


def read_storage(content: bytes) -> Placeholder:
    r"""Returns the storage of tensors as a flat tensor."""
    storage = load_tensors(io.BytesIO(content))
    if not isinstance(storage, torch.storage.TypedStorage):
        raise ContentError("The pickle holds a tensor without its content")
    return Placeholder(torch.empty(0, dtype=storage.dtype).set_(storage))


def read_tensor(
    storage: Placeholder, offset: int, size: tuple, stride: tuple, *_: object
) -> object:
    if not isinstance(storage.value, Tensor):
        raise ContentError("The pickle holds a tensor without its content")
    return Placeholder(storage.value.as_strided(size, stride, offset))


def encode(text: str, encoding: str) -> bytes:
    r"""Returns the bytes that pickles of old versions write as texts."""
    if encoding != "latin1":
        raise ContentError(f"The pickle asks for the encoding '{encoding}', which is refused")
    return text.encode(encoding)


BUILDERS: dict[tuple[str, str], Callable[..., object]] = {
    ("numpy", "ndarray"): lambda *_: Placeholder(),
    ("numpy", "dtype"): DType,
    ("numpy.core.multiarray", "_reconstruct"): lambda *_: Placeholder(),
    ("numpy.core.multiarray", "scalar"): read_scalar,
    ("numpy.core.numeric", "_frombuffer"): read_buffer,
    ("torch._utils", "_rebuild_tensor_v2"): read_tensor,
    ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
    ("torch.storage", "_load_from_bytes"): read_storage,
    ("collections", "OrderedDict"): OrderedDict,
    ("builtins", "set"): set,
    ("builtins", "frozenset"): frozenset,
    ("builtins", "bytes"): lambda: b"",
    ("_codecs", "encode"): encode,
}


def to_arrays(value: object) -> object:
    r"""Returns what was read from a pickle with arrays in place of what
    stands for them.
    """
    if isinstance(value, dict):
        return {to_key(key): to_arrays(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [to_arrays(entry) for entry in value]
    if isinstance(value, Placeholder) and value.value is not None:
        return value.value
    if value is None or isinstance(value, bool | int | float | str | bytes | set | frozenset):
        return value
    raise ContentError(f"The pickle holds what is no array (got {type(value).__name__})")


def to_key(key: object) -> object:
    if isinstance(key, Placeholder) and isinstance(key.value, np.ndarray):
        return key.value.item()
    if isinstance(key, bool | int | float | str | bytes):
        return key
    raise ContentError(f"The pickle holds a dictionary with keys of type '{type(key).__name__}'")
