import errno
import math
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import IO

import numpy as np
from torch import Tensor

from .bounds import check_content, check_size, check_sizes
from .pretrained import require
from .table import Table, check_matrix, parts, pool, tabulate, to_float, to_name, to_row
from .unpickle import ContentError, load_arrays, load_tensors


def read_table(path: str, suffix: str, name: str) -> Table:
    r"""Reads a file of features. Its rows are read when they are asked for.

    Args:
        path (str): The path of the file on disk.
        suffix (str): Its format, one of :obj:`READERS`.
        name (str): What messages call it.

    Raises:
        ValueError: If it is damaged, or holds anything but features.
    """
    with reading(name, suffix):
        table = READERS[suffix](path)
        if table.num_rows == 0:
            raise ContentError("It holds none")

    def blocks() -> Iterator[Tensor]:
        with reading(name, suffix):
            yield from map(pool, table.blocks)

    return Table(table.names, table.num_rows, blocks())


@contextmanager
def reading(name: str, suffix: str) -> Iterator[None]:
    r"""Says of a file that it is damaged whatever its reader raises."""
    try:
        yield
    except ContentError as e:
        raise ValueError(f"Cannot read the features '{name}'. {e}") from e
    except (ImportError, MemoryError):
        raise
    except Exception as e:  # A damaged file can make a reader raise anything.
        # It cannot even be opened (a place that no file can have is one that a damaged file names):
        if isinstance(e, OSError) and e.errno not in (None, errno.EINVAL):
            raise
        reason = f"{type(e).__name__}: {e}".split("\n")[0][:200]
        raise ValueError(
            f"The features '{name}' are damaged or no '{suffix}' file ({reason}). Please fetch "
            f"the file anew"
        ) from e


def read_npy(path: str) -> Table:
    with open(path, "rb") as file:
        shape, _, dtype = read_header(file)
        check_content(shape, dtype, os.path.getsize(path) - file.tell())
    check_matrix(shape)
    return Table(None, shape[0], read_array(lambda: open(path, "rb")))


def read_npz(path: str) -> Table:
    with zipfile.ZipFile(path) as archive:
        check_sizes(path, archive)
        arrays = [name.removesuffix(".npy") for name in archive.namelist()]
        named = {"entity", "feature"} <= set(arrays)
        if not named and len(arrays) != 1:
            raise ContentError(
                f"It needs to hold one array, or two that are called 'entity' and 'feature' (got "
                f"{arrays[:10]})"
            )
        key = "feature.npy" if named else archive.namelist()[0]
        with archive.open(key) as file:
            shape, _, dtype = read_header(file)
            check_content(shape, dtype, archive.getinfo(key).file_size - file.tell())
        names = read_names(archive) if named else None
    check_matrix(shape, dims=(2, 3) if named else (2,))
    if names is not None and len(names) != shape[0]:
        raise ContentError(f"It has {len(names):,} names for {shape[0]:,} rows of features")

    def blocks() -> Iterator[Tensor]:
        with zipfile.ZipFile(path) as archive:
            yield from read_array(lambda: archive.open(key))

    return Table(names, shape[0], blocks())


def read_names(archive: zipfile.ZipFile) -> list[str]:
    r"""Reads the names of a :obj:`.npz` file."""
    with archive.open("entity.npy") as file:
        shape, _, dtype = read_header(file)
        if len(shape) != 1 or dtype.kind not in "US":
            raise ContentError(
                f"'entity' needs to be a list of names (got {dtype} of shape {list(shape)})"
            )
        return [to_name(name) for name in np.frombuffer(file.read(), dtype).tolist()]


def read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    r"""Reads the shape of an array, whether columns come first, and its type,
    up to where its content starts.
    """
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    else:
        shape, fortran, dtype = np.lib.format.read_array_header_2_0(file)
    if dtype.hasobject:
        raise ContentError("It is an array of Python objects, which is refused")
    return shape, fortran, dtype


def read_array(open_file: Callable[[], IO[bytes]]) -> Iterator[Tensor]:
    r"""Reads an array a few rows at a time, and its file to the last byte,
    without which the checksum of a :obj:`.npz` file is not looked at.
    """
    with open_file() as file:
        shape, fortran, dtype = read_header(file)
        for part in [slice(0, shape[0])] if fortran else parts(shape):
            size = (part.stop - part.start, *shape[1:])
            content = file.read(math.prod(size) * dtype.itemsize)
            array = np.frombuffer(content, dtype).reshape(size, order="F" if fortran else "C")
            yield to_float(array, "It")
        if file.read(1):
            raise EOFError("there are more bytes than values")


def read_h5(path: str) -> Table:
    require("h5py", "FeatureFile", "NumPy files")
    import h5py

    keys: list[str | bytes] = []

    def visit(key: str | bytes, x: object) -> None:
        if isinstance(x, h5py.Dataset):
            if x.external or x.is_virtual:
                raise ContentError(f"'{to_name(key)}' is in another file, which is refused")
            check_size(path, x.nbytes)
            keys.append(key)

    with h5py.File(path, "r") as file:
        file.visititems(visit)  # Slashes in a name make groups, which are visited as well.
    names = [to_name(key) for key in keys]

    def blocks() -> Iterator[Tensor]:
        with h5py.File(path, "r") as file:
            for key, name in zip(keys, names, strict=True):
                yield to_row(file[key][()], name)

    return Table(names, len(names), blocks())


def read_safetensors(path: str) -> Table:
    require("safetensors", "FeatureFile", "NumPy files")
    from safetensors import safe_open

    with safe_open(path, framework="pt") as file:
        names = list(file.keys())
        shape = tuple(file.get_slice(names[0]).get_shape()) if len(names) == 1 else ()

    def rows() -> Iterator[Tensor]:
        for part in parts(shape):
            # A file that is closed lets go of the memory that it was mapped to:
            with safe_open(path, framework="pt") as file:
                yield to_float(file.get_slice(names[0])[part], f"'{names[0]}'")

    def named() -> Iterator[Tensor]:
        for part in parts((len(names), 512)):
            with safe_open(path, framework="pt") as file:
                yield from (to_row(file.get_tensor(name), name) for name in names[part])

    if len(shape) == 2 and shape[0] > 1:
        return Table(None, shape[0], rows())
    return Table(names, len(names), named())


def read_torch(path: str) -> Table:
    mmap = zipfile.is_zipfile(path)  # Not so before PyTorch 1.6.
    if mmap:
        with zipfile.ZipFile(path) as archive:
            check_sizes(path, archive)
    return tabulate(lambda: load_tensors(path, mmap))


def read_pickle(path: str) -> Table:
    if zipfile.is_zipfile(path):  # What `torch.save` wrote, whatever its name.
        return read_torch(path)
    with open(path, "rb") as file:
        content = load_arrays(file)
    return tabulate(lambda: content)


READERS: dict[str, Callable[[str], Table]] = {
    ".npy": read_npy,
    ".npz": read_npz,
    ".h5": read_h5,
    ".hdf5": read_h5,
    ".safetensors": read_safetensors,
    ".pth": read_torch,
    ".pt": read_torch,
    ".pkl": read_pickle,
    ".pickle": read_pickle,
}
