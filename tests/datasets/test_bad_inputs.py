r"""What is wrong with a file is told with its name and the line, in one
:class:`ValueError`; nothing that a file says is run, and nothing is written.
"""

import csv
import gzip
import io
import os
import zipfile

import pytest

from torch_imf.datasets import MultimodalKG

FACTS = "".join(f"n{i}\tnext to\tn{(i + step) % 12}\n" for i in range(12) for step in (1, 2, 3))


def facts(line, at=3):
    r"""Returns a file of facts with another line in between."""
    lines = FACTS.splitlines(keepends=True)
    return "".join([*lines[: at - 1], line, *lines[at - 1 :]]).encode()


def archive(*names, content=b"image", link=False):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as out:
        for name in names:
            info = zipfile.ZipInfo(name)
            info.external_attr = (0o120777 if link else 0o100644) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            out.writestr(info, content)
    return file.getvalue()


# What is wrong, the argument, the name of the file, its content, and what is said of it:
TEXT = "line 3: not valid UTF-8"
CASES = [
    ("two columns", "triples", "a.tsv", facts("a\tb\n"), "line 3: expected 3 fields .*got 2"),
    ("spaces", "triples", "a.tsv", facts("a r b\n"), "line 3: expected 3 fields separated by tabs"),
    ("commas", "triples", "a.tsv", facts("a,r,b\n"), "line 3: expected 3 fields separated by tabs"),
    ("a colon", "triples", "a.csv", FACTS.replace("\t", ":").encode(), "line 1: expected 3 fields"),
    ("empty cell", "triples", "a.tsv", facts("a\t \tb\n"), "line 3: the relation is empty"),
    ("empty id", "texts", "a.tsv", b"n0\tx\n\ty\n", "line 2: the entity is empty"),
    (
        "Latin-1 and UTF-8",
        "triples",
        "a.tsv",
        facts("é\tr\tb\n", 2) + b"\xe9\tr\tb\n",
        "line 38: n",
    ),
    ("no encoding", "triples", "a.tsv", facts("a\tr\tb\n").replace(b"a", b"\x81"), TEXT),
    ("no encoding", "texts", "a.json", b'{"n0":\n\n"\x81"}', TEXT),
    ("Latin-1", "images", "a.tsv", "n0\ta\n\nn1\té\n".encode("latin1"), TEXT),
    ("half of UTF-16", "triples", "a.tsv", FACTS.encode("utf-16")[:-1], "line 36: not valid UTF"),
    ("UTF-16", "triples", "a.tsv", FACTS.encode("utf-16-le"), "line 1: this is no text, but bin"),
    ("UTF-16", "texts", "a.json", '{"n0": "x"}'.encode("utf-16-le"), "line 1: this is no text"),
    ("another gzip", "triples", "a.tsv", gzip.compress(FACTS.encode()), "is gzipped, and needs"),
    ("carriage returns", "triples", "a.tsv", FACTS.replace("\n", "\r").encode(), "line 1: .*got"),
    ("a column twice", "triples", "a.tsv", b"head\trel\ttail\ttail\n", "line 1: .*'tail' twice"),
    ("a column too few", "triples", "a.tsv", b"head\ttail\tobject\n", "line 1: .* not all of head"),
    ("a header only", "triples", "a.csv", b"head;relation;tail\n", "holds no facts"),
    ("returns", "triples", "a.csv", b"a,r,b\rc,r,d\n", "line 1: .*a carriage return is no end"),
    ("an open quote", "triples", "a.csv", b'a,r,b\na,"r,b\na,r,c\n', "line 2: the row that begins"),
    ("quoted tabs", "triples", "a.tsv", facts('"a\tb"\tr\tc\n'), "line 3: expected 3 .*got 4"),
    (
        "half a gzip",
        "triples",
        "a.tsv.gz",
        gzip.compress(FACTS.encode())[:-20],
        "is damaged, please",
    ),
    ("half a gzip", "texts", "a.json.gz", gzip.compress(b'{"n0": "x"}')[:-9], "is damaged, pl"),
    ("no gzip", "numbers", "a.csv.gz", b"n0,a,1\n", "is damaged, please"),
    ("nothing", "triples", "a.tsv", b"", "holds no facts"),
    ("nothing", "texts", "a.json", b"", "line 1: this is no JSON"),
    ("nothing", "triples", "a.parquet", b"", "cannot be read as a file of Parquet"),
    ("empty lines", "triples", "a.tsv", b"\n\n \n", "holds no facts"),
    ("half a JSON", "texts", "a.json", b'{"n0": "x",\n"n1": "y', "line 2: this is no JSON"),
    ("deep JSON", "texts", "a.jsonl", b"[" * 99_999, "line 1: this is no JSON .*recursion"),
    ("a literal", "triples", "a.nt", b'"a" <r> <b> .\n', "line 1: .*The subject of a triple"),
    ("a number", "numbers", "a.tsv", b"n0\ta\t1\nn1\ta\t1,5,2\n", "line 2: expected a number or"),
    ("a header", "numbers", "a.tsv", b"it\tsize\tbig\n", "line 1: .*If this is a header"),
    ("a word", "numbers", "a.tsv", b"n0\tsize\tbig\n", "line 1: expected a number or a date"),
    ("two texts", "texts", "a.tsv", b"n0\tA\nn0\tB\n", "line 2: 'n0' has another text already"),
    ("no entity", "numbers", "a.tsv", b"n99\ta\t1\n", "line 1: the entity 'n99' is in no fact"),
    ("no entity", "texts", "a.tsv", b"n0\tx\nn99\ty\n", "line 2: the entity 'n99' is in no fact"),
    ("page", "images", "a.zip", b"<!DOCTYPE html>", "is damaged, please fetch it anew"),
    ("half an archive", "images", "a.zip", archive("n0.png")[:-30], "is damaged, please fetch it"),
    ("climbing", "images", "a.zip", archive("n0.png", "../n1.png"), "member '../n1.png' .*outside"),
    ("link", "images", "a.zip", archive("n0.png", content=b"/etc/passwd", link=True), "is a link"),
    ("missing image", "images", "a.tsv", b"n0\tn0.png\n", "line 1: there is no file"),
    ("nothing", "triples", "a.xlsx", b"", "cannot be read as a file of Excel"),
    ("document", "triples", "a.docx", b"", "holds no facts, expected one of"),
]


def read(folder, argument, path, **kwargs):
    (folder / "facts.tsv").write_text(FACTS)
    paths = {"triples": folder / "facts.tsv", argument: path}
    return MultimodalKG.from_files(**paths, **kwargs)


def refuse(folder, argument, name, content, message):
    r"""Gives a file as an argument, and checks that it is refused and that
    nothing else is written.
    """
    pytest.importorskip("pyarrow")
    path = folder / name
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message) as error:
        read(folder, argument, path, root=str(folder / "root"))
    assert name in str(error.value).split("\n")[0] and len(str(error.value)) < 600
    assert path.read_bytes() == content
    written = {str(x.relative_to(folder)) for x in folder.rglob("*") if x.is_file()}
    assert written == {"facts.tsv", name, "root/.lock"}


@pytest.mark.parametrize(
    "argument,name,content,message", [x[1:] for x in CASES], ids=[f"{x[0]}, {x[2]}" for x in CASES]
)
def test_bad_inputs(tmp_path, argument, name, content, message):
    refuse(tmp_path, argument, name, content, message)


# How a file begins, and the megabyte that then comes 300 times:
MEGABYTE = 1 << 20
LONG = "this line has more than 1,048,576 bytes"
OPEN = (b'a,r,b\na,r,"', b"x" * 1023 + b"\n")
SPACES = b" " * (MEGABYTE // 2) + b"\n"
BOMBS = [
    ("triples", "a.tsv.gz", b"", bytes(MEGABYTE), f"line 1: {LONG}"),
    ("triples", "a.nt.gz", b"<a> <r> <b> .\n", b"<" * MEGABYTE, f"line 2: {LONG}"),
    ("triples", "a.csv.gz", *OPEN, "line 2: the row that begins here"),
    ("texts", "a.jsonl.gz", b"{", b"x" * MEGABYTE, f"line 1: {LONG}"),
    ("texts", "a.json.gz", b"[", SPACES, "line 32: this JSON has more than"),
    ("numbers", "a.tsv.gz", b"n0\ta\t1\n", b"\n" * 1023 + b"x", "line 1025: expected 3 fields"),
]


@pytest.fixture
def little_memory(monkeypatch):
    r"""Leaves 128 MB of memory beside what is in use, and makes limits as
    much smaller as that is.
    """
    resource = pytest.importorskip("resource")
    for module in ("tables", "rdf"):
        monkeypatch.setattr(f"torch_imf.io.{module}.LONGEST", MEGABYTE)
    monkeypatch.setattr("torch_imf.io.tables.LARGEST", 16 * MEGABYTE)
    field = csv.field_size_limit(MEGABYTE)
    before = resource.getrlimit(resource.RLIMIT_AS)
    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + 128 * MEGABYTE, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)
    csv.field_size_limit(field)


@pytest.mark.skipif(not os.path.exists("/proc/self/statm"), reason="counts memory as Linux does")
@pytest.mark.parametrize("argument,name,start,content,message", BOMBS)
def test_bombs_need_little_memory(tmp_path, little_memory, argument, name, start, content, message):
    content *= MEGABYTE // len(content)
    bomb = gzip.compress(start) + 300 * gzip.compress(content, compresslevel=1)
    refuse(tmp_path, argument, name, bomb, f"{name}', {message}")
