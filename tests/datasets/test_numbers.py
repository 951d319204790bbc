import pytest
import torch

from torch_imf.data import NameIndex
from torch_imf.datasets import MultimodalKG
from torch_imf.datasets.own import read_numbers

INDEX = NameIndex([f"n{i}" for i in range(12)])


def read(tmp_path, text, name="a.csv", **kwargs):
    (tmp_path / name).write_text(text)
    (nodes, attributes, values), _ = read_numbers(str(tmp_path / name), INDEX, **kwargs)
    return list(zip(nodes, attributes, values, strict=True))


WIDE = [("n3", "height", 8.0), ("n3", "built", 1889.0), ("n7", "height", 2.5)]
LONG = [("n3", "height", 8.0), ("n3", "built", 1889.0), ("n7", "height", 2.5)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("header", [None, True])
@pytest.mark.parametrize(
    "text",
    [
        "entity,height,built\nn3,8,1889\nn7,2.5,\n",
        "tower,height,built\nn3,8,1889-00-00\nn7,2.5,NA\n",  # A word of one's own.
        "place,tower,height,built\nParis,n3,8,1889\nRome,n7,2.5,null\n",  # Not the first column.
        "height,built,tower\n8 m,1889,n3\n2.5 m,-,n7\n",
        '"",height,built\nn3,8,1889\nn7,2.5,n/a\n',  # As pandas writes an index.
    ],
)
def test_wide_tables(tmp_path, text, header):
    assert sorted(read(tmp_path, text, header=header)) == sorted(WIDE)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "text",
    [
        "entity,attribute,value\nn3,height,8\nn3,built,1889\nn7,height,2.5\n",
        "n3,height,8\nn3,built,1889\nn7,height,2.5\nn7,built,\n",
        "Entität;Attribut;Wert\nn3;height;8\nn3;built;1889\nn7;height;2,5\n",
        "tower,what,how much\nn3,height,8\nn3,built,1889\nn7,height,2.5\n",
        "id,key,number,unit\nn3,height,8,m\nn3,built,1889,\nn7,height,2.5,m\nn7,built,NaN,m\n",
        "n3,height,8,m\nn3,built,1889,\nn7,height,2.5,m\n",
        '{"entity": "n3", "key": "height", "number": 8}\n'
        '{"entity": "n3", "key": "built", "number": "1889", "unit": ""}\n'
        '{"entity": "n7", "key": "height", "number": "2.5"}',
    ],
)
def test_long_tables(tmp_path, text):
    assert read(tmp_path, text, "a.jsonl" if text.startswith("{") else "a.csv") == LONG


@pytest.mark.filterwarnings("ignore")
def test_attributes_that_are_numbers(tmp_path):
    codes = "n3,1,8\nn3,2,1889\nn7,1,2.5\n"
    assert read(tmp_path, codes) == [("n3", "1", 8.0), ("n3", "2", 1889.0), ("n7", "1", 2.5)]
    years = "entity,2010,2020\nn3,7,8\nn7,3,2\n"
    assert read(tmp_path, years)[:2] == [("n3", "2010", 7.0), ("n3", "2020", 8.0)]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "text, expected",
    [
        (
            "place,node,score\n1,4,.5\n2,3,1.5\n3,2,2.5\n",
            [("4", "place", 1.0), ("4", "score", 0.5)],
        ),
        (",id,age\n0,4,50\n1,3,51\n2,2,52\n", [("4", "age", 50.0), ("3", "age", 51.0)]),
        ("uri,floors\n4,1\n3,2\n12,3\n13,4\n", [("4", "floors", 1.0), ("3", "floors", 2.0)]),
        ("id,street,age\n4,1 Oak Way,9\n3,2 Elm Row,8\n2,9 Hill,7\n", [("4", "age", 9.0)]),
    ],
)
def test_entities_that_are_numbers(tmp_path, text, expected):
    (tmp_path / "a.csv").write_text(text)
    index = NameIndex([str(i) for i in range(12)])
    found, _ = read_numbers(str(tmp_path / "a.csv"), index, strict=False)
    assert list(zip(*found, strict=True))[: len(expected)] == expected
    (tmp_path / "a.csv").write_text("place,tower,age\n1,4,50\n2,3,51\n")
    with pytest.raises(ValueError, match="any of .'place', 'tower'. may be the column of entities"):
        read_numbers(str(tmp_path / "a.csv"), index)


def test_wide_tables_of_other_formats(tmp_path):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"tower": ["n3", "n7"], "height": [8.0, 2.5], "built": [1889, None]})
    frame.to_parquet(tmp_path / "a.parquet")
    with pytest.warns(UserWarning, match="each attribute has a column .'height', 'built'"):
        (nodes, attributes, values), _ = read_numbers(str(tmp_path / "a.parquet"), INDEX)
    assert sorted(zip(nodes, attributes, values, strict=True)) == sorted(WIDE)


@pytest.mark.parametrize(
    "text, message",
    [
        ("n3,8,1889\nn7,2.5,1900\n", "line 1: expected entity, .* 'entity, year, runtime'"),
        ("n3,8\nn7,2.5\n", "line 1: expected entity, attribute and value, or a header"),
        ("tower,town,built\nn3,Paris,1889\nn7,Rome,80\n", "line 1: .* may be the header of"),
        ("tower,built,built\nn3,1,1889\nn7,1,80\n", "line 1: .* a name of its own"),
        ("entity,born,w\nn3,25/05/1979,1\nn7,1/2/1980,2\n", "leave out those of none .*'born'"),
        ("n3,height,8 m\nn7,height,30 ft\n", "a.csv': The numbers of 'height' have several units"),
    ],
)
@pytest.mark.parametrize("strict", [True, False])
def test_what_cannot_be_told(tmp_path, text, message, strict):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, text, strict=strict)


def test_a_first_row_that_is_wrong_is_no_header(tmp_path):
    for first in ("n4,height,tall", "x,height,tall"):  # Of an entity, of an attribute.
        with pytest.raises(ValueError, match=r"line 1: (the entity 'x'|expected a number)"):
            read(tmp_path, f"{first}\nn3,height,8\nn3,built,1889\nn7,height,2.5\n")


def test_all_that_is_wrong_is_told(tmp_path):
    rows = [f"n{i},isbn,{i}-19-85{i}" for i in range(12)]
    with pytest.raises(ValueError) as error:
        read(tmp_path, "\n".join(["n0,height,1", *rows]))
    message = str(error.value)
    assert "a.csv', line 2: expected a number or a date, as 1952-03-11 (got '0-19-850')" in message
    assert (
        "(11 more: '1-19-851' in line 3, " in message and "'9-19-859' in line 11, ...)" in message
    )
    assert message.endswith("pass 'strict=False' to leave such rows out")
    with pytest.warns(UserWarning, match=r"line 2: .* \(11 more: .*\): left out"):
        assert len(read(tmp_path, "\n".join(["n0,height,1", *rows]), strict=False)) == 1


@pytest.mark.parametrize("name", ["texts.tsv", "texts.jsonl", "texts.parquet"])
def test_all_entities_that_are_unknown_are_told(tmp_path, name):
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame({"entity": [f"N{i}" for i in range(14)], "text": ["A text"] * 14})
    if name.endswith("tsv"):
        frame.to_csv(tmp_path / name, sep="\t", index=False)
    elif name.endswith("jsonl"):
        frame.to_json(tmp_path / name, orient="records", lines=True)
    else:
        frame.to_parquet(tmp_path / name)
    facts = [f"n{i}\tnext to\tn{(i + step) % 12}" for i in range(12) for step in (1, 2, 3)]
    (tmp_path / "facts.tsv").write_text("\n".join(facts))
    with pytest.raises(ValueError) as error:
        MultimodalKG.from_files(tmp_path / "facts.tsv", tmp_path / name)
    message = str(error.value)
    assert (
        "the entity 'N0' is in no fact, or its name is that of several (13 more: 'N1' in" in message
    )
    assert (
        message.count("'N") == 10 and "header" not in message
    )  # There is one, or needs to be none.


def test_numbers_of_a_wide_table_are_features(tmp_path):
    facts = [f"n{i}\tnext to\tn{(i + step) % 12}" for i in range(12) for step in (1, 2, 3)]
    (tmp_path / "facts.tsv").write_text("\n".join(facts))
    rows = [f"n{i},{i + 90} min,{i * 1000 + 1234:,}" for i in range(12)]
    quoted = [",".join([*row.split(",")[:2], f'"{",".join(row.split(",")[2:])}"']) for row in rows]
    (tmp_path / "numbers.csv").write_text("\n".join(["film,runtime,votes", *quoted]))
    for _ in range(2):  # Also if it is read again.
        dataset = MultimodalKG.from_folder(tmp_path, root=str(tmp_path / "root"))
        assert dataset[0].x_numeric.shape == (12, 4)
        notes = "\n".join(dataset.report().notes)
        for note in ("('runtime', 'votes')", "'runtime min'", "thousands set apart, as in 'votes"):
            assert note in notes
    _, attributes, values = dataset.literals()
    assert attributes == ["runtime", "votes"] * 12
    assert torch.equal(values[1::2].sort()[0], torch.arange(1234.0, 13234.0, 1000).double())
