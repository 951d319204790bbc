import pytest

from torch_imf.data import NameIndex
from torch_imf.data.names import normalize, read_ids


def test_name_index():
    index = NameIndex(
        ["<http://dbpedia.org/resource/Paris>", "/m/05qtj", "AC/DC"],
        aliases=[
            ("http://dbpedia.org/resource/Paris", "DBIMG00042"),
            ("/m/0elsewhere", "FBIMG00001"),
            ("AC/DC", "Paris"),  # An identifier takes precedence.
        ],
    )
    assert str(index) == "NameIndex(3, names=6)"
    assert len(index) == 3
    assert index.example() == "Paris"
    names = ["Paris", "m.05qtj", "AC/DC", "DBIMG00042", "m.0elsewhere", "FBIMG00001", "London"]
    assert index(names).tolist() == [0, 1, 2, 0, -2, -2, -1]
    assert index([]).tolist() == []


def test_alias_of_an_entity_of_another_graph():
    for aliases in ([("x", "alias"), ("a", "alias")], [("a", "alias"), ("x", "alias")]):
        index = NameIndex(["a", "b"], aliases)
        assert index(["alias", "x", "a"]).tolist() == [0, -2, 0]
    # Of two entities of this graph, the first keeps it:
    assert NameIndex(["a", "b"], [("b", "alias"), ("a", "alias")])(["alias"]).tolist() == [1]
    # A name that an entity has stays its own, although it starts another pair:
    assert NameIndex(["a"], [("a", "x"), ("x", "y")])(["x", "y"]).tolist() == [0, -2]


def test_names_that_are_not_unique():
    with pytest.raises(ValueError, match="1 entities have an identifier .* Paris"):
        NameIndex(["Paris", "<http://dbpedia.org/resource/Paris>"])


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("<http://dbpedia.org/resource/AC/DC>", "AC/DC"),
        ("http://www.wikidata.org/entity/Q90", "Q90"),
        ("https://dbpedia.org/ontology/birthPlace", "birthPlace"),
        ("http://rdf.freebase.com/ns/m.05qtj", "m.05qtj"),
        ("http:/dbpedia.org/resource/Paris", "Paris"),  # As HDF5 keeps it.
        ("<http://yago-knowledge.org/resource/Paris>", "Paris"),
        ("/m/05qtj", "m.05qtj"),
        ("m/05qtj", "m.05qtj"),
        ("/g/11b6", "g.11b6"),
        ("m.05qtj", "m.05qtj"),
        ("M/A/R/R/S", "M/A/R/R/S"),
        ("m/a/r", "m/a/r"),
        ("http://dbpedia.org/resource/", "http://dbpedia.org/resource/"),
        ("http://a.org/page/x/resource/y", "http://a.org/page/x/resource/y"),
        (" Franciaország\n", "Franciaország"),
    ],
)
def test_normalize(name, expected):
    assert normalize(name) == expected
    assert normalize(expected) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Paris\nNew York\n", ["Paris", "New York"]),
        ("\ufeffParis\r\n\r\nApollo 11\r\n", ["Paris", "Apollo 11"]),
        ("3\nb 1\na\t0\nNew York  2\n", ["a", "b", "New York"]),
        ("b 1\na 0\n", ["a", "b"]),
        ("1\nParis\n", ["1", "Paris"]),  # No ids, so that no line is a number of lines.
        ("", []),
    ],
)
def test_read_ids(tmp_path, text, expected):
    path = tmp_path / "entity2id.txt"
    path.write_bytes(text.encode())
    assert read_ids(str(path)) == expected


def test_read_ids_that_are_wrong(tmp_path):
    path = tmp_path / "entity2id.txt"
    with pytest.raises(ValueError, match=f"There is no file of ids '{path}'"):
        read_ids(str(path))
    for text, message in [
        ("2\na 0\nb 2\n", "are not the numbers from 0 to 1"),
        ("2\na 0\nb 0\n", "are not the numbers from 0 to 1"),
        ("3\na 0\nb 1\n", "holds 2 names rather than the 3 it announces"),
        ("a 0\na 1\n", "hold a name twice"),
        ("a\na\n", "hold a name twice"),
    ]:
        path.write_text(text)
        with pytest.raises(ValueError, match=message):
            read_ids(str(path))
    path.write_text("Apollo 11\nApollo 13\n")
    assert read_ids(str(path)) == ["Apollo 11", "Apollo 13"]
    path.write_bytes("é".encode("latin1"))
    with pytest.raises(ValueError, match=f"'{path}' are no text in UTF-8"):
        read_ids(str(path))
