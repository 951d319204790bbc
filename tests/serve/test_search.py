import time

import pytest

from torch_imf.data.names import Lookup
from torch_imf.serve import Search


@pytest.mark.parametrize(
    "typed, found",
    [
        ("par", [5, 6, 7]),
        ("PARIS", [5, 6]),
        ("cote d'azur", [4]),
        ("azur", [4]),
        ("node:7", [7]),
        ("parsi", [5, 6]),
        ("Tonw 3", [11]),
    ],
)
def test_search(explorer, typed, found):
    assert explorer.search(typed)[: len(found)] == found


def test_search_finds_nobody(explorer):
    assert explorer.search("  ") == explorer.search("qqqq") == []
    assert len(explorer.search("town", k=3)) == 3


def test_search_of_many():
    # Of 100,000 names, in less than a second:
    names = [f"{first} {second}{i}" for i in range(25_000) for first in "ab" for second in "cd"]
    search = Search(Lookup(names, names, "entity"))
    for typed in ("a", "b c24999", "a  cc12345"):
        start = time.process_time()
        assert search(typed)
        assert time.process_time() - start < 1
