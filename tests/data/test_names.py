import unicodedata

import numpy as np
import pandas as pd
import pytest
import torch
from torch_geometric.data import Data

from torch_imf.data import NameIndex
from torch_imf.data.names import Lookup, fold, normalize, order, read_ids

IDS = ["Q1", "Q2", "Q3", "http://dbpedia.org/resource/Rome", "Q5"]
NAMES = ["Paris", "United States", "Paris", "Rome (city)", "Q1"]


def test_name_index():
    index = NameIndex(
        ["<http://dbpedia.org/resource/Paris>", "/m/05qtj", "AC/DC"],
        aliases=[
            ("http://dbpedia.org/resource/Paris", "DBIMG00042"),
            ("/m/0elsewhere", "FBIMG00001"),
            ("AC/DC", "Paris"),  # An identifier takes precedence.
        ],
    )
    assert str(index) == "NameIndex(3, names=8)"
    assert index.example() == "Paris"
    names = ["Paris", "m.05qtj", "AC/DC", "DBIMG00042", "m.0elsewhere", "FBIMG00001", "London"]
    assert index(names).tolist() == [0, 1, 2, 0, -2, -2, -1]
    assert index([]).tolist() == []
    with pytest.raises(ValueError, match="Two entities have the identifier 'Paris'"):
        NameIndex(["Paris", "London", "Paris"])


def test_identifiers_that_end_alike():
    base, other = "https://dbpedia.org/resource", "http://dbpedia.org/ontology"
    ids = [f"{base}/A", f"{other}/A", f"<{base}/B>", "C", "/m/0b"]
    index = NameIndex(ids, [(ids[1], "Class"), ("B", "Bee")])
    assert index(ids).tolist() == list(range(5))
    assert index([f" <{ids[1]}> ", "Class", "Bee", "m.0b"]).tolist() == [1, 1, 2, 4]
    assert index([f"http://dbpedia.org/resource/{x}" for x in "BC"]).tolist() == [2, 3]
    # Two entities, or one of another base:
    assert index(["A", "<A>", f"<{other}/B>", f"{other}/C"]).tolist() == [-1, -1, -1, 3]


@pytest.mark.parametrize(
    "aliases, expected",
    [
        ([("x", "alias"), ("a", "alias")], [0, -2, 0]),  # Of an entity of another graph.
        ([("a", "alias"), ("x", "alias")], [0, -2, 0]),
        ([("b", "alias"), ("a", "alias")], [1, -1, 0]),  # The first one keeps it.
        ([("a", "x"), ("x", "alias")], [-2, 0, 0]),  # A name stays, although it starts a pair.
    ],
)
def test_aliases(aliases, expected):
    assert NameIndex(["a", "b"], aliases)(["alias", "x", "a"]).tolist() == expected


@pytest.mark.parametrize(
    "name, expected",
    [
        ("<http://dbpedia.org/resource/AC/DC>", "AC/DC"),
        ("http://www.wikidata.org/entity/Q90", "Q90"),
        ("https://dbpedia.org/ontology/birthPlace", "birthPlace"),
        ("http://rdf.freebase.com/ns/m.05qtj", "m.05qtj"),
        ("http:/dbpedia.org/resource/Paris", "Paris"),  # As HDF5 keeps it.
        ("m/05qtj", "m.05qtj"),
        ("/g/11b6", "g.11b6"),
        ("M/A/R/R/S", "M/A/R/R/S"),
        ("m/a/r", "m/a/r"),
        ("http://dbpedia.org/resource/", "http://dbpedia.org/resource/"),
        ("http://a.org/page/x/resource/y", "http://a.org/page/x/resource/y"),
        (" Franciaország\n", "Franciaország"),
    ],
)
def test_normalize(name, expected):
    assert normalize(name) == normalize(expected) == expected


def test_lookup(fake):
    lookup = Lookup(IDS, NAMES, "entity")
    assert lookup("Q1") == 0  # An identifier comes before a name.
    assert lookup("United States") == lookup("united_states") == lookup(" UNITED  states") == 1
    assert lookup("rome") == lookup("<http://dbpedia.org/resource/Rome>") == 3
    assert fold("<http://dbpedia.org/resource/New_York>") == "new york"
    for name, match in (
        ("Paris", r"'Paris' is ambiguous: 2 have .* 'Q1' \(Paris\), 'Q3'"),
        ("Untied States", "no entity 'Untied States'. Did you mean 'United States'"),
        ("xyzzy", "no entity 'xyzzy'. Names are like 'Paris'"),
    ):
        with pytest.raises(ValueError, match=match):
            lookup(name)
    with pytest.raises(ValueError, match="no relation 'x'. Names are like nothing"):
        Lookup([], [], "relation")("x")

    data = Data(num_nodes=3, num_relations=2, rel_names=["likes", "knows"])
    assert Lookup.of_entities(data)("2") == 2
    assert Lookup.of_relations(data)("knows") == 1
    entities, relations = Lookup.of_entities(fake), Lookup.of_relations(fake)
    assert [entities(name) for name in fake.node_names] == list(range(fake.num_nodes))
    assert [relations(name) for name in fake.rel_names] == list(range(fake.num_relations))


@pytest.mark.parametrize("name", ["Hà Nội", "서울", "Ⓐ Å", "Ελλάδα", "हिन्दी क़लम"])
@pytest.mark.parametrize("forms", [("NFC", "NFD"), ("NFD", "NFC")])
def test_normal_forms_of_a_name(name, forms):
    own, typed = (unicodedata.normalize(form, name) for form in forms)
    index = NameIndex(["x", own], [("x", f"{own} 2")])
    assert index([own, typed, f"{typed} 2", f"<{typed}>"]).tolist() == [1, 1, 0, 1]
    assert Lookup(["a", own], ["A", "B"], "entity")(typed) == 1
    assert Lookup(["a", "b"], ["A", own], "entity")(typed.upper()) == 1


@pytest.mark.parametrize(
    "kind", [list, tuple, np.array, pd.Series, pd.Index, pd.array, dict.fromkeys, iter]
)
def test_names_in_other_containers(kind):
    lookup = Lookup(IDS, NAMES, "entity")
    assert lookup.rows("head", kind(["Q3", "United States"])).tolist() == [2, 1]
    assert lookup.rows("head", kind([3, 1])).tolist() == [3, 1]
    assert NameIndex(kind(["a", "b"]))(kind(["b", "c"])).tolist() == [1, -1]
    with pytest.raises(ValueError, match="'head' is empty"):
        lookup.rows("head", kind([]))


@pytest.mark.parametrize("value", [np.str_("Q3"), np.int64(2), torch.tensor(2), torch.tensor([2])])
def test_one_of_another_type(value):
    assert Lookup(IDS, NAMES, "entity").rows("head", value).tolist() == [2]


@pytest.mark.parametrize(
    "text, expected",
    [
        ("Paris\nNew York\n", ["Paris", "New York"]),
        ("\ufeffParis\r\n\r\nApollo 11\r\n", ["Paris", "Apollo 11"]),
        ("Apollo 11\nApollo 13\n", ["Apollo 11", "Apollo 13"]),
        ("3\nb 1\na\t0\nNew York  2\n", ["a", "b", "New York"]),
        ("b 1\na 0\n", ["a", "b"]),
        ("1\nParis\n", ["1", "Paris"]),  # No ids, so that no line is a number of lines.
        ("", []),
        ("1\tParis\n0\tApollo 11\n", ["Apollo 11", "Paris"]),
        ("2\n1 New York\n0 b\n", ["b", "New York"]),
        ("Paris\t1\nRome\t2\n", "its ids begin at 1"),
        ("Apollo 1\nApollo 2\n", ["Apollo 1", "Apollo 2"]),
        ("2\na 0\nb 2\n", "are not the numbers from 0 to 1"),
        ("2\na 0\nb 0\n", "are not the numbers from 0 to 1"),
        ("3\na 0\nb 1\n", "announces 3 names, but has 2"),
        ("a 0\na 1\n", "hold a name twice"),
        ("a\na\n", "hold a name twice"),
        (b"\xe9", "in UTF-8"),
        (None, "There is no file of ids"),
    ],
)
def test_read_ids(tmp_path, text, expected):
    path = tmp_path / "entity2id.txt"
    if text is not None:
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
    if isinstance(expected, list):
        assert read_ids(str(path)) == expected
    else:
        with pytest.raises(ValueError, match=expected) as raised:
            read_ids(str(path))
        assert str(path) in str(raised.value)


@pytest.mark.parametrize("first", [0, 1, 95])
def test_names_that_are_numbers(first):
    names = [str(i) for i in range(first, first + 12)]
    assert sorted(sorted(names), key=order) == names
    lookup = Lookup(names, names, "entity")
    assert lookup.rows("head", [names[3], names[10]]).tolist() == [3, 10]
    # A tensor holds rows. Any other number needs to mean one thing:
    assert lookup.rows("head", torch.tensor([2, 11])).tolist() == [2, 11]
    for value in (2, [2, 11], np.array([2]), np.int64(2), [np.int64(2)], pd.Series([2])):
        if first == 0:
            assert lookup.rows("head", value)[0] == 2
            continue
        with pytest.raises(
            ValueError, match="'head' may be the row 2, which is called '[0-9]+', or"
        ):
            lookup.rows("head", value)


def test_order():
    names = ["10", "b", "9", "007", "a10", "7", "Z", "²", "9" * 5000, "-1"]
    expected = ["007", "7", "9", "10", "9" * 5000, "-1", "Z", "a10", "b", "²"]
    assert sorted(names, key=order) == expected


def test_numbers_among_names():
    lookup = Lookup(["Apollo", "2", "1969", "Soyuz"], ["Apollo", "2", "1969", "Soyuz"], "entity")
    assert lookup.rows("tail", 0).tolist() == [0] and lookup.rows("tail", "2").tolist() == [1]
    for row in (1, 2, 1969):  # Row 1 is called '2', row 2 '1969', and no row is the 1969th.
        with pytest.raises(ValueError, match=f"may be the row {row}.*the entity called '{row}'"):
            lookup.rows("tail", row)


@pytest.mark.parametrize("make", [list, tuple, np.array, pd.Series, lambda x: np.array(x, object)])
def test_lists_of_names(make):
    lookup = Lookup(IDS, NAMES, "entity")
    assert lookup.rows("head", make(["Q2", "Rome (city)"])).tolist() == [1, 3]
    assert lookup.rows("head", np.str_("Q2")).tolist() == [1]
    assert lookup.rows("head", True).dtype == torch.bool  # Which no row is.
