import numpy as np
import pytest
import torch

from torch_imf.datasets.fields import FieldTable
from torch_imf.datasets.triples import number_triples

# Of different sizes, with common beginnings and ends, and bytes that pad words:
NAMES = ["", "a", "\0", "a\0", "12345678", "123456789", "023456789", "12345678" * 2, "é" * 30, "\r"]


@pytest.mark.parametrize("columns", [[0], [1], [0, 2], [0, 1, 2]])
def test_distinct(columns):
    rows = [[NAMES[i] for i in row] for row in torch.randint(len(NAMES), (200, 3)).tolist()]
    names, index = FieldTable("\n".join(map("\t".join, rows))).distinct(columns)
    fields = [[row[column] for column in columns] for row in rows]
    assert names == list(dict.fromkeys(field for row in fields for field in row))
    assert [[names[i] for i in row] for row in index.tolist()] == fields


@pytest.mark.parametrize("text", ["", "a", "a\tb", "a\tb\tc\td", "a\tb\nc\td\te\tf", "a\tb\tc\n"])
def test_lines_need_three_fields(text):
    with pytest.raises(ValueError, match="Expected 3 fields"):
        FieldTable(text)


@pytest.mark.parametrize("other", ["b", "ba", "aaaaaaaab"])
def test_a_common_hash_is_found_out(other, monkeypatch):
    text = f"a\tr\taaaaaaaaa\na\tr\t{other}"
    expected = number_triples(text, {}, {}, "f")
    monkeypatch.setattr(FieldTable, "_hash", lambda self, start, size: np.zeros_like(start, "u8"))
    with pytest.raises(ValueError, match="same hash"):
        FieldTable(text).distinct([0, 2])
    assert torch.equal(number_triples(text, {}, {}, "f"), expected)  # Line by line.
