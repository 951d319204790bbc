import gzip
import os

import pytest

from torch_imf.datasets.own import read_facts
from torch_imf.io.paths import open_file, url_to_fs


@pytest.mark.parametrize("name", ["a::b.tsv", "zip::c.tsv.gz", "::d", "memory::e", "f:g"])
def test_local_paths_are_no_chains(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    with open_file(name, "wb", "infer") as file:
        file.write(b"text")
    assert os.listdir() == [name]
    with open_file(tmp_path / name, compression="infer") as file:
        assert file.read() == b"text"
    assert url_to_fs(name)[1] == str(tmp_path / name)


def test_addresses(tmp_path):
    filesystem, path = url_to_fs("memory://a/b")
    assert (filesystem.protocol, path) == ("memory", "/a/b")
    (tmp_path / "a.gz").write_bytes(gzip.compress(b"text"))
    with open_file(f"file://{tmp_path}/a.gz", compression="infer") as file:
        assert file.read() == b"text"


@pytest.mark.parametrize(
    "name,content", [("x::y.tsv", "a\tr\tb\n"), ("x::y.nt", "<a> <r> <b> .\n")]
)
def test_facts(tmp_path, name, content):
    (tmp_path / name).write_text(content)
    assert read_facts([str(tmp_path / name)])[1] == ["a", "b"]
