import gzip

import pytest

from torch_imf.io.rdf import read_rdf

X = "http://x.org/"
FACTS = [(f"{X}A", f"{X}r", f"{X}B"), None, (f"{X}A", f"{X}r", f"{X}C")]
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
    expected = FACTS if name != "a.jsonld" else [FACTS[0], None, (f"{X}A", f"{X}s", f"{X}C")]
    assert sorted(map(str, found)) == sorted(map(str, expected))


def test_escapes_and_line_ends(tmp_path):
    lines = [r"<http://x.org/\u00e9\U0001F600> <r> <B> .", "", "<A> <r> <\u00e9> ."]
    found = list(read_rdf(write(tmp_path, "a.nt", "\r\n".join(lines))))
    assert found == [("http://x.org/\u00e9\U0001f600", "r", "B"), ("A", "r", "\u00e9")]


@pytest.mark.parametrize(
    "line",
    ["<a> <b> <c>", "<a> <b> .", "a\tb\tc", '"a" <b> <c> .', '<a> <b> "c .'],
)
def test_read_rdf_refuses(tmp_path, line):
    path = write(tmp_path, "a.nt", f"<a> <b> <c> .\n{line}\n<a> <b> <c> .\n")
    with pytest.raises(ValueError, match=r"a\.nt', line [23]: .*"):
        list(read_rdf(path))


def test_blank_nodes_have_a_scope(tmp_path):
    path = write(tmp_path, "a.nt", "_:b1 <r> <_:b1> .\n")
    assert list(read_rdf(path, "@a.nt")) == [("_:b1@a.nt", "r", "_:b1")]
    # Those without a label go by the order in which they come, whenever they are read:
    path = write(tmp_path, "a.ttl", "[] <r> <A> . _:x <r> [ <s> <B> ] .")
    found = list(read_rdf(path, "@a"))
    assert found == list(read_rdf(path, "@a")) and found[0] == ("_:b0@a", "r", "A")
    blank = {x for fact in found for x in fact if x.startswith("_")}
    assert blank == {"_:b0@a", "_:b1@a", "_:b2@a"}
