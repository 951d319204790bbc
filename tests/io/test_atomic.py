import multiprocessing
import os
import signal
import stat
import time
from uuid import uuid4

import fsspec
import pytest

from torch_imf.io.atomic import TEMPORARY, is_stale, read_bytes, replacing, temporary_name


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


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


@pytest.mark.skipif(os.name != "posix", reason="needs permissions")
def test_replacing_keeps_permissions(tmp_path):
    path, modes = tmp_path / "a.bin", []
    before = os.umask(0o027)
    try:
        for old in (None, 0o600, 0o444, 0o666):
            if old is not None:
                path.chmod(old)
            with replacing(path) as file:
                (temporary,) = (name for name in os.listdir(tmp_path) if name != "a.bin")
                modes.append(mode(tmp_path / temporary))
                file.write(b"a")
            modes.append(mode(path))
    finally:
        os.umask(before)
    # Those that are usual for new files, and those of the file that is replaced, from the start:
    assert modes == [0o640] * 2 + [0o600] * 2 + [0o444] * 2 + [0o666] * 2


def test_replacing_files_of_long_names(tmp_path):
    path = tmp_path / ("é" * 127)  # 254 bytes, of 255.
    with replacing(path) as file:
        file.write(b"a")
    assert os.listdir(tmp_path) == [path.name]


def gone():
    """Returns the number of a process that has ended."""
    process = multiprocessing.get_context("fork").Process(target=int)
    process.start()
    process.join()
    return process.pid


@pytest.mark.skipif(os.name != "posix", reason="needs processes")
def test_leftovers_are_cleared_once_their_writer_is_gone(tmp_path):
    own = temporary_name("a.bin")
    machine, process = TEMPORARY.fullmatch(own).groups()
    assert process == str(os.getpid())
    leftovers = {
        "ours": own,
        "dead": own.replace(f"-{process}-", f"-{gone()}-"),
        "no process": own.replace(f"-{process}-", f"-{10**30}-"),
        "elsewhere": own.replace(machine, "0" * 8),
        "elsewhere, old": own.replace(machine, "1" * 8),
        "no temporary file": ".a.bin-1.tmp",
    }
    assert [kind for kind, name in leftovers.items() if is_stale(name)] == ["dead", "no process"]
    for name in leftovers.values():
        (tmp_path / name).write_bytes(b"half")
    day_ago = time.time() - 25 * 60 * 60
    for kind in ("elsewhere, old", "no temporary file"):
        os.utime(tmp_path / leftovers[kind], (day_ago, day_ago))
    with replacing(tmp_path / "b.bin") as file:
        file.write(b"b")
    kept = [leftovers[kind] for kind in ("ours", "elsewhere", "no temporary file")]
    assert sorted(os.listdir(tmp_path)) == sorted([*kept, "b.bin"])
    assert not is_stale(leftovers["elsewhere"], age=23 * 60 * 60)
    assert is_stale(leftovers["ours"], age=25 * 60 * 60)


def die_while_writing(path):
    with replacing(path) as file:
        file.write(b"half of it")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_killed_while_writing(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    process = multiprocessing.get_context("fork").Process(target=die_while_writing, args=(path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    (leftover,) = (name for name in os.listdir(tmp_path) if name != "a.bin")
    assert (tmp_path / leftover).read_bytes() == b"half of it"
    assert path.read_bytes() == b"old"
    with replacing(path) as file:
        file.write(b"new")
    assert os.listdir(tmp_path) == ["a.bin"] and path.read_bytes() == b"new"


def test_replacing_in_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for content in (b"a", b"b"):
        with replacing("a.bin") as file:
            file.write(content)
        assert os.listdir(tmp_path) == ["a.bin"] and read_bytes("a.bin") == content


def test_replacing_where_it_cannot(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError), replacing(tmp_path / "file" / "a.bin"):
        pass
    (tmp_path / "folder" / "a").mkdir(parents=True)
    with pytest.raises(OSError), replacing(tmp_path / "folder") as file:
        file.write(b"a")
    assert sorted(os.listdir(tmp_path)) == ["file", "folder"]


def test_link(tmp_path):
    (tmp_path / "real").mkdir()
    target, link = tmp_path / "real" / "file", tmp_path / "link"
    link.symlink_to(target)
    for content in (b"first", b"second"):  # Of a link to nothing, and to a file.
        with replacing(link) as file:
            file.write(content)
        assert link.is_symlink() and target.read_bytes() == content
    assert {path.name for path in tmp_path.iterdir()} == {"real", "link"}
