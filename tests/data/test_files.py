import os
import stat
from uuid import uuid4

import fsspec
import pytest

from torch_imf.data.files import read_bytes, replacing


@pytest.fixture(params=["disk", "file://", "memory://"])
def folder(request, tmp_path):
    """A folder that is not there yet, on disk or in memory."""
    if request.param == "memory://":
        return f"memory://{uuid4().hex}/a/b"
    return f"{request.param.removeprefix('disk')}{tmp_path}/a/b"


def names(folder):
    filesystem, path = fsspec.core.url_to_fs(folder)
    if not filesystem.isdir(path):
        return []
    return sorted(os.path.basename(name) for name in filesystem.ls(path, detail=False))


def test_replacing(folder):
    path = f"{folder}/data.bin"
    with replacing(path) as file:
        file.write(b"one")
        assert "data.bin" not in names(folder)
    assert read_bytes(path) == b"one"

    with replacing(path) as file:
        file.write(b"tw")
        file.flush()
        assert read_bytes(path) == b"one"
        file.write(b"o")
    assert read_bytes(path) == b"two"
    assert names(folder) == ["data.bin"]


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
@pytest.mark.parametrize("there", [False, True])
def test_replacing_with_an_error_inside(folder, error, there):
    path = f"{folder}/data.bin"
    if there:
        with replacing(path) as file:
            file.write(b"old")
    with pytest.raises(error), replacing(path) as file:
        file.write(b"half of the n")
        raise error
    assert names(folder) == ["data.bin"] * there
    assert not there or read_bytes(path) == b"old"


def test_replacing_interrupted(folder, monkeypatch):
    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    path = f"{folder}/data.bin"
    with replacing(path) as file:
        file.write(b"old")
    with monkeypatch.context() as context:
        context.setattr(os, "replace", interrupt)
        context.setattr(fsspec.AbstractFileSystem, "mv", interrupt)
        with pytest.raises(KeyboardInterrupt), replacing(path) as file:
            file.write(b"new")
    assert names(folder) == ["data.bin"]
    assert read_bytes(path) == b"old"


def test_replacing_touches_nothing_else(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with replacing("a.bin") as file:  # In the working directory.
        file.write(b"a")
    assert os.listdir(tmp_path) == ["a.bin"]
    assert stat.S_IMODE(os.stat("a.bin").st_mode) == 0o644
    with replacing(tmp_path / "a.bin") as file:
        file.write(b"b")
    assert read_bytes("a.bin") == b"b"

    path = f"memory://{uuid4().hex}.bin"  # At the top of a file system.
    with replacing(path) as file:
        file.write(b"c")
    assert read_bytes(path) == b"c"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_replacing_where_it_cannot(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError), replacing(tmp_path / "file" / "a.bin"):
        pass
    (tmp_path / "folder" / "a").mkdir(parents=True)
    with pytest.raises(OSError), replacing(tmp_path / "folder") as file:
        file.write(b"a")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]
