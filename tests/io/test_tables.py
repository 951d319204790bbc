import gzip
import json
import math
import sys

import pytest

from torch_imf.datasets.own import TEXTS
from torch_imf.io import tables
from torch_imf.io.tables import Column, read_rows, read_table, short, suffix, to_number, where

COLUMNS = (
    Column("head", ("head", "subject")),
    Column("relation", ("relation", "predicate")),
    Column("tail", ("tail", "object"), blank=True),
    Column("note", ("note",), required=False),
)


def read(tmp_path, name, content, **kwargs):
    path = tmp_path / name
    content = content if isinstance(content, bytes) else content.encode()
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    return list(read_table(str(path), COLUMNS, **kwargs))


@pytest.mark.parametrize("name", ["a.tsv", "a.txt", "a.csv", "a.TSV.gz", "a.csv.gz"])
def test_read_table_forgives(tmp_path, name):
    sep = "," if "csv" in name else "\t"
    rows = [["a b", "r", "c"], [" d ", "r", ""]]
    lines = [sep.join(row) for row in rows]
    content = "\ufeff" + "\r\n\r\n".join(["", *lines]) + "\r\n  \r\n"
    expected = [(3, ["a b", "r", "c", ""]), (5, ["d", "r", "", ""])]
    assert read(tmp_path, name, content) == expected


def test_read_table_csv_quotes(tmp_path):
    content = 'a,r,"b, ""c"" and\nd"\ne,r,f\n'
    rows = [(1, ["a", "r", 'b, "c" and\nd', ""]), (3, ["e", "r", "f", ""])]
    assert read(tmp_path, "a.csv", content) == rows
    assert read(tmp_path, "a.tsv", '"a\tr\tb"\n') == [(1, ['"a', "r", 'b"', ""])]
    with pytest.raises(ValueError, match=r"a\.csv', line 2: the row that begins here is no CSV"):
        read(tmp_path, "a.csv", 'a,r,b\nc,r,"d\ne,r,f\n')


def test_read_table_header(tmp_path):
    content = "Object\tsubject\tnote\tpredicate\nc\ta\tn\tr\n"
    assert read(tmp_path, "a.tsv", content) == [(2, ["a", "r", "c", "n"])]
    content = "head\trelation\ttail\na\tr\tb\n"
    assert read(tmp_path, "a.tsv", content) == [(2, ["a", "r", "b", ""])]
    assert len(read(tmp_path, "a.tsv", content, header=False)) == 2
    assert len(read(tmp_path, "a.tsv", "x\ty\tz\na\tr\tb\n", header=None)) == 2
    assert len(read(tmp_path, "a.tsv", "x\ty\tz\na\tr\tb\n", header=True)) == 1

    with pytest.warns(UserWarning, match=r"a\.tsv': the columns \['Split'\] are left out"):
        rows = read(tmp_path, "a.tsv", "head\trelation\ttail\tSplit\na\tr\tb\ttest\n")
    assert rows == [(2, ["a", "r", "b", ""])]
    with pytest.raises(ValueError, match="line 1: the header lacks the relation .*header=False"):
        read(tmp_path, "a.tsv", "head\ttail\tobject\na\tb\tc\n")
    with pytest.raises(ValueError, match="line 1: the header has 'head' twice"):
        read(tmp_path, "a.tsv", "head\trelation\ttail\thead\na\tb\tc\td\n")


def test_read_table_other_files(tmp_path):
    with pytest.raises(ValueError, match=r"a\.docx' is no table, expected one of .*'\.csv'"):
        read(tmp_path, "a.docx", "")
    with pytest.raises(ValueError, match="There is no file '.*nowhere.tsv'"):
        list(read_table(str(tmp_path / "nowhere.tsv"), COLUMNS))
    assert read(tmp_path, "a.tsv", "") == []


@pytest.mark.parametrize("name,package", [("a.parquet", "pyarrow"), ("a.xlsx", "openpyxl")])
def test_packages_of_formats(tmp_path, monkeypatch, name, package):
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ValueError, match=rf"{name}' .*needs 'pip install {package}'"):
        read(tmp_path, name, "")


def test_parquet(tmp_path):
    pa = pytest.importorskip("pyarrow")
    pq = pytest.importorskip("pyarrow.parquet")

    path = str(tmp_path / "a.parquet")
    table = {"tail": ["b", None], "head": ["a", "c"], "relation": ["r", "s"]}
    pq.write_table(pa.table(table), path)
    expected = [(1, ["a", "r", "b", ""]), (2, ["c", "s", "", ""])]
    assert list(read_table(path, COLUMNS)) == list(read_table(path, COLUMNS, False)) == expected
    pq.write_table(pa.table({"x": [1, None], "y": [2, 3], "z": [3, 4]}), path)
    with pytest.raises(ValueError, match=r"a\.parquet', row 2: the head is empty"):
        list(read_table(path, COLUMNS))
    # Bytes that are not said to be text:
    pq.write_table(pa.table({key: [b"a", "\u00e9".encode()] for key in table}), path)
    assert [row[:3] for _, row in read_table(path, COLUMNS)] == [["a"] * 3, ["\u00e9"] * 3]
    pq.write_table(pa.table({key: [b"a", b"\xe9"] for key in table}), path)
    with pytest.raises(ValueError, match=r"a\.parquet' cannot be read"):
        list(read_table(path, COLUMNS))
    with pytest.raises(ValueError, match="cannot be read as a file of Parquet"):
        read(tmp_path, "a.parquet", "a\tr\tb\n")
    with pytest.raises(ValueError, match="There is no file"):
        list(read_table(str(tmp_path / "b.parquet"), COLUMNS))


def test_quotes_in_tsv_are_told_once(tmp_path):
    content = 'a\tr\t"b" and "c"\na\t"say ""r"" x"\tc\n"a"\tr\tb\n'
    with pytest.warns(UserWarning) as warned:
        rows = read(tmp_path, "a.tsv", content)
    assert len(warned) == 1
    quoted = '"say ""r"" x"'
    assert f"a.tsv', line 2: '{quoted}' is in quotes" in str(warned[0].message)
    assert [row[:3] for _, row in rows] == [line.split("\t") for line in content.splitlines()]
    with pytest.raises(ValueError, match="line 1: expected 3 fields .*quotes protect neither tabs"):
        read(tmp_path, "a.tsv", '"a\tb"\tr\tc\n')


@pytest.mark.parametrize(
    "name,text,hint",
    [
        ("a.csv", "head;relation;tail", "Semicolons do"),
        ("a.csv", "a b\tr\tc", "Tabs do"),
        ("a.tsv", "a,r,b c", "Commas do"),
        ("a.tsv", "a r b", "Spaces do"),
        ("a.tsv", "a", r"\['a'\]$"),
    ],
)
def test_what_separates_no_fields_is_told(tmp_path, name, text, hint):
    (tmp_path / name).write_text(f"{text}\n")
    with pytest.raises(ValueError, match=f"line 1: expected 3 fields .*{hint}"):
        list(read_table(str(tmp_path / name), COLUMNS))


def test_excel(tmp_path):
    pd, path = pytest.importorskip("pandas"), str(tmp_path / "a.xlsx")
    pytest.importorskip("openpyxl")
    rows = [["tail", "head", "relation"], ["NA", "007", "r"], ["", 3, "s"]]
    pd.DataFrame(rows).to_excel(path, header=False, index=False)
    expected = [(2, ["007", "r", "NA", ""]), (3, ["3", "s", "", ""])]
    assert list(read_table(path, COLUMNS)) == expected
    pd.DataFrame(rows[1:]).to_excel(path, header=False, index=False)
    with pytest.raises(ValueError, match=r"a\.xlsx', row 2: the head is empty"):
        list(read_table(path, COLUMNS, header=False))


@pytest.mark.filterwarnings("error")
def test_headers(tmp_path):
    columns = (*COLUMNS, Column("other", ("other_words",), required=False))
    path = tmp_path / "a.tsv"
    path.write_text("# Other-Words\tSUBJECT\tpredicate \tObject\nw\ta\tr\tb\n")
    assert list(read_table(str(path), columns)) == [(2, ["a", "r", "b", "", "w"])]
    for text, hint in [("head\tx\ttail\n", "'header=True'"), ("s\tpredicate\to\n", "header=Fal")]:
        path.write_text(text)
        with pytest.warns(UserWarning, match=f"line 1: .* are taken for data, although .*{hint}"):
            assert len(list(read_table(str(path), COLUMNS))) == 1
        assert len(list(read_table(str(path), COLUMNS, header=False))) == 1
    with pytest.warns(UserWarning, match="are taken for columns that are read as head, relation"):
        list(read_table(str(path), COLUMNS, header=True))


EXPECTED = [["a", "The first.", "A"], ["b c", "Second", ""], ["d", "", "D"]]
OBJECTS = [
    {"id": "a", "label": "A", "description": "The first.", "year": 3},
    {"id": "b c", "text": " Second "},
    {"id": "d", "label": "D", "description": None},
]
BY_NAME = {"a": {"name": "A", "text": "The first."}, "b c": "Second"}
BY_NAME["d"] = {"name": "D", "text": None}
JSONL = "\ufeff\r\n" + "\r\n".join(map(json.dumps, OBJECTS))


def read_texts(tmp_path, name, content):
    path = tmp_path / name
    path.write_text(content, encoding="utf-8", newline="")
    return list(read_table(str(path), TEXTS))


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
    assert [fields for _, fields in read_texts(tmp_path, name, content)] == EXPECTED
    # A name stands for the entity where there is nothing else to go by:
    rows = read_texts(tmp_path, "a.tsv", "name\ttext\nA\tThe first.\n")
    assert rows == [(2, ["A", "The first.", "A"])]


@pytest.mark.parametrize(
    "name,content,message",
    [
        ("a.json", '{"a": "x",\n "b": }', "line 2: this is no JSON"),
        ("a.json", '{"a": "x", "a": "y"}', "line 1: the key 'a' occurs twice"),
        ("a.json", '{"a": ["x"]}', "entry 1: the text is no text"),
        ("a.json", '{"a": {"name": "A"}}', "entry 1: there is no text"),
        ("a.json", "3", "expected an object of entities"),
        ("a.json", "[3]", "entry 1: expected an object"),
        ("a.json", "[" * 100_000, "line 1: this JSON is nested too deeply"),
        ("a.jsonl", '{"id": "a", "text": "x"}\n\n{"id": "b"', "line 3: this is no JSON"),
        ("a.jsonl", '{"text": "x"}', "line 1: there is no entity"),
        ("a.jsonl", '{"id": " ", "text": "x"}', "line 1: there is no entity"),
        ("a.jsonl", '["a", "x"]', "line 1: expected an object of 'entity' and 'text'"),
        ("a.jsonl", r'{"id": "a", "text": "\ud800"}', "line 1: the text holds half a character"),
        ("a.tsv", "a\tb\nc\n", "line 2: expected 2 fields separated by tabs"),
    ],
)
def test_texts_refuse(tmp_path, name, content, message):
    with pytest.raises(ValueError, match=rf"{name}'.*{message}"):
        read_texts(tmp_path, name, content)


def test_large_content(tmp_path, monkeypatch):
    text = "x" * 200_000  # More than the csv module allows by default.
    assert read_texts(tmp_path, "a.csv", f'a,"{text}"')[0][1][1] == text
    digits = "1" * 5000  # More than Python turns into an integer by default.
    assert read_texts(tmp_path, "a.jsonl", f'{{"id": 7, "text": {digits}}}')[0][1][:2] == [
        "7",
        digits,
    ]
    content = json.dumps({"a": "x" * 50}, indent=1)
    monkeypatch.setattr(tables, "LARGEST", len(content) - 1)
    with pytest.raises(ValueError, match=r"a.json', line 3: this JSON has more than .* as JSONL"):
        read_texts(tmp_path, "a.json", content)
    monkeypatch.setattr(tables, "LONGEST", 10)
    with pytest.raises(ValueError, match="a.tsv', line 2: this line has more than 10 bytes"):
        read_texts(tmp_path, "a.tsv", "a\tb\n" + "x" * 11)


def test_read_rows(tmp_path):
    path = tmp_path / "a.txt.gz"

    def rows(text, *args, **kwargs):
        path.write_bytes(gzip.compress(text.encode()))
        return read_rows(str(path), *args, **kwargs)

    assert rows("", 2) == []
    assert rows("a\tb \r\nc\t\n\n", 2) == [["a", "b "], ["c", ""]]
    assert rows("x\ty\na\tb", 2, header=True) == [["a", "b"]]
    assert rows("a b c\n", 3, sep=" ") == [["a", "b", "c"]]
    with pytest.raises(ValueError, match=r"a.txt.gz', line 2: expected 2 .* \(got \['c'\]\)"):
        rows("a\tb\nc\nd\te", 2)
    with pytest.raises(ValueError, match="line 2: expected 2 fields"):
        rows("a\tb\n\nd\te", 2)  # An empty line in between.
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match="a.txt.gz' is damaged, please fetch"):
        read_rows(str(path), 2)


def test_places():
    assert suffix("a/B.TSV.gz") == ".tsv" and suffix("a.b/c") == ""
    assert where("a.csv", 3) == "'a.csv', line 3" and where("a.parquet", 3) == "'a.parquet', row 3"
    assert short("a") == "'a'" and len(short("a" * 100)) == 80


@pytest.mark.parametrize(
    "text, value",
    [
        ("1.5", 1.5),
        ("-3e2", -300.0),
        ("+7", 7.0),
        ("1961-08-04", 1961 + 7 / 12 + 3 / 365),
        ("1961-8-4", 1961 + 7 / 12 + 3 / 365),
        ("1961-00-00", 1961.0),  # Parts that are not known.
        ("0800-12-25", 800 + 11 / 12 + 24 / 365),
        ("-63-9-23", -63 + 8 / 12 + 22 / 365),  # Later in the year is later.
        ("2020-02-29", 2020 + 1 / 12 + 28 / 365),
        ("-0004-02-29", -4 + 1 / 12 + 28 / 365),
        ("2021-01-02T00:00:00", 2021 + 1 / 365),
        ("2020-01-02T12:00Z", 2020 + 1.5 / 366),
        ("2020-01-02 03:04:05.5+02:00", 2020 + (1 + 3845.5 / 86_400) / 366),
        *((x, math.nan) for x in ("2020-13-45", "2021-02-29", "1999-07", "soon", "", "12:30")),
        *((x, math.nan) for x in ("2020-01-02T25:00", "2020-13-01T03:04:05Z")),
    ],
)
def test_to_number(text, value):
    assert to_number(text) == pytest.approx(value, abs=1e-9, nan_ok=True)


def test_dates_are_in_order():
    dates = ["-63-1-1", "-63-12-31", "-62-1-1", "-1-12-31", "1-1-1", "1960-12-31T23:59", "1961-1-1"]
    years = [to_number(date) for date in dates]
    assert years == sorted(set(years))
