from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

TAB, _, NEWLINE = ENDS = np.frombuffer(b"\t\t\n", dtype=np.uint8)  # What follows each field.
WORD = 8  # Bytes that are compared at once.
MASKS = np.array([2 ** (8 * size) - 1 for size in range(WORD + 1)], dtype="<u8")
FACTOR = np.uint64(0x9E3779B97F4A7C15)  # Odd, with bits in no order.

Words = NDArray[np.uint64]
Index = NDArray[np.int64]


class FieldTable:
    r"""The fields of a text, which tabs separate, as positions in its bytes:
    a string is made of each distinct one only.

    Args:
        text (str): Lines of three fields each.

    Raises:
        ValueError: If a line has another number of fields.
    """

    def __init__(self, text: str) -> None:
        # Padded, so that a whole word can be read wherever a field begins:
        self.content = f"{text}\n".encode() + bytes(WORD)
        byte = np.frombuffer(self.content, dtype=np.uint8)
        stop = np.flatnonzero((byte == TAB) | (byte == NEWLINE))
        if stop.size % 3 != 0 or (byte[stop].reshape(-1, 3) != ENDS).any():
            raise ValueError("Expected 3 fields separated by tabs in every line")
        start = np.concatenate([[0], stop[:-1] + 1])
        self.start, self.size = start.reshape(-1, 3), (stop - start).reshape(-1, 3)
        # The word from each byte on, aligned or not:
        self.word = np.ndarray(len(self.content) - WORD + 1, "<u8", self.content, strides=(1,))

    def distinct(self, columns: list[int]) -> tuple[list[str], Tensor]:
        r"""Returns the distinct fields of some columns in the order in which
        they first appear, row by row, and which of them each field is, of
        shape :obj:`[rows, len(columns)]`.

        Fields are sorted by a hash, and each one is then compared with the
        first of the same hash.

        Raises:
            ValueError: If two fields have the same hash.
        """
        start, size = self.start[:, columns].ravel(), self.size[:, columns].ravel()
        key = torch.from_numpy(self._hash(start, size).view(np.int64))
        key, index = key.unique(return_inverse=True)
        row = torch.arange(index.numel())
        first = torch.full_like(key, index.numel()).scatter_reduce_(0, index, row, "amin")
        first, perm = first.sort()
        rank = torch.empty_like(perm)
        rank[perm] = row[: perm.numel()]
        index, source = rank[index], first.numpy()
        if not self._equal(start, size, source, index.numpy()):
            raise ValueError("Two fields have the same hash")
        spans = zip(start[source].tolist(), (start + size)[source].tolist(), strict=True)
        return [self.content[i:j].decode() for i, j in spans], index.view(-1, len(columns))

    def _hash(self, start: Index, size: Index) -> Words:
        out = size.astype(np.uint64)
        for row, offset in _words(size):
            mixed = (out[row] ^ self._word(start[row], size[row], offset)) * FACTOR
            out[row] = mixed ^ (mixed >> np.uint64(32))
        return out

    def _equal(self, start: Index, size: Index, first: Index, index: Index) -> bool:
        if (size != size[first][index]).any():
            return False
        for row, offset in _words(size):
            expected = self._word(start[first], size[first], offset)[index[row]]
            if (self._word(start[row], size[row], offset) != expected).any():
                return False
        return True

    def _word(self, start: Index, size: Index, offset: int) -> Words:
        start = np.minimum(start + offset, self.word.size - 1)
        return self.word[start] & MASKS[np.clip(size - offset, 0, WORD)]


def _words(size: Index) -> Iterator[tuple[Index | slice, int]]:
    # Which fields have a word at each offset, most often all at the first.
    for offset in range(0, int(size.max(initial=0)), WORD):
        yield (np.flatnonzero(size > offset) if offset >= size.min() else slice(None)), offset
