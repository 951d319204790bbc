import gzip
import sys

import pytest

from torch_imf.datasets.tables import Column, read_table

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


@pytest.mark.parametrize(
    "content,message",
    [
        (
            "a\tr\tb\nc\tr\n",
            r"line 2: expected 3 fields separated by tabs \(head, relation",
        ),
        ("a\tr\tb\n\nc\tr\td\te\n", r"line 3: expected 3 fields .*, got 4"),
        ("a r b\n", "line 1: .*got 1: .*Spaces do not separate fields"),
        ("a\t \tb\n", "line 1: the relation is empty"),
        (b"a\tr\tb\na\tr\t\xe9\n", "line 2: not valid UTF-8 .*save the file as UTF-8"),
        ("a\tr\tb\n".encode("utf-16"), "line 1: not valid UTF-8"),
        (b"a\tr\t\0\n", "line 1: this is no text, but binary data"),
    ],
)
@pytest.mark.parametrize("suffix", [".tsv", ".tsv.gz"])
def test_read_table_refuses(tmp_path, suffix, content, message):
    with pytest.raises(ValueError, match=f"bad{suffix}', {message}"):
        read(tmp_path, f"bad{suffix}", content)


def test_read_table_other_files(tmp_path):
    with pytest.raises(ValueError, match=r"a\.xlsx' is no table, expected one of .*'\.csv'"):
        read(tmp_path, "a.xlsx", "")
    with pytest.raises(ValueError, match="There is no file '.*nowhere.tsv'"):
        list(read_table(str(tmp_path / "nowhere.tsv"), COLUMNS))
    assert read(tmp_path, "a.tsv", "") == []


def test_parquet_needs_pyarrow(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ValueError, match=r"a\.parquet' .*needs 'pip install pyarrow'"):
        read(tmp_path, "a.parquet", "")


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
    with pytest.raises(ValueError, match=r"a\.parquet' cannot be read .*invalid continuation|end"):
        list(read_table(path, COLUMNS))
    with pytest.raises(ValueError, match="cannot be read as a Parquet file"):
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
