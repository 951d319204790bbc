import json
import sys

import pytest

from torch_imf.pretrained.files import (
    MANIFEST,
    check_folder,
    entry_of,
    read,
    remove_others,
    safetensors_torch,
    write,
)


def test_files(tmp_path):
    entry = entry_of("model.safetensors", b"abc")
    assert entry["file"] == f"model-{entry['sha256'][:12]}.safetensors"
    other = entry_of("model.safetensors", b"abd")["file"]
    assert other != entry["file"]
    for name in (entry["file"], other, "model.safetensors", "model-1.safetensors"):
        write(f"{tmp_path}/{name}", b"abc")
    assert read(str(tmp_path), {"files": {"x": entry}}, "x") == b"abc"
    # Only what is named as our files are is removed:
    remove_others(str(tmp_path), {entry["file"]})
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {entry["file"], "model.safetensors", "model-1.safetensors"}


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
