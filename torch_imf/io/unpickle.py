import pickle
import re
from collections import OrderedDict
from collections.abc import Callable
from typing import BinaryIO

import numpy as np
import torch

#: The data types of arrays: booleans, integers, floats and texts, as keys of a dictionary may be.
DTYPE = re.compile(r"[<>=|]?[biufUS]\d+")


class ContentError(ValueError):
    r"""A file is whole, but holds what it should not."""


def load_arrays(file: BinaryIO) -> object:
    r"""Reads a pickle that holds arrays of NumPy, without running what it says.

    A pickle is a program: :meth:`pickle.load` calls any function that it names. Here, it can build
    nothing but arrays, numbers, texts, and lists, tuples and dictionaries of them. What stands for
    an array is turned into one after the last instruction, so that none can reach it.
    """
    return _to_arrays(_Unpickler(file).load())


def load_tensors(file: str, mmap: bool = False) -> object:
    r"""Reads a file of :meth:`torch.save` that holds tensors, without running what it says."""
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
        module = module.replace("numpy._core", "numpy.core")  # It moved in NumPy 2.
        if (module, name) not in BUILDERS:
            raise ContentError(
                f"The pickle asks for '{module}.{name}', which is refused: it may hold nothing but "
                f"arrays of NumPy, and lists and dictionaries of them. If you trust it, load it "
                f"once, and save its features by 'torch.save'"
            )
        build = BUILDERS[module, name]
        return lambda *args: build(*args)  # A new one, as a pickle can write to what it gets.

    def persistent_load(self, pid: object) -> object:
        raise ContentError("The pickle asks for objects outside of it, which is refused")


class _Array:
    # What stands for an array in a pickle that is being read.
    def __init__(self, value: np.ndarray | None = None) -> None:
        self.value = value

    def __setstate__(self, state: tuple) -> None:
        *_, shape, dtype, fortran, content = state
        self.value = _read_buffer(content, dtype, shape, "F" if fortran else "C").value


class _DType:
    # What stands for the data type of an array.
    def __init__(self, code: str, *args: object) -> None:
        self.code = code
        self.byteorder = "|"

    def __setstate__(self, state: tuple) -> None:
        self.byteorder = state[1]

    def numpy(self) -> np.dtype:
        # Never from the state, which could call the bytes of an array pointers to objects:
        if not DTYPE.fullmatch(self.code):
            raise ContentError(f"The pickle holds an array of data type '{self.code}', not numbers")
        return np.dtype(self.code).newbyteorder(self.byteorder)  # type: ignore[arg-type]


def _read_buffer(content: bytes, dtype: _DType, shape: tuple, order: str) -> _Array:
    array = np.frombuffer(content, dtype.numpy())
    return _Array(array.reshape(shape, order=order))  # type: ignore[call-overload]


def _encode(text: str, encoding: str) -> bytes:
    if encoding != "latin1":  # As old protocols write bytes.
        raise ContentError(f"The pickle asks for the encoding '{encoding}', which is refused")
    return text.encode(encoding)


BUILDERS: dict[tuple[str, str], Callable[..., object]] = {
    ("numpy", "ndarray"): lambda *_: _Array(),
    ("numpy", "dtype"): _DType,
    ("numpy.core.multiarray", "_reconstruct"): lambda *_: _Array(),
    ("numpy.core.multiarray", "scalar"): lambda dtype, x: np.frombuffer(x, dtype.numpy())[0].item(),
    ("numpy.core.numeric", "_frombuffer"): _read_buffer,
    ("collections", "OrderedDict"): OrderedDict,
    ("_codecs", "encode"): _encode,
}


def _to_arrays(value: object) -> object:
    # What was read, with arrays in place of what stands for them.
    if isinstance(value, dict):
        return {_to_arrays(key): _to_arrays(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [_to_arrays(entry) for entry in value]
    if isinstance(value, _Array) and value.value is not None:
        return value.value
    if value is None or isinstance(value, bool | int | float | str | bytes):
        return value
    raise ContentError(f"The pickle holds what is no array (got {type(value).__name__})")
