import configparser
import hashlib
import itertools
import os
import re
import warnings
from fnmatch import fnmatch
from pathlib import Path

import pytest

from torch_imf import datasets
from torch_imf.datasets.base import CONTENT
from torch_imf.datasets.raw import (
    RawFolder,
    join,
    raw_files,
    read_literals,
    read_release,
    read_table,
    sources,
    tidy,
)
from torch_imf.io.atomic import read_bytes
from torch_imf.io.download import RawFile, mismatch
from torch_imf.registry import class_names


def raw_file(name, url=None):
    """A file that holds its own name."""
    return RawFile(f"Set/{name}", hashlib.sha256(name.encode()).hexdigest(), url)


A, B, C, D = (raw_file(f"source/{name}.txt") for name in "abcd")
GROUPS = {"facts": [[A, B], [A, C]], "text": [[D]], "names": [[D]]}


@pytest.fixture
def mirror(tmp_path, monkeypatch):
    """A folder with all files but for those that a test removes."""
    folder = tmp_path / "mirror"
    for file in (A, B, C, D):
        place(folder / "Set", file)
    monkeypatch.setenv("TORCH_IMF_MIRROR", str(folder))
    return folder


@pytest.fixture
def no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("This was not to be looked for")

    monkeypatch.setattr("torch_imf.io.download.retrieve", refuse)


def place(folder, file, content=None):
    path = folder / file.path
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(file.path.encode() if content is None else content)


def remove(mirror, *files):
    for file in files:
        (mirror / file.name).unlink()


def listing(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def names(paths):
    return [Path(path).stem for path in paths]


def test_raw_folder(tmp_path, mirror):
    root = tmp_path / "raw"
    raw = RawFolder(str(root), GROUPS)
    assert raw.files == [] and raw.may_have("facts") and not raw.may_have("visual")
    assert not root.exists()
    assert raw.fetch("facts") == [str(root / "source" / "a.txt"), str(root / "source" / "b.txt")]
    assert listing(root) == ["source/a.txt", "source/b.txt"]
    assert raw.files == [A, B] and raw.taken == {"facts": 0}
    raw.fetch("text")
    raw.fetch("names")
    assert raw.files == [A, B, D]  # Each once.


def test_what_is_there_is_taken_without_network(tmp_path, mirror, no_network, monkeypatch):
    root = tmp_path / "raw"
    place(root, A)
    place(root, C)
    raw = RawFolder(str(root), GROUPS)
    assert names(raw.fetch("facts")) == ["a", "c"]
    place(root, B)  # The better one from now on, but not for those that have chosen.
    assert names(raw.fetch("facts")) == ["a", "c"]
    assert names(RawFolder(str(root), GROUPS).fetch("facts")) == ["a", "b"]
    monkeypatch.delenv("TORCH_IMF_MIRROR")
    assert raw.may_have("facts") and not raw.may_have("text")


def test_renew_looks_again(tmp_path, mirror):
    root = tmp_path / "raw"
    place(root, A)
    place(root, C)
    assert names(RawFolder(str(root), GROUPS, renew=True).fetch("facts")) == ["a", "b"]
    remove(mirror, B)
    (root / B.path).unlink()
    raw = RawFolder(str(root), GROUPS, renew=True)
    assert names(raw.fetch("facts")) == ["a", "c"]  # The first that can be had.
    assert raw.files == [A, C] and raw.taken == {"facts": 1}


def test_none_can_be_had(tmp_path, mirror):
    remove(mirror, B, C)
    for renew in [False, True]:
        raw = RawFolder(str(tmp_path / "raw"), GROUPS, renew)
        with pytest.raises(RuntimeError, match="Please download 'b.txt'"):  # Of the first.
            raw.fetch("facts")
        assert raw.taken == {} and raw.files == []
    place(tmp_path / "raw", B)  # As the message asks for.
    assert names(raw.fetch("facts")) == ["a", "b"]


def test_check(tmp_path, mirror):
    root = tmp_path / "raw"
    place(root, A, b"half")
    place(root, B)
    place(root, D, b"half")
    raw = RawFolder(str(root), GROUPS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        raw.fetch("facts")  # Not read until they are needed.
    with pytest.warns(UserWarning, match="a.txt' is damaged") as record:
        raw.check()
    assert len(record) == 1  # None of a file that was not taken.
    assert (root / A.path).read_bytes() == b"source/a.txt"


# At a commit, or at a release (checksums tell if somebody moves it):
PINNED = re.compile(
    r"https://raw\.githubusercontent\.com/[\w.-]+/[\w.-]+/([0-9a-f]{40}|\d+\.\d+\.\d+)/[\w./-]+"
)


def test_raw_files():
    val, test = raw_files("DB15K/IMF/{val,test}.txt")
    assert (val.name, test.name) == ("DB15K/IMF/val.txt", "DB15K/IMF/test.txt")
    assert val.path == "IMF/val.txt" and raw_files() == []
    with pytest.raises(KeyError, match="DB15K/IMF/vla.txt"):
        raw_files("DB15K/IMF/{test,vla}.txt")
    file = RawFile("Set/source/a/b.txt", "0" * 64)
    assert file.origin == "$TORCH_IMF_MIRROR/Set/source/a/b.txt"
    assert RawFile("Set/b.txt", "", by_hand="the post").origin == "the post"


def test_sources():
    used = set()
    for name in class_names("dataset"):
        cls = getattr(datasets, name)
        facts = set(cls.versions)
        assert facts <= set(cls.files) <= facts | {*CONTENT, "names", "images", "inductive"}
        files = {file for options in cls.files.values() for file in itertools.chain(*options)}
        # Two files of one name in the folder of raw files would overwrite each other:
        assert len({file.path for file in files}) == len(files)
        used |= files
    assert used == set(sources().values())
    for file in used:
        assert re.fullmatch(r"[0-9a-f]{64}|[0-9a-f]{40}", file.checksum)
        if file.url is not None:
            assert PINNED.fullmatch(file.url) and file.by_hand is None
            # Whoever downloads it by hand gets a file of the right name:
            assert os.path.basename(file.url) == os.path.basename(file.name)
        assert len(file.checksum) == 64 or file.url is not None
    assert len({file.checksum for file in used}) == len(used)


def test_tables_are_installed():
    root = Path(datasets.__file__).parent
    config = configparser.ConfigParser()
    config.read(root.parent.parent / "setup.cfg")
    patterns = config["options.package_data"]["torch_imf.datasets"].replace(",", "\n").split()
    for path in root.rglob("*.tsv"):
        name = path.relative_to(root).as_posix()
        # A star stops at folders:
        assert any(fnmatch(name, p) and name.count("/") == p.count("/") for p in patterns), name


@pytest.mark.mirror
def test_mirror_matches_checksums():
    mirror = os.environ["TORCH_IMF_MIRROR"]
    found = {file for file in sources().values() if os.path.exists(os.path.join(mirror, file.name))}
    assert len(found) > 50
    for file in found:
        assert mismatch(read_bytes(os.path.join(mirror, file.name)), file.checksum) is None, file
    # Those that come from nowhere else are there:
    assert all(file in found for file in sources().values() if file.url is None)


def write(folder, *texts):
    for i, text in enumerate(texts):
        (folder / f"{i}.txt").write_text(text, encoding="utf-8", newline="")
    return [str(folder / f"{i}.txt") for i in range(len(texts))]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("count", [True, False])
def test_read_release(tmp_path, count, end):
    def ids(names):
        return end.join([str(len(names))] * count + [f"{x}\t{i}" for i, x in enumerate(names)])

    names = [ids(["a b", "<http://d/é>", "c"]), ids(["r", "s"])]
    facts = [f"2{end}0 1 1{end}2 0 0{end}", f"1{end}1\t2\t0", f"1{end}0 0 1"]
    splits, nodes, rels = read_release(write(tmp_path, *names, *facts))
    assert nodes == ["a b", "<http://d/é>", "c"] and rels == ["r", "s"]
    # Head, relation and tail:
    assert [x.t().tolist() for x in splits] == [[[0, 1, 1], [2, 0, 0]], [[1, 0, 2]], [[0, 1, 0]]]

    facts = [f"c r <http://d/é> .{end}<http://d/é>\ts\tc .{end}", f"c r c{end}", "c s c"]
    splits, *_ = read_release(write(tmp_path, *names, *facts))
    assert [x.t().tolist() for x in splits] == [[[2, 0, 1], [1, 1, 2]], [[2, 0, 2]], [[2, 1, 2]]]
    splits, *_ = read_release(write(tmp_path, *names, *["c <http://d/é> r"] * 3), order=(0, 2, 1))
    assert splits[0].t().tolist() == [[2, 0, 1]]


@pytest.mark.parametrize(
    "text,message",
    [
        ("2\n0 0 0\n0 0\n", "line 3: expected head, relation and tail .*'0', '0'"),
        ("1\n0 0 r\n", "line 2: unknown relation 'r'"),
        ("1\n0 7 0\n", "line 2: unknown entity '7'"),
        ("2\n0 0 0\n", "not hold as many facts as it announces"),
        ("0 0 0\n", "line 1: unknown entity '0'"),
        ("a r\n", "line 1: expected head, relation and tail"),
        ("", "or none"),
    ],
)
def test_bad_releases(tmp_path, text, message):
    with pytest.raises(ValueError, match=f"2.txt'.*{message}"):
        read_release(write(tmp_path, "a 0", "r 0", text, text, text))


def test_literals(tmp_path):
    (path,) = write(tmp_path, "a\theight\t1.5\nb\tborn\t-43-07-12\n")
    years = pytest.approx(-42.5 + 11 / 365)
    assert read_literals(path) == (["a", "b"], ["height", "born"], [1.5, years])
    (path,) = write(tmp_path, "a\theight\t1.5\nb\theight\tinf\n")
    with pytest.raises(ValueError, match="line 2: expected a number or a .*'inf'"):
        read_literals(path)


def test_texts(tmp_path):
    (path,) = write(tmp_path, "entity\tname\tshort\tlong\na\tA\tx  y\tz\n")
    assert read_table(path) == {"a": ["A", "x y", "z"]}
    assert tidy(' He said \\"no\\",\\nand\u00a0 left.\t') == 'He said "no", and left.'
    assert join("A", "", "b c", "d.") == "A. b c. d." and join("A", "", "") == "A"


def test_all_unknown_names_are_told(tmp_path):
    facts = "\n".join(["a r a", *(f"a r x{i}" for i in range(14)), "a q a"])
    with pytest.raises(ValueError) as error:
        read_release(write(tmp_path, "a 0", "r 0", facts, facts, facts))
    assert "line 2: unknown entity 'x0' (and 14 more: entity 'x1', " in str(error.value)
    assert str(error.value).count("'x") == 10
