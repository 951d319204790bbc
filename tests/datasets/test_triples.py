import gzip
import time

import pytest
import torch

from torch_imf.datasets import triples as module
from torch_imf.datasets.triples import (
    IMF,
    OPENKE,
    index_triples,
    number_lines,
    number_triples,
    read_id_triples,
    read_ids,
    read_name_triples,
    read_named,
    read_openke,
)

NODES, RELS = {"a": 0, "b": 1, "c": 2}, {"r": 0, "s": 1}


def write(path, text):
    path.write_text(text, encoding="utf-8", newline="")
    return str(path)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "a.txt"


@pytest.mark.parametrize("count", ["", "3\n", " 3 \r\n"])
@pytest.mark.parametrize("sep", ["\t", " ", "\t \t"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_read_ids(path, count, sep, end):
    rows = [f"b c{sep}1", f"<http://d/é>{sep}0", f"/m/1{sep}2"]  # Out of order.
    write(path, count + end.join(rows) + end)
    assert read_ids(str(path)) == ["<http://d/é>", "b c", "/m/1"]


@pytest.mark.parametrize(
    "text, message",
    [
        ("a\t0\nb\n", r"a.txt', line 2: expected a name and an id \(got 'b'\)"),
        ("2\na\t0\nb\tone\n", r"a.txt', line 3: expected a name and an id \(got 'b\\tone'\)"),
        ("a\t0\nb\t-1\n", "line 2: expected a name and an id"),
        ("a\t0\nb\t1.0\n", "line 2: expected a name and an id"),
        ("a\t0\nb\t²\n", "line 2: expected a name and an id"),
        ("a\t0\n\nb\t1\n", "line 2: expected a name and an id"),
        ("", "line 1: expected a name and an id"),
        ("3\na\t0\nb\t1\n", "a.txt' holds 2 lines rather than the 3 it announces"),
        ("1\na\t0\nb\t1\n", "a.txt' holds 2 lines rather than the 1 it announces"),
        ("a\t0\nb\t2\n", "a.txt': no name has the id 1, but 2 have one"),
        ("2\na\t1\nb\t2\n", "a.txt': no name has the id 0, but 2 have one"),
        ("a\t0\nb\t1\nc\t1\n", "a.txt', line 3: the id 1 is taken"),
        ("3\na\t0\nb\t1\nc\t01\n", "a.txt', line 4: the id 01 is taken"),
        ("a\t0\nb\t1\nb\t2\n", "a.txt': the name 'b' occurs twice"),
    ],
)
def test_read_ids_malformed(path, text, message):
    with pytest.raises(ValueError, match=message):
        read_ids(write(path, text))


def test_read_ids_finds_duplicates_soon(path):
    write(path, "".join(f"{i % 30_000}\t{i}\n" for i in range(30_001)))
    start = time.perf_counter()
    with pytest.raises(ValueError, match="the name '0' occurs twice"):
        read_ids(str(path))
    assert time.perf_counter() - start < 0.5


@pytest.mark.parametrize("sep", ["\t", " "])
def test_read_id_triples(path, sep):
    write(path, sep.join("010") + "\r\n" + sep.join("211") + "\n")
    triples = read_id_triples(str(path))
    assert triples.tolist() == [[0, 2], [0, 1], [1, 1]]  # Head, relation and tail.
    assert triples.dtype == torch.long and triples.is_contiguous()
    write(path, f"2\n{path.read_text()}")
    assert torch.equal(read_id_triples(str(path)), triples)
    assert read_id_triples(write(path, "0\n")).size() == (3, 0)


@pytest.mark.parametrize(
    "text, message",
    [
        ("2\n0 1 0\n0 1\n", r"a.txt', line 3: expected the ids of head, tail and .* \(got '0 1'\)"),
        ("0 1 0\n0 1 0 1\n", "a.txt', line 2: expected the ids of head, tail and relation"),
        ("1\n0 1 r\n", "a.txt', line 2: expected the ids .*'0 1 r'"),
        ("1\n0 1 ²\n", "a.txt', line 2: expected the ids .*'0 1 ²'"),
        ("1\n0 1 0.5\n", "a.txt', line 2: expected the ids"),
        ("0 1 0\n\n0 1 0\n", "a.txt', line 2: expected the ids"),
        ("3\n0 1 0\n0 1 0\n", "a.txt' holds 2 lines rather than the 3 it announces"),
        ("1\n0 1 0\n0 1 0\n", "a.txt' holds 2 lines rather than the 1 it announces"),
        ("", "a.txt', line 1: expected the ids"),
    ],
)
def test_read_id_triples_malformed(path, text, message):
    with pytest.raises(ValueError, match=message):
        read_id_triples(write(path, text))


@pytest.mark.parametrize("end", ["\n", "\r\n", " .\n"])
def test_read_name_triples(path, end):
    write(path, f"a\tr\tb{end}c s a{end}")
    triples = read_name_triples(str(path), NODES, RELS)
    assert triples.tolist() == [[0, 2], [0, 1], [1, 0]]
    write(path, f"a b r{end}c a s{end}")
    assert torch.equal(read_name_triples(str(path), NODES, RELS, order=(0, 2, 1)), triples)


def test_read_name_triples_unpacks(tmp_path):
    path = tmp_path / "train.txt.gz"
    path.write_bytes(gzip.compress(b"a r b\n" * 1000))
    assert read_name_triples(str(path), NODES, RELS).size() == (3, 1000)
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(ValueError, match="train.txt.gz' is damaged, please fetch it anew"):
        read_name_triples(str(path), NODES, RELS)


@pytest.mark.parametrize(
    "text, message",
    [
        ("a r b\na r\n", r"a.txt', line 2: expected head, relation and tail \(got 'a r'\)"),
        ("a r b c\n", "a.txt', line 1: expected head, relation and tail"),
        ("a r b\n\na r b\n", "a.txt', line 2: expected head, relation and tail"),
        ("", "a.txt', line 1: expected head, relation and tail"),
        ("a r b\nd r b\n", "a.txt', line 2: unknown entity 'd'"),
        ("a r b\na r d\n", "a.txt', line 2: unknown entity 'd'"),
        ("a r b\na t b\n", "a.txt', line 2: unknown relation 't'"),
    ],
)
def test_read_name_triples_malformed(path, text, message):
    with pytest.raises(ValueError, match=message):
        read_name_triples(write(path, text), NODES, RELS)


def test_index_triples():
    nodes, rels = {"a": 0, "b": 1}, {"r": 0, "s": 1}
    triples = index_triples([["a", "s", "b"], ["b", "r", "b"]], nodes, rels, "f")
    assert triples.tolist() == [[0, 1], [1, 0], [1, 1]]
    assert index_triples([], nodes, rels, "f").size() == (3, 0)
    assert index_triples([], nodes, rels, "f").dtype == torch.long

    with pytest.raises(ValueError, match="'f', line 2: unknown entity 'c'"):
        index_triples([["a", "r", "b"], ["a", "r", "c"]], nodes, rels, "f")
    with pytest.raises(ValueError, match="'f', line 2: unknown relation 't'"):
        index_triples([["a", "t", "b"]], nodes, rels, "f", offset=2)


def test_number_triples():
    nodes: dict[str, int] = {}
    rels: dict[str, int] = {}
    triples = number_triples("b\tr\ta\nb\ts\tc d\n\n", nodes, rels, "f")
    assert triples.tolist() == [[0, 0], [0, 1], [1, 2]]
    assert triples.dtype == torch.long
    assert list(nodes) == ["b", "a", "c d"] and list(rels) == ["r", "s"]
    assert number_triples("a\ts\te\u2028f\n", nodes, rels, "f").tolist() == [[1], [1], [3]]
    assert number_triples("", nodes, rels, "f").size() == (3, 0)
    with pytest.raises(ValueError, match=r"'f', line 2: expected 3 fields .* \(got 'a\\tr'\)"):
        number_triples("a\tr\tb\na\tr\n", nodes, rels, "f")


@pytest.mark.parametrize("block", [1, 50, 2**26])
def test_number_triples_equals_line_by_line(block, monkeypatch):
    monkeypatch.setattr(module, "BLOCK", block)
    names = [
        "",
        "a",
        "é",
        "/m/0abc1",
        "/m/0abc12",
        "/m/0abc13",
        "a b",
        "x" * 8,
        "x" * 9,
        "東京" * 9,
    ]
    fields = [names[i] for i in torch.randint(len(names), (300,)).tolist()]
    lines = ["\t".join(fields[i : i + 3]) for i in range(0, 300, 3)]
    found, expected = ({"a": 0}, {}), ({"a": 0}, {})
    triples = number_triples("\n".join(lines) + "\n\n", *found, "f")
    assert torch.equal(triples, number_lines(lines, *expected, "f"))
    assert [list(x.items()) for x in found] == [list(x.items()) for x in expected]

    lines[70] = "a\tb"
    with pytest.raises(ValueError, match=r"'f', line 71: expected 3 fields .* \(got 'a\\tb'\)"):
        number_triples("\n".join(lines), {}, {}, "f")


SMALL = {  # Of two entities and one relation: a fact for each split.
    "entity2id": "2\na\t0\nb\t1\n",
    "relation2id": "1\nr\t0\n",
    "train2id": "1\n0\t1\t0\n",
    "valid2id": "1\n1\t0\t0\n",
    "test2id": "2\n0\t0\t0\n1\t1\t0\n",
    "train": "a r b .\n",
    "val": "b r a .\n",
    "test": "a r a .\nb r b .\n",
}


@pytest.mark.parametrize("read, files", [(read_openke, OPENKE), (read_named, IMF)])
def test_read_graph(tmp_path, read, files):
    paths = [write(tmp_path / f"{file}.txt", SMALL[file]) for file in files]
    node_ids, rel_ids, splits = read([*paths, "another file"])
    assert node_ids == ["a", "b"]
    assert rel_ids == ["r"]
    assert [split.tolist() for split in splits] == [
        [[0], [0], [1]],
        [[1], [0], [0]],
        [[0, 1], [0, 0], [0, 1]],
    ]

    write(tmp_path / f"{files[2]}.txt", "1\n0 1\n")
    with pytest.raises(ValueError, match=rf"{files[2]}.txt', line [12]: expected"):
        read(paths)
    (tmp_path / "entity2id.txt").unlink()
    with pytest.raises(FileNotFoundError, match="entity2id.txt"):
        read(paths)


def test_read_named_in_another_order(tmp_path):
    paths = []
    for file in IMF:
        text = SMALL[file].replace("r ", "").replace(" .", " r")
        paths.append(write(tmp_path / file, text if "2" not in file else SMALL[file]))
    _, _, splits = read_named(paths, order=(0, 2, 1))
    assert [split.size(1) for split in splits] == [1, 1, 2]
    assert splits[0].tolist() == [[0], [0], [1]]
