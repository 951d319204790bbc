import dataclasses
import json

import pytest

from torch_imf.answers import Answers, Completion, Explanation, Fact, Facts, Rank, Support
from torch_imf.answers.results import write_table
from torch_imf.io.tables import Column, read_table


def test_answers():
    one = Completion(7, "Rome", "Q220", 0.5, True, {}, {}, {"text": 0.5}, 0.25)
    two = Completion(8, "San Marino", "Q238", -12.0, False, {}, {}, {"text": -12.0}, 0.0)
    assert str(Answers([one, two], ("Italy", "capital", "?"))).split("\n") == [
        "Italy  capital  ?",
        "     answer             probability    score  of text",
        "  1  Rome        known       25.0 %    0.500    0.500",
        "  2  San Marino             < 0.1 %  -12.000  -12.000",
    ]
    lacks = Completion(9, "Bari", "Q3519", 0.5, False, {}, {}, {"text": 0.1}, lacks=("text",))
    assert str(Answers([lacks])).endswith("  1  Bari    0.500     none")
    # Of many views, those that say most have columns:
    parts = {"a": 0.25, "b": -4.0, "c": 0.5, "d": 8.0, "e": 0.125, "f": 2.0}
    many = str(Answers([dataclasses.replace(one, parts=parts)])).split("\n")
    assert many[1].endswith("score    of b   of c   of d   of f  of others")
    assert many[2].endswith("0.500  -4.000  0.500  8.000  2.000      0.375")
    assert str(Answers([], ("a", "b\x1b", "?"))) == "a  b\\x1b  ?\n  no answer is left"
    assert "Bari\\u202e" in str(Answers([dataclasses.replace(lacks, name="Bari\u202e")]))


def test_facts():
    fact = Fact(0, 0, 1, "Rome", "capital_of", "Italy", 4.5, 0.75, 0.9, "Q220", "P1376", "Q38")
    assert str(Facts([fact])).split("\n") == [
        "     head  relation    tail   probability  score",
        "  1  Rome  capital_of  Italy       75.0 %  4.500",
    ]
    assert str(Facts()) == "No fact is missing"


def test_explanation():
    out = Explanation(
        fact=("Rome", "capital_of", "Italy"),
        split="test",
        score=0.5,
        probability=0.25,
        rank=Rank(1.0, 2.5),
        views={"text": Rank(3.0, 4.0)},
        weights={"text": 1.0},
        without={"visual": Rank(12.0, 1.0)},
        neighbors=[Support("Paris", "capital_of", "France", 0.987)],
        paths=[("Rome", "in", "Lazio", "part_of", "Italy")],
    )
    assert str(out).split("\n") == [
        "Rome  capital_of  Italy  (a fact of 'test')",
        "score 0.500, probability 25.0 %",
        "",
        "                  rank of tail  of head  weight",
        "  all views                  1      2.5",
        "  text alone                 3        4    1.00",
        "  without visual            12        1",
        "",
        "Nearest training facts of the relation:",
        "  0.99  Paris  capital_of  France",
        "",
        "Paths along training facts:",
        "  Rome  in  Lazio  part_of  Italy",
    ]


def test_write_tsv(tmp_path):
    path = tmp_path / "new" / "a.tsv"
    assert write_table(path, [["a", "b c"], ["a\tb", "c\r\nd"], [1, "\u2028\u00e9"]]) == 2
    assert path.read_bytes() == "a\tb c\na b\tc  d\n1\t\u2028\u00e9\n".encode()
    with pytest.raises(ValueError, match="cannot be written, it is a folder"):
        write_table(tmp_path, iter(lambda: exit(3), None))


@pytest.mark.parametrize(
    "suffix", ["tsv", "csv", "csv.gz", "tab.gz", "json", "jsonl", "jsonl.gz", "parquet", "xlsx"]
)
def test_write_table(tmp_path, suffix):
    # What is written is of its format, and read again by others:
    import pandas as pd

    path, rows = tmp_path / f"a.{suffix}", [['x, "y"\u00e9', 0.25, None], ["-3.5", -7.0, "z"]]
    assert write_table(path, [["head", "score", "error"], *rows]) == 2
    reader = {"parquet": pd.read_parquet, "xlsx": pd.read_excel, "json": pd.read_json}
    options = {"dtype": {"head": str}} if suffix[:3] in ("tsv", "tab", "csv", "xls", "jso") else {}
    if suffix.startswith("jsonl"):
        frame = pd.read_json(path, lines=True, **options)
    elif suffix in reader:
        frame = reader[suffix](path, **options)
    else:
        frame = pd.read_csv(path, sep="," if suffix[0] == "c" else "\t", quoting=0, **options)
    assert list(frame.columns) == ["head", "score", "error"]
    head = ['x, "y"\u00e9', "-3.5"]
    assert list(frame["head"]) == head and list(frame["score"]) == [0.25, -7.0]
    assert pd.isna(frame["error"][0]) and frame["error"][1] == "z"


@pytest.mark.parametrize("suffix", ["csv", "xlsx"])
def test_formulas(tmp_path, suffix):
    # They are texts in a spreadsheet, while numbers stay numbers; other formats are exact:
    names = ["=HYPERLINK(1)", "+cmd", "@SUM(A1)", "-1+2", "\t=1", "a=b", "-12"]
    for ending in (suffix, "tsv", "json"):
        write_table(tmp_path / f"a.{ending}", [["name", "score"], *([x, -1.5] for x in names)])
    read = {"csv": list(tables(tmp_path / "a.csv")), "xlsx": list(tables(tmp_path / "a.xlsx"))}
    expected = [f"'{x}" for x in names[:5]]
    assert [x[0].strip() for x in read[suffix]] == [*expected, "a=b", "-12"]
    assert {float(x[1]) for x in read[suffix]} == {-1.5}
    assert [x["name"] for x in json.loads((tmp_path / "a.json").read_text())] == names
    assert (tmp_path / "a.tsv").read_text().splitlines()[1] == "=HYPERLINK(1)\t-1.5"


def tables(path):
    columns = [Column(name, (name,)) for name in ("name", "score")]
    return (row for _, row in read_table(str(path), columns)) if path.exists() else ()


def test_bad_tables(tmp_path, monkeypatch):
    for name in ("a.doc", "a.parquet.gz", "a.xlsx.gz", "a.xls"):
        with pytest.raises(ValueError, match="is no table, end its name in one of .tsv"):
            write_table(tmp_path / name, iter(lambda: exit(3), None))
    monkeypatch.setattr("torch_imf.io.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"'openpyxl', run 'pip install \"torch_imf\["):
        write_table(tmp_path / "a.xlsx", iter(lambda: exit(3), None))
    assert list(tmp_path.iterdir()) == []
