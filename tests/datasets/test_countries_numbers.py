from collections import Counter, defaultdict
from pathlib import Path

import pytest

import torch_imf
from torch_imf.io.tables import read_rows

FOLDER = Path(torch_imf.__file__).parent / "datasets" / "files" / "countries"


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
