from torch_imf.datasets.own_files import OwnNames

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


def test_last_parts_of_other_uris():
    names = OwnNames(["http://dbpedia.org/resource/A", "<http://dbpedia.org/resource/B>", "C"])
    base = "https://dbpedia.org/resource"
    assert names(["A", f"{base}/A", f"<{base}/B>", "http:/dbpedia.org/resource/A"]).tolist() == [
        *(0, 0, 1, 0)
    ]
    other = "http://dbpedia.org/ontology"
    assert names([f"{other}/A", f"<{other}/B>", f"{other}/C"]).tolist() == [-1, -1, 2]
