import gzip
import json
import os
import random
import re
import sys
import zipfile
from datetime import date

import pytest

from torch_imf.datasets.own import TEXTS
from torch_imf.io import tables
from torch_imf.io.facts import read_fact_table
from torch_imf.io.frames import read_frame
from torch_imf.io.tables import Column, read_rows, read_table

COLUMNS = (
    Column("head", ("head", "subject")),
    Column("relation", ("relation", "predicate")),
    Column("tail", ("tail", "object"), blank=True),
    Column("note", ("note", "other words"), required=False),
)
OBJECTS = [
    {"id": "a", "label": "A", "description": "The first.", "year": 3},
    {"id": "b c", "text": " Second "},
    {"id": "d", "label": "D", "description": None},
]
BY_NAME = {"a": {"name": "A", "text": "The first."}, "b c": "Second"}
BY_NAME["d"] = {"name": "D", "text": None}
JSONL = "\ufeff\r\n" + "\r\n".join(map(json.dumps, OBJECTS))


def read(tmp_path, name, content, columns=COLUMNS, **kwargs):
    path = tmp_path / name
    content = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return list(read_table(str(path), columns, **kwargs))


@pytest.mark.parametrize("name", ["a.tsv", "a.txt", "a.csv", "a.TSV.gz", "a.csv.gz"])
def test_what_is_forgiven(tmp_path, name):
    sep = "," if "csv" in name else "\t"
    lines = [sep.join(row) for row in (["a b", "r", "c"], [" d ", "r", ""])]
    content = "\ufeff" + "\r\n\r\n".join(["", *lines]) + "\r\n  \r\n"
    expected = [(3, ["a b", "r", "c", ""]), (5, ["d", "r", "", ""])]
    assert read(tmp_path, name, content) == expected
    assert read(tmp_path, name, "") == []


def test_quotes(tmp_path):
    content = 'a,r,"b, ""c"" and\nd"\ne,r,f\n'
    rows = [(1, ["a", "r", 'b, "c" and\nd', ""]), (3, ["e", "r", "f", ""])]
    assert read(tmp_path, "a.csv", content) == rows
    with pytest.warns(UserWarning, match=r"a\.tsv', line 1: .* is in quotes, which are part of"):
        assert read(tmp_path, "a.tsv", '"a"\tr\t"b"\n') == [(1, ['"a"', "r", '"b"', ""])]


def test_a_delimiter_of_another_name_is_told(tmp_path):
    with pytest.warns(UserWarning, match=r"a\.csv': this table is separated by semicolons"):
        read(tmp_path, "a.csv", "entity;text;name\na;x, y;z\n")


def test_headers(tmp_path):
    content = "# Other-Words\tSUBJECT\tpredicate \tObject\nn\ta\tr\tc\n"
    assert read(tmp_path, "a.tsv", content) == [(2, ["a", "r", "c", "n"])]
    content = "head\trelation\ttail\na\tr\tb\n"
    assert read(tmp_path, "a.tsv", content) == [(2, ["a", "r", "b", ""])]
    assert len(read(tmp_path, "a.tsv", content, header=False)) == 2
    for header, size in ((None, 2), (False, 2), (True, 1)):
        assert len(read(tmp_path, "a.tsv", "x\ty\tz\na\tr\tb\n", header=header)) == size

    with pytest.warns(UserWarning, match=r"a\.tsv': the columns \['Split'\] are left out"):
        rows = read(tmp_path, "a.tsv", "head\trelation\ttail\tSplit\na\tr\tb\ttest\n")
    assert rows == [(2, ["a", "r", "b", ""])]
    message = "line 1: .* not all of head, relation, tail.*'header=False'"
    for header, size in ((None, 1), (True, 0)):
        with pytest.warns(UserWarning, match=message):
            assert len(read(tmp_path, "a.tsv", "head\tx\ttail\n", header=header)) == size
    with pytest.raises(ValueError, match=message):
        read(tmp_path, "a.tsv", "head\ttail\tobject\na\tb\tc\n")


def test_parquet(tmp_path):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = str(tmp_path / "a.parquet")
    table = {"tail": ["b", None], "head": ["a", "c"], "relation": ["r", "s"]}
    pq.write_table(pa.table(table), path)
    expected = [(1, ["a", "r", "b", ""]), (2, ["c", "s", "", ""])]
    assert list(read_table(path, COLUMNS)) == list(read_table(path, COLUMNS, False)) == expected
    pq.write_table(pa.table({"x": [1, None], "y": [2, 3], "z": [3, 4]}), path)
    with pytest.raises(ValueError, match=r"a\.parquet', row 2: the head is empty"):
        list(read_table(path, COLUMNS))


def test_excel(tmp_path, monkeypatch):
    pytest.importorskip("openpyxl")
    import pandas as pd

    path = str(tmp_path / "a.xlsx")
    rows = [["tail", "head", "relation"], ["NA", "007", "r"], ["", 3, "s"]]
    pd.DataFrame(rows).to_excel(path, header=False, index=False)
    expected = [(2, ["007", "r", "NA", ""]), (3, ["3", "s", "", ""])]
    assert list(read_table(path, COLUMNS)) == expected
    pd.DataFrame(rows[1:]).to_excel(path, header=False, index=False)
    with pytest.raises(ValueError, match=r"a\.xlsx', row 2: the head is empty"):
        list(read_table(path, COLUMNS, header=False))
    more = [[date(2020, 1, 2), True, 1.5, "#N/A"], ["x"], [], ["", "", "", "", "far"]]
    pd.DataFrame([[*x, *(5 - len(x)) * [""]] for x in more]).to_excel(
        path, header=False, index=False
    )
    (size, sheet), *chunks = (x for x in read_frame(path, path) if not isinstance(x, int))
    expected = [["2020-01-02 00:00:00", "True", "1.5", "", ""], ["x", *4 * [""]]]
    assert (size, sheet) == ("4", "Sheet1") and chunks[0][:2] == expected
    assert chunks[0][2:] == [5 * [""], [*4 * [""], "far"]]
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    with pytest.raises(ImportError, match=r"Tables of Excel .*torch_imf\[excel\]"):
        list(read_frame(path, path))


@pytest.mark.parametrize(
    "name,content",
    [
        ("a.tsv", "id\tname\ttext\na\tA\tThe first.\nb c\t\tSecond\nd\tD\t\n"),
        ("a.csv", "abstract,entity,label\nThe first.,a,A\nSecond,b c,\n,d,D\n"),
        ("a.json", json.dumps(BY_NAME)),
        ("a.json", json.dumps(OBJECTS)),
        ("a.jsonl", JSONL),
        ("a.ndjson", JSONL),
    ],
)
def test_texts(tmp_path, name, content):
    expected = [["a", "The first.", "A", ""], ["b c", "Second", "", ""], ["d", "", "D", ""]]
    assert [fields for _, fields in read(tmp_path, name, content, TEXTS)] == expected
    # A name stands for the entity where there is nothing else to go by:
    rows = read(tmp_path, "a.tsv", "name\ttext\nA\tThe first.\n", TEXTS)
    assert rows == [(2, ["A", "The first.", "A", ""])]


@pytest.mark.parametrize(
    "name,content",
    [
        ("a.csv", "personId:ID(Person),name:string,:LABEL\nq1,Ada,Person;Poet\n"),  # Of Neo4j.
        ("a.json", '[{"id": "q1", "name": "Ada", "types": ["Person", "Poet"]}]'),
    ],
)
def test_types(tmp_path, name, content):
    assert [x for _, x in read(tmp_path, name, content, TEXTS)] == [
        ["q1", "Ada", "Ada", "Person;Poet"]
    ]


@pytest.mark.parametrize(
    "name,content,message",
    [
        ("a.json", '{"a": "x",\n "b": }', "line 2: this is no JSON"),
        ("a.json", '{"a": "x", "a": "y"}', "line 1: the key 'a' occurs twice"),
        ("a.json", '{"a": ["x"]}', "entry 1: the text is no text"),
        ("a.json", '{"a": {"age": "A"}}', "entry 1: there is no text"),
        ("a.json", "3", "expected an object of entities"),
        ("a.json", "[3]", "entry 1: expected an object"),
        ("a.json", "[" * 100_000, "line 1: this is no JSON .*recursion"),
        ("a.jsonl", '{"id": "a", "text": "x"}\n\n{"id": "b"', "line 3: this is no JSON"),
        ("a.jsonl", '{"text": "x"}', "line 1: there is no entity .* one of the keys"),
        ("a.jsonl", '{"id": " ", "text": "x"}', "line 1: the entity is empty"),
        ("a.jsonl", '["a", "x"]', "line 1: expected an object"),
        ("a.jsonl", r'{"id": "a", "text": "\ud800"}', "line 1: the text is no text"),
    ],
)
def test_texts_refuse(tmp_path, name, content, message):
    with pytest.raises(ValueError, match=rf"{name}'.*{message}"):
        read(tmp_path, name, content, TEXTS)


def test_large_content(tmp_path, monkeypatch):
    text = "x" * 200_000  # More than the csv module allows by default.
    assert read(tmp_path, "a.csv", f'a,"{text}"', TEXTS)[0][1][1] == text
    digits = "1" * 5000  # More than Python turns into an integer by default.
    rows = read(tmp_path, "a.jsonl", f'{{"id": 7, "text": {digits}}}', TEXTS)
    assert rows == [(1, ["7", digits, "", ""])]
    content = json.dumps({"a": "x" * 50}, indent=1)
    monkeypatch.setattr(tables, "LARGEST", len(content) - 1)
    with pytest.raises(ValueError, match=r"a.json', line 3: this JSON has more than .* as JSONL"):
        read(tmp_path, "a.json", content, TEXTS)
    monkeypatch.setattr(tables, "LONGEST", 10)
    with pytest.raises(ValueError, match="a.tsv', line 2: this line has more than 10 bytes"):
        read(tmp_path, "a.tsv", "a\tb\n" + "x" * 11, TEXTS)


@pytest.mark.filterwarnings("ignore")
def test_columns_are_those_of_rows(tmp_path, monkeypatch):
    # Plain lines, and what pyarrow might read in another way:
    fields = ["a", "b c", "é", '"q"', "x\x85y", " p ", "NA", "\ufeff", "head"]
    others = ["", " ", "a\tb", "\t\t", "a\rb\tc\td", "x\0\ty\tz", "a\tb\tc\td", "head\trel\ttail"]
    draw = random.Random(0)

    def outcome(function):
        try:
            return function()
        except ValueError as e:
            return str(e)

    for name in 150 * ["a.tsv", "a.tsv.gz", "a.csv"]:
        is_csv = name == "a.csv"
        words = [x for x in fields if x != '"q"'] if is_csv and draw.random() < 0.9 else fields
        rows = ["\t".join(draw.choices(words, k=3)) for _ in range(4)]
        if draw.random() < 0.6:
            odd = [*others, "a\tb\tc\rd\te\tf"] if is_csv else others
            rows.insert(draw.randrange(5), draw.choice(odd))
        rows = [x.replace("\t", ",") for x in rows] if is_csv else rows
        content = draw.choice(["", "\ufeff", "\r\n\n"]) + draw.choice(["\n", "\r\n"]).join(rows)
        read(tmp_path, name, "")
        data = content.encode()
        (tmp_path / name).write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        found = []
        for size in (1000, 2):  # Row by row, and by pyarrow but for the first rows.
            monkeypatch.setattr(tables, "BLOCK", size)
            table = outcome(lambda n=name: read_fact_table(str(tmp_path / n), False, "123"))
            is_error = isinstance(table, str)
            found.append(table if is_error else [x.to_pylist() for x in table.columns])
        expected, columns = found
        # Of two errors in CSV, which comes first may differ:
        are_errors = is_csv and isinstance(expected, str) and isinstance(columns, str)
        assert columns == expected or are_errors, content


def test_read_rows(tmp_path):
    path = tmp_path / "a.txt.gz"

    def rows(text, *args, **kwargs):
        path.write_bytes(gzip.compress(text.encode()))
        return read_rows(str(path), *args, **kwargs)

    assert rows("", 2) == []
    assert rows("a\tb \r\nc\t\n\n", 2) == [["a", "b "], ["c", ""]]
    assert rows("x\ty\na\tb", 2, header=True) == [["a", "b"]]
    assert rows("a b c\n", 3, sep=" ") == [["a", "b", "c"]]
    for text in ("a\tb\nc\nd\te", "a\tb\n\nd\te"):  # An empty line in between.
        with pytest.raises(ValueError, match=r"a.txt.gz', line 2: expected 2 .* \(got \['c?'\]\)"):
            rows(text, 2)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match="a.txt.gz' is damaged, please fetch"):
        read_rows(str(path), 2)
    with pytest.raises(ValueError, match="There is no file '.*nowhere.tsv'"):
        list(read_table(str(tmp_path / "nowhere.tsv"), COLUMNS))


@pytest.mark.parametrize("suffix", ["parquet", "xlsx"])
def test_tables_that_are_bombs(tmp_path, suffix):
    import pandas as pd

    path = tmp_path / f"a.{suffix}"
    if suffix == "parquet":  # A value that is stored once.
        row = ["x" * 1000] * 25_000
        pd.DataFrame({"head": row, "relation": row, "tail": row}).to_parquet(path)
    else:
        pytest.importorskip("openpyxl")
        pd.DataFrame([["a", "r", "b"]]).to_excel(path, header=False, index=False)
        with zipfile.ZipFile(path) as old:
            parts = {name: old.read(name) for name in old.namelist()}
        sheet = next(name for name in parts if name.endswith("sheet1.xml"))
        text = b"<t>" + b"x" * (70 << 20) + b"</t>"
        cell = b'<c t="inlineStr"><is>' + text + b"</is></c>"
        parts[sheet] = re.sub(b"<c r=.A1.*?</c>", cell, parts[sheet], count=1)
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
            for name, content in parts.items():
                new.writestr(name, content)
    assert path.stat().st_size < 200_000
    with pytest.raises(ValueError, match=f"'{path}' .*which is refused. If you trust it, save it"):
        read_fact_table(str(path))


@pytest.mark.parametrize("name", ["a.tsv", "a.json", "a.parquet", "a.csv.gz"])
def test_pipes_are_refused(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(ValueError, match=f"{name}' is no file but a pipe or device. Please write"):
        read_fact_table(str(tmp_path / name))
