import hashlib
import os
import warnings

import pytest

from torch_imf.datasets.raw import RawFolder
from torch_imf.io.download import RawFile


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


def test_raw_folder(tmp_path, mirror):
    root = tmp_path / "raw"
    raw = RawFolder(str(root), GROUPS)
    assert str(raw) == f"RawFolder('{root}', {{}})"
    assert raw.files == []
    assert not raw.has("facts")
    assert not root.exists()

    assert raw.fetch("facts") == [str(root / "source" / "a.txt"), str(root / "source" / "b.txt")]
    assert listing(root) == ["source/a.txt", "source/b.txt"]
    assert raw.files == ["source/a.txt", "source/b.txt"]
    assert raw.taken == {"facts": 0}
    assert raw.second_choices == []
    assert raw.has("facts")
    assert not raw.has("text")
    assert raw.path("source/a.txt") == str(root / "source" / "a.txt")

    raw.fetch("text")
    raw.fetch("names")
    assert raw.files == ["source/a.txt", "source/b.txt", "source/d.txt"]  # Each once.


def test_groups_without_files(tmp_path, no_network):
    for renew in [False, True]:
        raw = RawFolder(str(tmp_path / "raw"), {}, renew)
        assert raw.fetch("names") == []
        assert not raw.has("names")
        assert raw.files == raw.second_choices == []
        raw.check()
    assert not (tmp_path / "raw").exists()


def test_the_first_that_can_be_had_is_taken(tmp_path, mirror):
    remove(mirror, B)
    raw = RawFolder(str(tmp_path / "raw"), GROUPS)
    assert [os.path.basename(path) for path in raw.fetch("facts")] == ["a.txt", "c.txt"]
    assert raw.files == ["source/a.txt", "source/c.txt"]
    assert raw.taken == {"facts": 1}
    assert raw.second_choices == ["facts.2"]
    assert raw.has("facts")


def test_what_is_there_is_taken_without_network(tmp_path, mirror, no_network):
    root = tmp_path / "raw"
    place(root, A)
    place(root, C)
    raw = RawFolder(str(root), GROUPS)
    assert [os.path.basename(path) for path in raw.fetch("facts")] == ["a.txt", "c.txt"]
    assert raw.second_choices == ["facts.2"]

    place(root, B)  # The better one from now on, but not for those that have chosen.
    assert raw.fetch("facts")[1].endswith("c.txt")
    raw = RawFolder(str(root), GROUPS)
    assert raw.fetch("facts")[1].endswith("b.txt")
    assert raw.second_choices == []


def test_renew_looks_again(tmp_path, mirror):
    root = tmp_path / "raw"
    place(root, A)
    place(root, C)
    raw = RawFolder(str(root), GROUPS, renew=True)
    assert raw.fetch("facts")[1].endswith("b.txt")
    assert listing(root) == ["source/a.txt", "source/b.txt", "source/c.txt"]

    remove(mirror, B)
    (root / B.path).unlink()
    raw = RawFolder(str(root), GROUPS, renew=True)
    assert raw.fetch("facts")[1].endswith("c.txt")  # Still the best there is.


def test_none_can_be_had(tmp_path, mirror):
    remove(mirror, B, C)
    raw = RawFolder(str(tmp_path / "raw"), GROUPS)
    for renew in [False, True]:
        raw = RawFolder(str(tmp_path / "raw"), GROUPS, renew)
        with pytest.raises(RuntimeError, match="Please download 'b.txt'"):  # Of the first.
            raw.fetch("facts")
        assert raw.taken == {}
        assert raw.files == raw.second_choices == []
    place(tmp_path / "raw", B)  # As the message asks for.
    assert raw.fetch("facts")[1].endswith("b.txt")


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

    (root / B.path).write_bytes(b"half")
    remove(mirror, B)
    with pytest.warns(UserWarning, match="b.txt' is damaged"):
        with pytest.raises(RuntimeError, match="Please download 'b.txt'"):
            raw.check()
    assert (root / B.path).read_bytes() == b"half"


def test_renew_replaces_damaged_files(tmp_path, mirror):
    place(tmp_path / "raw", A, b"half")
    raw = RawFolder(str(tmp_path / "raw"), GROUPS, renew=True)
    with pytest.warns(UserWarning, match="a.txt' is damaged"):
        raw.fetch("facts")
    assert raw.second_choices == []
    assert (tmp_path / "raw" / A.path).read_bytes() == b"source/a.txt"


def test_upstream_of_the_second_choice(tmp_path, monkeypatch):
    monkeypatch.delenv("TORCH_IMF_MIRROR", raising=False)
    place(tmp_path / "upstream", C)
    other = raw_file("source/c.txt", (tmp_path / "upstream" / C.path).as_uri())
    raw = RawFolder(str(tmp_path / "raw"), {"facts": [[B], [other]]})
    raw.fetch("facts")
    assert raw.files == ["source/c.txt"]
