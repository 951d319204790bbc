import gzip

import pytest

from torch_imf.datasets.ntriples import read_ntriples

CONTENT = r"""# A comment

<http://x.org/A> <http://x.org/r> <http://x.org/B> .
<http://x.org/A> <http://x.org/label> "An \"A\" . <b>"@en-GB . # Why not
<http://x.org/A> <http://x.org/size> "1"^^<http://x.org/int> .
_:b1 <http://x.org/r> _:c.2 .
<http://x.org/\u00e9\U0001F600\ud800><http://x.org/r><http://x.org/B>.
"""


@pytest.mark.parametrize("name", ["a.nt", "a.nt.gz"])
def test_read_ntriples(tmp_path, name):
    path = tmp_path / name
    content = CONTENT.replace("\n", "\r\n").encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    x = "http://x.org/"
    assert list(read_ntriples(str(path))) == [
        (3, [f"{x}A", f"{x}r", f"{x}B"]),
        (4, None),
        (5, None),
        (6, ["_:b1", f"{x}r", "_:c.2"]),
        (7, [f"{x}\u00e9\U0001f600\\ud800", f"{x}r", f"{x}B"]),
    ]


@pytest.mark.parametrize(
    "line",
    [
        "<a> <b> <c>",
        "<a> <b> .",
        "<a> <b c> <d> .",
        "a\tb\tc",
        '"a" <b> <c> .',
        '<a> <b> "c .',
        "<a> <b> <c> <d> .",
    ],
)
def test_read_ntriples_refuses(tmp_path, line):
    path = tmp_path / "a.nt"
    path.write_text(f"<a> <b> <c> .\n{line}\n")
    with pytest.raises(ValueError, match=r"a\.nt', line 2: expected '<head> <relation> <tail> \.'"):
        list(read_ntriples(str(path)))


def test_blank_nodes_have_a_scope(tmp_path):
    path = tmp_path / "a.nt"
    path.write_text("_:b1 <r> <_:b1> .\n")
    assert [x for _, x in read_ntriples(str(path), "@a.nt")] == [["_:b1@a.nt", "r", "_:b1"]]
