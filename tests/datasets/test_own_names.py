from torch_imf.datasets.own_names import OwnNames

IDS = ["http://dbpedia.org/resource/A", "http://dbpedia.org/ontology/A", "/m/0b", "paris", "2"]


def test_own_names():
    aliases = [("paris", "Paris"), ("/m/0b", "Bee"), ("2", "Bee"), ("2", "paris"), ("2", "2")]
    names = OwnNames(IDS, aliases)
    assert names(IDS).tolist() == list(range(5))
    assert names([f" <{IDS[1]}> ", "m.0b", "Paris", "paris", "2"]).tolist() == [1, 2, 3, 3, 4]
    # Two entities have these names, and nobody has the last:
    assert names(["A", "Bee", "x"]).tolist() == [-1, -1, -1]
    assert len(names) == 5 and names.example() == "A"
    assert str(names) == "OwnNames(5, names=9)"
