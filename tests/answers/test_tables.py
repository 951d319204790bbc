from torch_imf.answers.tables import format_table, percent, tsv_line


def test_format_table():
    rows = [["", "name", "note", "score"], ["1", "a", "", "0.5"], ["10", "long", "", "-12.0"]]
    assert format_table(rows, left=(1,)).split("\n") == [
        "      name  score",
        "   1  a       0.5",
        "  10  long  -12.0",
    ]


def test_percent():
    assert [percent(x) for x in (None, 0.0, 0.5, 1.0)] == ["", "< 0.1 %", "50.0 %", "100.0 %"]


def test_tsv_line():
    assert tsv_line(["a", "b c", ""]) == b"a\tb c\t\n"
    assert tsv_line(["a\tb", "c\r\nd", "\u2028\u00e9"]) == "a b\tc  d\t\u2028\u00e9\n".encode()
