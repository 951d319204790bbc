import pytest
from torch_geometric.data import Data

from torch_imf.data.lookup import Lookup, fold

IDS = ["Q1", "Q2", "Q3", "http://dbpedia.org/resource/Rome", "Q5"]
NAMES = ["Paris", "United States", "Paris", "Rome (city)", "Q1"]


def test_lookup():
    lookup = Lookup(IDS, NAMES, "entity")
    assert str(lookup) == "Lookup(5, kind='entity')"
    assert lookup("Q1") == 0  # An identifier comes before a name.
    assert lookup("United States") == lookup("united_states") == lookup(" UNITED  states") == 1
    assert lookup("rome") == lookup("<http://dbpedia.org/resource/Rome>") == 3
    assert fold("<http://dbpedia.org/resource/New_York>") == "new york"


def test_errors():
    lookup = Lookup(IDS, NAMES, "entity")
    with pytest.raises(ValueError, match=r"'Paris' is ambiguous: 2 have .* 'Q1' \(Paris\), 'Q3'"):
        lookup("Paris")
    with pytest.raises(ValueError, match="no entity 'Untied States'. Did you mean 'United States'"):
        lookup("Untied States")
    with pytest.raises(ValueError, match="no entity 'xyzzy'. Names are like 'Paris'"):
        lookup("xyzzy")
    with pytest.raises(ValueError, match="no relation 'x'. There are none"):
        Lookup([], [], "relation")("x")


def test_graph_without_names():
    data = Data(num_nodes=3, num_relations=2, rel_names=["likes", "knows"])
    assert Lookup.of_entities(data)("2") == 2
    assert Lookup.of_relations(data)("knows") == 1


def test_graph(fake):
    entities, relations = Lookup.of_entities(fake), Lookup.of_relations(fake)
    assert [entities(name) for name in fake.node_names] == list(range(fake.num_nodes))
    assert [relations(name) for name in fake.rel_names] == list(range(fake.num_relations))
