import pytest

from torch_imf.answers import Answers, Completion, Explanation, Fact, Facts, Rank, Support
from torch_imf.answers.results import write_tsv


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
    assert str(Answers([], ("a", "b", "?"))) == "a  b  ?\n  no answer is left"


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
    assert write_tsv(path, [["a", "b c"], ["a\tb", "c\r\nd"], [1, "\u2028\u00e9"]]) == 2
    assert path.read_bytes() == "a\tb c\na b\tc  d\n1\t\u2028\u00e9\n".encode()
    with pytest.raises(ValueError, match="cannot be written, it is a folder"):
        write_tsv(tmp_path, iter(lambda: exit(3), None))
