import configparser
import itertools
import os
import re
from fnmatch import fnmatch
from pathlib import Path

import pytest

from torch_imf import datasets
from torch_imf.datasets.download import mismatch
from torch_imf.datasets.sources import TABLE, RawFile, raw_files, sources
from torch_imf.io.atomic import read_bytes
from torch_imf.registry import class_names

PINNED = re.compile(r"https://raw\.githubusercontent\.com/[\w.-]+/[\w.-]+/[0-9a-f]{40}/[\w./-]+")
ROWS = [line.split("\t") for line in Path(TABLE).read_text(encoding="utf-8").splitlines()]


def test_raw_file():
    file = RawFile("Set/source/a/b.txt", "0" * 64)
    assert file.path == "source/a/b.txt"
    assert file.origin == "$TORCH_IMF_MIRROR/Set/source/a/b.txt"
    assert RawFile("Set/b.txt", "", by_hand="the post").origin == "the post"
    assert RawFile("Set/b.txt", "", "https://host/b.txt", "the post").origin == "https://host/b.txt"


def test_raw_files():
    val, test = raw_files("DB15K/IMF/{val,test}.txt")
    assert (val.name, test.name) == ("DB15K/IMF/val.txt", "DB15K/IMF/test.txt")
    assert val.path == "IMF/val.txt"
    assert val.checksum != test.checksum
    assert raw_files("DB15K/IMF/test.txt", "DB15K/IMF/{val.txt,test.txt}") == [test, val, test]
    names = [
        file.name for file in raw_files("FB15K/derived/visual_mobilenetv2{,_rsme_samples}.npz")
    ]
    assert names == [
        "FB15K/derived/visual_mobilenetv2.npz",
        "FB15K/derived/visual_mobilenetv2_rsme_samples.npz",
    ]
    assert raw_files() == []
    with pytest.raises(KeyError, match="DB15K/IMF/vla.txt"):
        raw_files("DB15K/IMF/{test,vla}.txt")


def test_table():
    assert ROWS[0] == ["file", "checksum", "url", "by_hand"]
    assert list(sources()) == [row[0] for row in ROWS[1:]]  # Hence, none occurs twice.
    for name, checksum, url, by_hand in ROWS[1:]:
        assert sources()[name] == RawFile(name, checksum, url or None, by_hand or None)


@pytest.mark.parametrize("file", sources().values(), ids=lambda file: file.name)
def test_row(file):
    assert re.fullmatch(r"[0-9a-f]{64}|[0-9a-f]{40}", file.checksum)
    assert re.fullmatch(r"[\w-]+(/[\w-]+)+/[\w.-]+", file.name)
    if file.url is not None:
        assert PINNED.fullmatch(file.url)
        assert file.by_hand is None
        # Whoever downloads it by hand gets a file of the right name:
        assert os.path.basename(file.url) == os.path.basename(file.name)
    if len(file.checksum) == 40:  # Never seen, so that nothing else tells what it holds.
        assert file.url is not None


def test_no_two_rows_are_the_same_file():
    for key in ["checksum", "url"]:
        values = [getattr(file, key) for file in sources().values() if getattr(file, key)]
        assert len(set(values)) == len(values)


def test_rows_are_sorted_into_datasets():
    names = [name.split("/")[0] for name in sources()]
    groups = [name for name, _ in itertools.groupby(names)]
    assert len(set(groups)) == len(groups)
    known = {name.replace("-", "") for name in groups}
    assert known <= set(class_names("dataset"))


def test_every_row_is_used():
    used = set()
    for name in class_names("dataset"):
        for alternatives in getattr(datasets, name).files.values():
            for file in itertools.chain(*alternatives):
                assert sources()[file.name] is file
                used.add(file.name)
    assert used == set(sources())


@pytest.mark.parametrize("name", class_names("dataset"))
def test_files_of_a_dataset(name):
    cls = getattr(datasets, name)
    groups = {"facts", "text", "numeric", "names", "visual", "images"}
    if cls.files:
        facts = set(cls.versions) if cls.versions else {"facts"}
        assert facts <= set(cls.files) <= facts | groups
    for alternatives in cls.files.values():
        assert len(alternatives) > 0 and all(len(files) > 0 for files in alternatives)
        # Two files of one name in the folder of raw files would overwrite each other:
        paths = {file.path for files in alternatives for file in files}
        assert len(paths) == len({file for files in alternatives for file in files})
    files = {file for x in cls.files.values() for files in x for file in files}
    assert len({file.path for file in files}) == len(files)


def test_table_is_installed():
    root = Path(datasets.__file__).parent
    config = configparser.ConfigParser()
    config.read(root.parent.parent / "setup.cfg")
    patterns = config["options.package_data"]["torch_imf.datasets"].replace(",", "\n").split()
    for path in root.rglob("*"):
        if path.is_file() and path.suffix not in (".py", ".pyc"):
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


@pytest.mark.mirror
@pytest.mark.parametrize(
    "name, digest",
    [  # As `git ls-tree` of the repository of IMF lists them.
        ("DB15K/IMF/val.txt", "a89533b948cef8b6478463a9a614d0cbcdaca9ad"),
        ("YAGO15K/IMF/test.txt", "dc90c0803e0c680fecf3725341c0c5b2e32e6b1c"),
    ],
)
def test_mirror_matches_git_hashes(name, digest):
    assert mismatch(read_bytes(os.path.join(os.environ["TORCH_IMF_MIRROR"], name)), digest) is None
