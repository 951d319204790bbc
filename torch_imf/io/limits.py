FLOOR = 1 << 26
"""How many bytes any file may have when it is unpacked."""

RATIO = 300
"""How many times as large as it is a file may be when it is unpacked. Features
and images are far below that, and what is made to fill a disk far above."""


def too_large(packed: int, unpacked: int) -> bool:
    r"""Returns whether a compressed file is one that is made to fill the
    memory or the disk (a bomb).

    Args:
        packed (int): Its size in bytes.
        unpacked (int): Its size when it is unpacked.
    """
    return unpacked > max(FLOOR, RATIO * packed)
