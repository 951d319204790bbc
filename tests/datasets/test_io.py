import io
import os
import tarfile

import pytest
import torch

from torch_imf.datasets.io import (
    index_triples,
    read_literals,
    read_pairs,
    read_tar,
    read_text,
    split_rows,
)


def test_read_text(tmp_path):
    path = str(tmp_path / "a.txt")
    open(path, "wb").write("\ufeffé\r\nb\n".encode())
    assert read_text(path) == "é\nb\n"
    open(path, "wb").write(b"a\nb\n\xff\n")
    with pytest.raises(ValueError, match="a.txt', line 3: not valid UTF-8"):
        read_text(path)


def test_read_tar(tmp_path):
    path = str(tmp_path / "a.tar.gz")
    with tarfile.open(path, "w:gz") as archive:
        for name in ["train.txt", "../escape.txt", "./test.txt"]:
            info = tarfile.TarInfo(name)
            info.size = 4
            archive.addfile(info, io.BytesIO(b"a\r\nb"))
        link = tarfile.TarInfo("valid.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)

    assert read_tar(path, ["test.txt", "train.txt"]) == ["a\nb", "a\nb"]
    assert os.listdir(tmp_path) == ["a.tar.gz"]
    with pytest.raises(ValueError, match=r"a.tar.gz' holds no \['valid.txt'\]"):
        read_tar(path, ["train.txt", "valid.txt"])


def test_split_rows():
    assert split_rows("", "f", columns=2) == []
    assert split_rows("a\tb\nc\t\n\n", "f", columns=2) == [["a", "b"], ["c", ""]]
    assert split_rows("x\ty\na\tb", "f", columns=2, header=True) == [["a", "b"]]
    with pytest.raises(ValueError, match=r"'f', line 2: expected 2 fields .* \(got \['c'\]\)"):
        split_rows("a\tb\nc\nd\te", "f", columns=2)
    with pytest.raises(ValueError, match="'f', line 1: expected 3 fields"):
        split_rows("a b c\n", "f", columns=3)
    with pytest.raises(ValueError) as error:
        split_rows("a" * 1000, "f", columns=3)
    assert len(str(error.value)) < 200


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


def test_read_pairs(tmp_path):
    (tmp_path / "a.txt").write_text("a\tA b\nb\tB\n")
    assert read_pairs(str(tmp_path / "a.txt")) == {"a": "A b", "b": "B"}


@pytest.mark.parametrize("value", ["tall", "nan", "inf", ""])
def test_read_literals(tmp_path, value):
    path = tmp_path / "a.txt"
    path.write_text("a\theight\t1.5\nb\theight\t2\n")
    assert read_literals(str(path)) == (["a", "b"], ["height", "height"], [1.5, 2.0])
    path.write_text(f"a\theight\t1.5\nb\theight\t{value}\n")
    with pytest.raises(ValueError, match=f"a.txt', line 2: expected a number .got '{value}'"):
        read_literals(str(path))
