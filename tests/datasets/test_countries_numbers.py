import math
from collections import Counter, defaultdict
from itertools import combinations
from pathlib import Path

import pytest

import torch_imf
from torch_imf.io.tables import read_rows

FOLDER = Path(torch_imf.__file__).parent / "datasets" / "files" / "countries"
FAR = {  # Neighbours across Borneo, New Guinea and the length of the Alps.
    frozenset(["country:bn", "country:my"]),
    frozenset(["country:id", "country:pg"]),
    frozenset(["country:at", "country:li"]),
}


def rows(name, columns):
    return read_rows(str(FOLDER / f"{name}.tsv"), columns, header=True)


NODES = [row[0] for row in rows("entities", columns=3)]
TEXT = {(node, attribute): text for node, attribute, text in rows("numbers", columns=3)}
VALUE = {key: float(text) for key, text in TEXT.items()}
FACTS = defaultdict(set)
for head, rel, tail, _ in rows("triples", columns=4):
    FACTS[rel].add((head, tail))
CAPITALS = defaultdict(list)
for head, tail in sorted(FACTS["capital"]):
    CAPITALS[head].append(tail)


def distance(source, target):
    r"""Kilometres between two cities along a great circle."""
    (y1, x1), (y2, x2) = (
        [math.radians(VALUE[node, name]) for name in ("latitude", "longitude")]
        for node in (source, target)
    )
    cosine = math.sin(y1) * math.sin(y2) + math.cos(y1) * math.cos(y2) * math.cos(x1 - x2)
    return 6371 * math.acos(min(cosine, 1.0))


def test_numbers_are_complete():
    text = (FOLDER / "numbers.tsv").read_text("utf-8")
    assert text.startswith("entity\tattribute\tvalue\n")

    expected = []
    capitals = {tail for _, tail in FACTS["capital"]}
    for node in NODES:
        if node.startswith("country:"):
            expected += [(node, "area"), (node, "population")]
        elif node in capitals:
            expected += [(node, "latitude"), (node, "longitude")]
    # Nothing is missing, unknown, there twice or out of order:
    assert [(node, attribute) for node, attribute, _ in rows("numbers", columns=3)] == expected

    count = Counter(attribute for _, attribute in TEXT)
    assert count == {"area": 197, "population": 197, "latitude": 202, "longitude": 202}
    kinds = {node.split(":")[0] for node in NODES} - {node.split(":")[0] for node, _ in TEXT}
    assert kinds == {"region", "continent", "currency", "language", "family"}


def test_ranges():
    low = {"area": 0.4, "population": 500, "latitude": -90, "longitude": -180}
    high = {"area": 1.8e7, "population": 1.5e9, "latitude": 90, "longitude": 180}
    for (node, attribute), value in VALUE.items():
        assert low[attribute] <= value <= high[attribute], node

    # A wrong power of ten makes a country too empty or too crowded:
    for node in CAPITALS:
        assert 2 < VALUE[node, "population"] / VALUE[node, "area"] < 20000, node

    assert 7.7e9 < sum(value for (_, name), value in VALUE.items() if name == "population") < 8.3e9
    assert 1.3e8 < sum(value for (_, name), value in VALUE.items() if name == "area") < 1.37e8


@pytest.mark.parametrize(
    "node, attribute, value",
    [
        ("country:ru", "area", 17.1e6),
        ("country:au", "area", 7.69e6),
        ("country:fr", "area", 644e3),
        ("country:lu", "area", 2590),
        ("country:va", "area", 0.44),
        ("country:in", "population", 1.43e9),
        ("country:us", "population", 335e6),
        ("country:de", "population", 84e6),
        ("country:is", "population", 387e3),
        ("city:paris", "latitude", 48.9),
        ("city:paris", "longitude", 2.4),
        ("city:canberra", "latitude", -35.3),
        ("city:washington-dc", "longitude", -77.0),
        ("city:quito", "latitude", -0.2),
        ("city:suva", "longitude", 178.4),
        ("city:apia", "longitude", -171.8),
    ],
)
def test_well_known(node, attribute, value):
    assert VALUE[node, attribute] == value


def test_neighbours_are_near():
    far = set()
    for source, target in FACTS["borders"]:
        nearest = min(distance(a, b) for a in CAPITALS[source] for b in CAPITALS[target])
        widths = [math.sqrt(VALUE[node, "area"]) for node in (source, target)]
        if nearest > 1.5 * sum(widths):
            far.add(frozenset([source, target]))
    assert far == FAR

    # Capitals of one country are nearer still:
    for cities in CAPITALS.values():
        assert all(distance(a, b) < 1400 for a, b in combinations(cities, 2))
