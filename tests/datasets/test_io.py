import gzip
import io
import math
import os
import tarfile
from uuid import uuid4

import pytest

from torch_imf.datasets.io import (
    read_links,
    read_literals,
    read_pairs,
    read_tar,
    read_text,
    short,
    split_rows,
    to_number,
)
from torch_imf.io.atomic import replacing


def write(path, content):
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(path)


def write_tar(path, members, mode="w:gz"):
    with tarfile.open(path, mode) as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return str(path)


def test_read_text(tmp_path):
    path = write(tmp_path / "a.txt", "\ufeffé\r\nb\n")
    assert read_text(path) == "é\nb\n"
    write(tmp_path / "a.txt", b"a\nb\n\xff\n")
    with pytest.raises(ValueError, match="a.txt', line 3: not valid UTF-8"):
        read_text(path)


@pytest.mark.parametrize("scheme", ["", "memory://"])
def test_read_text_unpacks(tmp_path, scheme):
    path = f"{scheme or tmp_path}/{uuid4().hex}.gz"
    content = gzip.compress("é\r\nb\n".encode() * 1000)
    for damaged in [None, content[:-9], content[: len(content) // 2], content[:-8] + bytes(8)]:
        with replacing(path) as file:
            file.write(content if damaged is None else damaged)
        if damaged is None:
            assert read_text(path) == "é\nb\n" * 1000
        else:
            with pytest.raises(ValueError, match=r"\.gz' is damaged, please fetch it anew \("):
                read_text(path)
    for other in [b"no archive at all", content + b"more", b"\x1f\x8b\x08\x00garbage!!!"]:
        with replacing(path) as file:
            file.write(other)
        with pytest.raises(ValueError, match=r"\.gz' is damaged, please fetch it anew \("):
            read_text(path)

    with replacing(path) as file:
        file.write(gzip.compress(b"a\n\xff"))
    with pytest.raises(ValueError, match=r"\.gz', line 2: not valid UTF-8"):
        read_text(path)


def test_read_tar(tmp_path):
    path = write_tar(
        tmp_path / "a.tar.gz",
        dict.fromkeys(["train.txt", "../escape.txt", "./test.txt"], b"a\r\nb"),
    )
    assert read_tar(path, ["test.txt", "train.txt"]) == ["a\nb", "a\nb"]
    assert read_tar(path, []) == []
    with pytest.raises(ValueError, match=r"a.tar.gz' holds no \['valid.txt'\]"):
        read_tar(path, ["train.txt", "valid.txt"])
    assert os.listdir(tmp_path) == ["a.tar.gz"]


@pytest.mark.parametrize("name", ["../evil", "/tmp/torch_imf_evil", "a/../../evil"])
def test_read_tar_writes_nothing(tmp_path, monkeypatch, name):
    (tmp_path / "a" / "b").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "a" / "b")
    path = write_tar(tmp_path / "a" / "b" / "a.tar", {name: b"evil", "train.txt": b"a"}, "w")
    assert read_tar(path, ["train.txt"]) == ["a"]
    assert read_tar(path, [name]) == ["evil"]  # In memory, if somebody asks for it.
    assert [os.path.basename(x) for _, _, files in os.walk(tmp_path) for x in files] == ["a.tar"]
    assert not os.path.exists("/tmp/torch_imf_evil")


def test_read_tar_follows_no_links(tmp_path):
    path = str(tmp_path / "a.tar")
    with tarfile.open(path, "w") as archive:
        for name, kind in [("train.txt", tarfile.SYMTYPE), ("valid.txt", tarfile.LNKTYPE)]:
            link = tarfile.TarInfo(name)
            link.type, link.linkname = kind, "/etc/passwd"
            archive.addfile(link)
        folder = tarfile.TarInfo("test.txt")
        folder.type = tarfile.DIRTYPE
        archive.addfile(folder)
    for name in ["train.txt", "valid.txt", "test.txt"]:
        with pytest.raises(ValueError, match=f"a.tar' holds no .'{name}'"):
            read_tar(path, [name])


def test_read_tar_damaged(tmp_path):
    path = write_tar(tmp_path / "a.tar.gz", {"train.txt": os.urandom(5000), "test.txt": b"a"})
    content = open(path, "rb").read()
    for damaged in [content[:2000], content[:-200], b"no archive at all", b""]:
        write(tmp_path / "a.tar.gz", damaged)
        with pytest.raises(ValueError, match="a.tar.gz' is damaged, please fetch it anew"):
            read_tar(path, ["test.txt"])

    write_tar(tmp_path / "a.tar.gz", {"train.txt": b"a\n\xff"})
    with pytest.raises(ValueError, match="a.tar.gz:train.txt', line 2: not valid UTF-8"):
        read_tar(path, ["train.txt"])


def test_split_rows():
    assert split_rows("", "f", columns=2) == []
    assert split_rows("a\tb\nc\t\n\n", "f", columns=2) == [["a", "b"], ["c", ""]]
    assert split_rows("x\ty\na\tb", "f", columns=2, header=True) == [["a", "b"]]
    assert split_rows("a b c\n", "f", columns=3, sep=" ") == [["a", "b", "c"]]
    with pytest.raises(ValueError, match=r"'f', line 2: expected 2 fields .* \(got \['c'\]\)"):
        split_rows("a\tb\nc\nd\te", "f", columns=2)
    with pytest.raises(ValueError, match="'f', line 2: expected 2 fields separated by tabs"):
        split_rows("a\tb\n\nd\te", "f", columns=2)  # An empty line in between.
    with pytest.raises(ValueError, match="'f', line 1: expected 3 fields separated by tabs"):
        split_rows("a b c\n", "f", columns=3)
    with pytest.raises(ValueError, match="'f', line 1: expected 2 fields separated by ' '"):
        split_rows("a b c\n", "f", columns=2, sep=" ")
    with pytest.raises(ValueError) as error:
        split_rows("a" * 1000, "f", columns=3)
    assert len(str(error.value)) < 200


def test_read_pairs(tmp_path):
    path = write(tmp_path / "a.txt", "a\tA b\nb\tB\n")
    assert read_pairs(path) == {"a": "A b", "b": "B"}
    write(tmp_path / "a.txt", "a\tA\nb\n")
    with pytest.raises(ValueError, match="a.txt', line 2: expected 2 fields"):
        read_pairs(path)


def test_read_links(tmp_path):
    path = write(tmp_path / "a.txt", "/m/06 <SameAs> <http://a/Paris> .\n/m/07 <SameAs> <b> .\n")
    assert read_links(path) == [("<http://a/Paris>", "/m/06"), ("<b>", "/m/07")]
    write(tmp_path / "a.txt", "/m/06 <SameAs> <a> .\n/m/07 <SameAs> <b>\n")
    with pytest.raises(ValueError, match="a.txt', line 2: expected 4 fields separated by ' '"):
        read_links(path)


def test_read_literals(tmp_path):
    path = write(tmp_path / "a.txt", "a\theight\t1.5\nb\theight\t2\nb\tborn\t-43-07-12\n")
    nodes, attributes, values = read_literals(path)
    assert nodes == ["a", "b", "b"]
    assert attributes == ["height", "height", "born"]
    assert values == [1.5, 2.0, pytest.approx(-42.5 + 11 / 365)]
    write(tmp_path / "a.txt", "e a v\na height 1.5\n")
    assert read_literals(path, sep=" ", header=True) == (["a"], ["height"], [1.5])
    write(tmp_path / "a.txt", "")
    assert read_literals(path) == ([], [], [])


@pytest.mark.parametrize("value", ["tall", "nan", "inf", "-inf", "", "1999-07", "1.5 m", "1e999"])
@pytest.mark.parametrize("header", [False, True])
def test_read_literals_bad_values(tmp_path, value, header):
    path = write(tmp_path / "a.txt", f"a\theight\t1.5\nb\theight\t{value}\n")
    with pytest.raises(ValueError, match=f"a.txt', line 2: expected a number .* .got '{value}'"):
        read_literals(path, header=header)
    write(tmp_path / "a.txt", "a\theight\t1.5\nb\t1\n")
    with pytest.raises(ValueError, match="a.txt', line 2: expected 3 fields"):
        read_literals(path, header=header)


@pytest.mark.parametrize(
    "text, value",
    [
        ("1.5", 1.5),
        ("-3e2", -300.0),
        ("+7", 7.0),
        ("1961-08-04", 1961 + 7 / 12 + 3 / 365),
        ("1961-8-4", 1961 + 7 / 12 + 3 / 365),
        ("1961-01-01", 1961.0),
        ("1961-00-00", 1961.0),  # Parts that are not known.
        ("0800-12-25", 800 + 11 / 12 + 24 / 365),
        ("-63-9-23", -63 + 8 / 12 + 22 / 365),  # Later in the year is later.
        ("-0063-09-23", -63 + 8 / 12 + 22 / 365),
    ],
)
def test_to_number(text, value):
    assert to_number(text) == pytest.approx(value, abs=1e-9)


def test_dates_are_in_order():
    dates = ["-63-1-1", "-63-12-31", "-62-1-1", "-1-12-31", "1-1-1", "1960-12-31", "1961-1-1"]
    years = [to_number(date) for date in dates]
    assert years == sorted(years)
    assert len(set(years)) == len(years)
    assert math.isnan(to_number("soon")) and math.isnan(to_number("1961-08-04T00:00"))


def test_short():
    assert short("a") == "'a'"
    assert short(["a", 1]) == "['a', 1]"
    assert len(short("a" * 100)) == 80 and short("a" * 100).endswith("aaa...")
