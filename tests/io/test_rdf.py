import gzip

import pytest

from torch_imf.io.rdf import Content, read_rdf

X = "http://x.org/"
IRIS = [f"{X}{x}" for x in "abcd"]
TURTLE = f'@prefix x: <{X}> .\nx:A x:r x:B ; x:label "An \\"A\\" . <b>"@en-GB ; x:r x:C . # So\n'
CONTENT = {
    "a.nt": f'<{X}A> <{X}r> <{X}B> .\n# So\n\n<{X}A> <{X}l> "1"^^<{X}i> .\n<{X}A><{X}r><{X}C>.\n',
    "a.nq": f'<{X}A> <{X}r> <{X}B> <{X}g> .\n<{X}A> <{X}l> "1" .\n<{X}A> <{X}r> <{X}C> .\n',
    "a.ttl": TURTLE,
    "a.trig": TURTLE,
    "a.rdf": f"""<r:RDF xmlns:r="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns:x="{X}">
        <r:Description r:about="{X}A"><x:r r:resource="{X}B"/><x:l>1</x:l><x:r r:resource="{X}C"/>
        </r:Description></r:RDF>""",
    "a.jsonld": f'''{{"@id": "{X}A", "{X}r": {{"@id": "{X}B"}}, "{X}l": 1,
        "{X}s": {{"@id": "{X}C"}}}}''',
}


def write(folder, name, content):
    path = folder / name
    content = content.encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return str(path)


@pytest.mark.parametrize("name", CONTENT)
@pytest.mark.parametrize("zipped", ["", ".gz"])
def test_read_rdf(tmp_path, name, zipped):
    found = list(read_rdf(write(tmp_path, name + zipped, CONTENT[name])))
    other = (f"{X}A", f"{X}{'s' if name == 'a.jsonld' else 'r'}", f"{X}C")
    facts = [fact for fact in found if isinstance(fact[2], str)]
    assert sorted(facts) == sorted([(f"{X}A", f"{X}r", f"{X}B"), other])
    ((_, _, literal),) = (fact for fact in found if fact not in facts)
    assert literal.value == ('An "A" . <b>' if name[2] == "t" else "1")
    assert literal.language == ("en-gb" if name[2] == "t" else "")


def test_escapes_and_line_ends(tmp_path):
    lines = [r"<http://x.org/\u00e9\U0001F600> <r> <B> .", "", "<A> <r> <\u00e9> ."]
    found = list(read_rdf(write(tmp_path, "a.nt", "\r\n".join(lines))))
    assert found == [("http://x.org/\u00e9\U0001f600", "r", "B"), ("A", "r", "\u00e9")]


BROKEN = ["<a> <b> <c>", "<a> <b> .", "a\tb\tc", '"a" <b> <c> .', '<a> <b> "c .', "<a <b> <c> ."]
BROKEN += [
    "<a> <b> <c",
    '<a> <b> "\\ud800" .',
    "<a> <b> <c> . <a> <b> <d> .",
    "<a> <b> <c> <d> <e> .",
]


@pytest.mark.parametrize("line", BROKEN)
@pytest.mark.parametrize("name", ["a.nt", "a.nq.gz"])
def test_a_broken_line_is_passed_over(tmp_path, name, line):
    # Alone: an IRI that is not closed does not swallow the next line.
    facts = [("a", "b", f"c{i}") for i in range(4)]
    lines = [f"<{head}> <{rel}> <{tail}> ." for head, rel, tail in facts]
    path = write(tmp_path, name, "\n".join([lines[0], line, *lines[1:]]))
    with pytest.warns(UserWarning, match=rf"{name}': broken lines are .*, 1 \(line 2: "):
        assert list(read_rdf(path)) == facts
    with pytest.raises(ValueError, match=rf"{name}', line 2: ."):
        list(read_rdf(write(tmp_path, name, "\n".join([lines[0], line, line]))))


def test_marks_at_the_beginning(tmp_path):
    for name in ("a.nt", "a.nq"):
        path = write(tmp_path, name, "\ufeff<a> <b> <c> .\n")
        assert list(read_rdf(path)) == [("a", "b", "c")]
        (tmp_path / name).write_text("<a> <b> <c> .\n", "utf-16")
        with pytest.raises(ValueError, match="is UTF-16, save it as UTF-8"):
            list(read_rdf(path))
    path = write(tmp_path, "a.ttl", "\ufeff@prefix : <a:> .\n:a :b :c .\n")
    assert list(read_rdf(path)) == [("a:a", "a:b", "a:c")]


def test_long_literals(tmp_path, monkeypatch):
    monkeypatch.setattr("torch_imf.io.rdf.LONGEST", 100)
    path = write(tmp_path, "a.nt", f'<a> <r> <b> .\n<a> <r> "{"x" * 100}" .\n')
    with pytest.raises(ValueError, match=r"a\.nt', line 2: this line has more than 100 bytes"):
        list(read_rdf(path))


@pytest.mark.parametrize(
    "name,content",
    [("a.ttl", "<a> <b> <c"), ("a.jsonld", "{"), ("a.rdf", "<"), ("a.nt", "\ufeff<a> <b> ")],
)
def test_read_rdf_refuses(tmp_path, name, content):
    with pytest.raises(ValueError, match=rf"{name}'.*: ."):
        list(read_rdf(write(tmp_path, name, content)))


RDFS, SKOS = "http://www.w3.org/2000/01/rdf-schema#", "http://www.w3.org/2004/02/skos/core#"
XSD = "http://www.w3.org/2001/XMLSchema#"
LITERALS = f"""@prefix rdfs: <{RDFS}> . @prefix skos: <{SKOS}> . @prefix xsd: <{XSD}> .
@prefix s: <https://schema.org/> . @prefix : <{X}> .
:a skos:prefLabel "Wien"@de , "Vienna"@en-GB , "Vienne"@fr ; s:description "Eine Stadt"@de .
:b rdfs:label "Graz"@fr , "Gratz"@de ; rdfs:comment "Stadt"@de , "Ville"@fr .
:c s:name "Linz" ; :people 7 , 2.5e1 ; :founded "0799-01-01"^^xsd:date ; :open true ; :code "12" .
:c :depth "1.8"^^<http://u.org/metre> , "180"^^<http://u.org/inch> .
:d rdfs:label "Enns"@de , "" .
"""


def test_content(tmp_path):
    content = Content()
    kinds = [content.add(*x) for x in read_rdf(write(tmp_path, "a.ttl", LITERALS))]
    # In English, or in the language that most are in:
    assert content.names == dict(zip(IRIS, ["Vienna", "Gratz", "Linz", "Enns"], strict=True))
    assert content.texts == {IRIS[0]: "Eine Stadt", IRIS[1]: "Stadt"}
    expected = [(IRIS[2], f"{X}founded", 799.0), *((IRIS[2], f"{X}people", x) for x in (7.0, 25.0))]
    expected += [(IRIS[2], f"{X}depth (inch)", 180.0), (IRIS[2], f"{X}depth (metre)", 1.8)]
    assert sorted(content.numbers) == sorted(expected)
    assert [kinds.count(x) for x in ("names", "texts", "numbers", "")] == [7, 3, 5, 3]


def test_blank_nodes_have_a_scope(tmp_path):
    path = write(tmp_path, "a.nt", "_:b1 <r> <_:b1> .\n")
    assert list(read_rdf(path, "@a.nt")) == [("_:b1@a.nt", "r", "_:b1")]
    # Those without a label go by the order in which they come, whenever they are read:
    path = write(tmp_path, "a.ttl", "[] <r> <A> . _:x <r> [ <s> <B> ] .")
    found = list(read_rdf(path, "@a"))
    assert found == list(read_rdf(path, "@a")) and found[0] == ("_:b0@a", "r", "A")
    blank = {x for fact in found for x in fact if x.startswith("_")}
    assert blank == {"_:b0@a", "_:b1@a", "_:b2@a"}


def test_types_and_images(tmp_path):
    (tmp_path / "pictures").mkdir()
    for name in ("a b.png", "c.png"):
        (tmp_path / "pictures" / name).write_bytes(b"")
    text = f"""@prefix s: <https://schema.org/> . @prefix f: <http://xmlns.com/foaf/0.1/> .
        @prefix owl: <http://www.w3.org/2002/07/owl#> . @prefix : <{X}> .
        :a a :Person , owl:NamedIndividual ; s:image <pictures/a%20b.png> ; :knows :b .
        :b a :Person , :Painter ; f:depiction <{(tmp_path / "pictures" / "c.png").as_uri()}> .
        :c f:img <http://elsewhere.org/c.png> , "pictures/none.png" ."""
    content = Content()
    kinds = [content.add(*x) for x in read_rdf(write(tmp_path, "a.ttl", text))]
    assert sorted(kinds) == ["facts", *["images"] * 4, *["types"] * 4]
    assert content.types == {IRIS[0]: [f"{X}Person"], IRIS[1]: [f"{X}Person", f"{X}Painter"]}
    with pytest.warns(UserWarning, match="2 of 4 images are no files on this machine.*elsewhere"):
        found = content.image_files(str(tmp_path))
    pictures = [str(tmp_path / "pictures" / x) for x in ("a b.png", "c.png")]
    assert found == list(zip(IRIS, pictures, strict=False))


@pytest.mark.parametrize(
    "name, content, hint",
    [
        (
            "a.owl",
            "Prefix(:=<http://a.org/>)\nOntology(<http://a.org/>)",
            "This is no RDF/XML: save",
        ),
        ("a.owl", '<Ontology ontologyIRI="http://a.org/"></Ontology>', "This is no RDF/XML: save"),
        ("a.rdf", '<?xml version="1.0" encoding="ISO-8859-1"?><a>\xe9</a>', "Save it as UTF-8"),
        ("a.ttl", "<http://a.org/\xe9> <http://a.org/r> <http://a.org/b> .", "Save it as UTF-8"),
    ],
)
def test_what_to_do_about_other_formats(tmp_path, name, content, hint):
    (tmp_path / name).write_bytes(content.encode("latin-1"))
    with pytest.raises(ValueError, match=hint):
        list(read_rdf(str(tmp_path / name)))
