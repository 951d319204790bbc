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
    :obj:`numpy` and :obj:`torch`, numbers, texts, and lists, tuples and
    dictionaries of them. What stands for an array is turned into one only
    after the last instruction, so that no instruction can reach it. Texts in
    pickles of Python 2 are :obj:`bytes`.

    Raises:
        ContentError: If the pickle asks for anything else.
    """
    return _to_arrays(_Unpickler(file, encoding="bytes").load())


def load_tensors(file: str | BinaryIO, mmap: bool = False) -> object:
    r"""Reads a file of :meth:`torch.save` that holds tensors, without running
    what it says.

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


class _Unpickler(pickle.Unpickler):
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


class _Array:
    # What stands for an array or a number in a pickle that is being read.
    def __init__(self, value: np.ndarray | Tensor | None = None) -> None:
        self.value = value

    def __setstate__(self, state: tuple) -> None:
        *_, shape, dtype, fortran, content = state
        self.value = _read_buffer(content, dtype, shape, "F" if fortran else "C").value


class _DType:
    # What stands for the data type of an array.
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


def _read_buffer(content: bytes, dtype: _DType, shape: tuple, order: str) -> _Array:
    array = np.frombuffer(content, dtype.numpy())
    return _Array(array.reshape(shape, order=order))  # type: ignore[call-overload]


def _read_storage(content: bytes) -> _Array:
    storage = load_tensors(io.BytesIO(content))
    if not isinstance(storage, torch.storage.TypedStorage):
        raise ContentError("The pickle holds a tensor without its content")
    return _Array(torch.empty(0, dtype=storage.dtype).set_(storage))


def _read_tensor(storage: _Array, offset: int, size: tuple, stride: tuple, *_: object) -> _Array:
    if not isinstance(storage.value, Tensor):
        raise ContentError("The pickle holds a tensor without its content")
    return _Array(storage.value.as_strided(size, stride, offset))


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":  # As old versions write bytes.
        raise ContentError(f"The pickle asks for the encoding '{encoding}', which is refused")
    return text.encode(encoding)


BUILDERS: dict[tuple[str, str], Callable[..., object]] = {
    ("numpy", "ndarray"): lambda *_: _Array(),
    ("numpy", "dtype"): _DType,
    ("numpy.core.multiarray", "_reconstruct"): lambda *_: _Array(),
    ("numpy.core.multiarray", "scalar"): lambda dtype, x: _read_buffer(x, dtype, (), "C"),
    ("numpy.core.numeric", "_frombuffer"): _read_buffer,
    ("torch._utils", "_rebuild_tensor_v2"): _read_tensor,
    ("torch._utils", "_rebuild_parameter"): lambda tensor, *_: tensor,
    ("torch.storage", "_load_from_bytes"): _read_storage,
    ("collections", "OrderedDict"): OrderedDict,
    ("builtins", "bytes"): lambda: b"",
    ("_codecs", "encode"): _encode,
}


def _to_arrays(value: object) -> object:
    # What was read, with arrays in place of what stands for them.
    if isinstance(value, dict):
        return {_to_key(key): _to_arrays(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_to_arrays(entry) for entry in value]
    if isinstance(value, _Array) and value.value is not None:
        return value.value
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    raise ContentError(f"The pickle holds what is no array (got {type(value).__name__})")


def _to_key(key: object) -> object:
    if isinstance(key, _Array) and isinstance(key.value, np.ndarray):
        return key.value.item()
    if isinstance(key, bool | int | float | str | bytes):
        return key
    raise ContentError(f"The pickle holds a dictionary with keys of type '{type(key).__name__}'")
