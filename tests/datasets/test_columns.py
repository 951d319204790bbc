import pytest

from torch_imf.datasets.columns import Column, find_header, simplify
from torch_imf.datasets.tables import read_table

COLUMNS = (
    Column("head", ("head", "entity 1", "h")),
    Column("relation", ("relation", "r")),
    Column("tail", ("tail", "entity 2", "t")),
)


def test_simplify():
    assert [simplify(x) for x in ("Head_ID", "# head id", " Été ", " + ", "")] == [
        *("headid", "headid", "été", "+", "")
    ]


def test_find_header():
    assert find_header("a.tsv", ["Entity-2", "x", "h", "R"], COLUMNS[:1], False) is None
    with pytest.warns(UserWarning, match=r"the columns \['x'\] are left out"):
        assert find_header("a.tsv", ["Entity-2", "x", "h", "R"], COLUMNS, None) == [2, 3, 0]
    assert find_header("a.tsv", ["h", "r", "h"], COLUMNS, None) is None
    with pytest.raises(ValueError, match="line 1: the header lacks the relation"):
        find_header("a.tsv", ["head", "entity1", "tail"], COLUMNS, None)


def test_a_header_of_some_words_is_told(tmp_path, recwarn):
    path = tmp_path / "a.tsv"
    path.write_text("node\trelation\tother\na\tr\tb\n")
    with pytest.warns(UserWarning, match=r"line 1: \['node', .* are taken for data, .*'relation'"):
        assert len(list(read_table(str(path), COLUMNS))) == 2
    with pytest.warns(UserWarning, match="read as head, relation, tail, in this order"):
        assert len(list(read_table(str(path), COLUMNS, header=True))) == 1
    recwarn.clear()
    assert len(list(read_table(str(path), COLUMNS, header=False))) == 2
    path.write_text("a\tr\tb\n")  # Letters say nothing.
    assert len(list(read_table(str(path), COLUMNS))) == 1
    assert len(recwarn) == 0


def test_only_columns_that_are_read_need_to_be_there_once(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("head,relation,tail,,\na,r,b,,\n")  # As Excel saves empty columns.
    with pytest.warns(UserWarning, match=r"the columns \['', ''\] are left out"):
        assert list(read_table(str(path), COLUMNS)) == [(2, ["a", "r", "b"])]
    path.write_text("head,relation,tail,tail\na,r,b,c\n")
    with pytest.raises(ValueError, match="line 1: the header has 'tail' twice"):
        list(read_table(str(path), COLUMNS))
