"""Time, and memory that costs none."""

import ctypes
import time

import torch
from torch import Tensor


def now() -> Tensor:
    """The clock on the wall, and that of the CPU, which other processes disturb less."""
    return torch.tensor([time.perf_counter(), time.process_time()], dtype=torch.float64)


def keep_memory() -> None:
    """Lets glibc keep the memory of large tensors that are gone, where it gives each back to the
    system by default: the next one of its size costs no page faults.
    """
    libc = ctypes.CDLL(None)
    for option, value in ((-4, 0), (-1, 2**31 - 1)):  # M_MMAP_MAX, M_TRIM_THRESHOLD.
        if libc.mallopt(option, value) != 1:
            raise RuntimeError("'mallopt' has failed")
