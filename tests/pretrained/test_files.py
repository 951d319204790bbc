import json
import os
import sys

import pytest

from torch_imf.io.atomic import temporary_name
from torch_imf.pretrained.files import (
    MANIFEST,
    check_folder,
    entry_of,
    read,
    read_config,
    remove_unnamed,
    root_of,
    safetensors_torch,
    write,
)


def dead_if_zero(process, signal):
    if process == 0:
        raise ProcessLookupError


def test_files(tmp_path, monkeypatch):
    entry = entry_of("model.safetensors", b"abc")
    assert entry["file"] == f"model-{entry['sha256'][:12]}.safetensors"
    other = entry_of("model.safetensors", b"abd")["file"]
    assert other != entry["file"]
    for name in (entry["file"], other, "model.safetensors", "model-1.safetensors"):
        write(f"{tmp_path}/{name}", b"abc")
    assert read(str(tmp_path), {"files": {"x": entry}}, "x") == b"abc"
    # Only what is named as our files are is removed, and what a dead process has left of one:
    (tmp_path / MANIFEST).write_text(json.dumps({"format": 99, "files": {"x": entry}}))
    for name in (temporary_name(other), temporary_name(other).replace(f"-{os.getpid()}-", "-0-")):
        (tmp_path / name).write_bytes(b"a")
    monkeypatch.setattr(os, "kill", dead_if_zero)
    remove_unnamed(str(tmp_path))
    names = {path.name for path in tmp_path.iterdir() if path.suffix != ".tmp"}
    assert names == {entry["file"], "model.safetensors", "model-1.safetensors", MANIFEST}
    assert [path.name.count(f"-{os.getpid()}-") for path in tmp_path.glob("*.tmp")] == [1]
    (tmp_path / MANIFEST).unlink()
    remove_unnamed(str(tmp_path))
    assert not (tmp_path / entry["file"]).exists()
    remove_unnamed(str(tmp_path / "nowhere"))


def test_without_safetensors(monkeypatch):
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    with pytest.raises(ImportError, match="run 'pip install safetensors'"):
        safetensors_torch()


def test_check_folder(tmp_path):
    check_folder(str(tmp_path))
    check_folder(str(tmp_path / "new"))
    path = tmp_path / MANIFEST
    for content in ("[]", "{", '{"format": 1}', "[" * 100_000):
        path.write_text(content)
        with pytest.raises(ValueError, match="holds another 'config.json'"):
            check_folder(str(tmp_path))
    path.write_text(json.dumps({"format": 9, "files": {}}))
    check_folder(str(tmp_path))
    with pytest.raises(ValueError, match="is a file"):
        check_folder(str(path))


def test_places_that_are_no_folder(tmp_path):
    # An empty name, as of a variable that is not set, is not the root of the disk:
    with pytest.raises(ValueError, match=r"Invalid 'folder' argument \(got ''\)"):
        root_of("")
    roots = ("a", "a/", tmp_path / "a", "memory://", "memory://a/")
    assert [root_of(root) for root in roots] == [
        *("a", "a", str(tmp_path / "a"), "memory://", "memory://a")
    ]
    (tmp_path / MANIFEST).write_text("{}")
    with pytest.raises(ValueError, match="config.json' holds no saved model: there is no"):
        read_config(f"{tmp_path}/{MANIFEST}")
