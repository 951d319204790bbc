import pytest

from torch_imf.datasets.freebase import FreebaseTexts, join, local_name, read_table, tidy
from torch_imf.datasets.raw import RawFolder


@pytest.fixture
def raw(tmp_path):
    def write(wikidata, sentences=""):
        for folder, file, text in [
            ("villmow", "entity2wikidata.json", wikidata),
            ("StAR", "fb-entity2text-new.txt", sentences),
        ]:
            (tmp_path / folder).mkdir()
            (tmp_path / folder / file).write_text(text)
        return RawFolder(str(tmp_path), {})

    return write


def test_freebase_texts(raw):
    wikidata = (
        '{"/m/a": {"label": "A", "description": "first  letter", "wikidata_id": "Q1", '
        '"wikipedia": "https://en.wikipedia.org/wiki/A/B"},'
        '"/m/b": {"label": "B", "description": null, "wikidata_id": "Q1", "wikipedia": null},'
        '"/m/c": {"label": "C"}}'
    )
    texts = FreebaseTexts(
        raw(wikidata, '/m/a\tA -- A is "1\\".\\nTwo -- three.\n/m/b\tB\n/m/d\tD -- No.\n')
    )
    assert texts("/m/a") == ("first letter", 'A is "1". Two -- three.')
    assert texts("/m/b") == texts("/m/c") == texts("/m/e") == texts(None) == ("", "")
    assert texts("/m/d") == ("", "No.")
    assert texts.by("wikidata_id") == {"Q1": "/m/a"}  # The first of several.
    assert texts.by("wikipedia") == {"A/B": "/m/a"}


def test_freebase_texts_damaged(raw):
    texts = FreebaseTexts(raw('{"/m/a": '))
    with pytest.raises(ValueError, match=r"entity2wikidata.json' is damaged, .* anew \(Expecting"):
        texts("/m/a")


def test_read_table(tmp_path):
    path = tmp_path / "entity2text.tsv"
    path.write_text("entity\tname\tshort\tlong\na\tA\t\tthe  first\\nletter\nb\tB b\tx\t\n")
    assert read_table(str(path)) == {"a": ["A", "", "the first letter"], "b": ["B b", "x", ""]}
    path.write_text("entity\tname\tshort\tlong\na\tA\tx\n")
    with pytest.raises(ValueError, match="line 2: expected 4 fields"):
        read_table(str(path))


def test_tidy():
    assert tidy(' He said \\"no\\",\\nand\u00a0 left.\t') == 'He said "no", and left.'
    assert tidy("") == ""
    assert join("A", "", "b c", "d.") == "A. b c. d."
    assert join("A", "", "") == "A"


@pytest.mark.parametrize(
    "uri, name",
    [
        ("<http://dbpedia.org/resource/Franciaország>", "Franciaország"),
        ("<http://dbpedia.org/resource/AC/DC>", "AC/DC"),
        ("http://dbpedia.org/resource/A.F.C._Telford_United", "A.F.C. Telford United"),
        ("http://dbpedia.org/resource/B%C3%A9#1", "Bé#1"),
        ("<http://dbpedia.org/ontology/birthPlace>", "birthPlace"),
        ("<http://www.w3.org/1999/02/22-rdf-syntax-ns#type>", "type"),
        ("http://www.wikidata.org/entity/Q42", "Q42"),
        ("<http://yago-knowledge.org/resource/isMarriedTo>", "isMarriedTo"),
        ("Gilles_Mbang_Ondo", "Gilles Mbang Ondo"),
    ],
)
def test_local_name(uri, name):
    assert local_name(uri) == name
