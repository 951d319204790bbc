import math
import os
import zipfile

import numpy as np
from torch import Tensor

from torch_imf.io.archive import FLOOR, RATIO


def too_large(packed, unpacked):
    return unpacked > max(FLOOR, RATIO * packed)


from .unpickle import ContentError


def check_content(shape: tuple[int, ...], dtype: np.dtype, size: int) -> None:
    r"""Raises an error if a file has fewer bytes than its array needs,
    before memory is asked for.
    """
    if math.prod(shape) * dtype.itemsize > size:
        raise EOFError(f"an array of shape {list(shape)} has more than {size:,} bytes")


def check_sizes(path: str, archive: zipfile.ZipFile) -> None:
    r"""Raises an error if the members of an archive are made to fill the
    memory.
    """
    check_size(path, sum(member.file_size for member in archive.infolist()))


def check_size(path: str, size: int) -> None:
    r"""Raises an error if a file of features is too small for what it is to
    hold.
    """
    if too_large(os.path.getsize(path), size):
        raise ContentError(
            f"It is more than {RATIO} times as large when unpacked, which is refused. If you trust "
            f"it, save its features without compression"
        )


def check_storage(x: Tensor, name: str) -> None:
    r"""Raises an error if a tensor repeats the few values that are stored of
    it so as to fill the memory.
    """
    if too_large(x.untyped_storage().nbytes(), x.numel() * x.element_size()):
        raise ContentError(
            f"{name} is more than {RATIO} times as large as what is stored of it, which is "
            f"refused. If you trust it, save it as 'x.contiguous()'"
        )
