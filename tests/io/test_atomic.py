import errno
import gzip
import multiprocessing
import os
import signal
import stat
import time
from threading import Thread
from uuid import uuid4

import fsspec
import pytest
from filelock import FileLock

from torch_imf.datasets.own import read_facts
from torch_imf.io import atomic
from torch_imf.io.atomic import (
    cache_folder,
    claim,
    locked,
    make_private,
    on_disk,
    open_file,
    read_bytes,
    replacing,
    url_to_fs,
)
from torch_imf.io.hash import hash_file

# A fork is a process of its own, which need not import anything again:
Process = multiprocessing.get_context("fork").Process


@pytest.fixture(params=["disk", "file://", "memory://"])
def folder(request, tmp_path):
    """A folder that is not there yet, on disk or in memory."""
    if request.param == "memory://":
        return f"memory://{uuid4().hex}/a/b"
    return f"{request.param.removeprefix('disk')}{tmp_path}/a/b"


def names(folder):
    filesystem, path = fsspec.core.url_to_fs(folder)
    found = filesystem.ls(path, detail=False) if filesystem.isdir(path) else []
    return sorted(os.path.basename(name) for name in found)


def write(path, content):
    with replacing(path) as file:
        file.write(content)


def test_replacing(folder, monkeypatch):
    path = f"{folder}/data.bin"
    for old in (None, b"old"):
        for error in (ValueError, KeyboardInterrupt):
            with pytest.raises(error), replacing(path) as file:
                file.write(b"half of the n")
                raise error
            assert names(folder) == ["data.bin"] * (old is not None)
        write(path, b"old")
    with replacing(path) as file:
        file.write(b"n")
        file.flush()
        assert read_bytes(path) == b"old"
        file.write(b"ew")
    assert read_bytes(path) == b"new"

    def interrupt(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupt)
    monkeypatch.setattr(fsspec.AbstractFileSystem, "mv", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write(path, b"newer")
    assert names(folder) == ["data.bin"] and read_bytes(path) == b"new"


@pytest.mark.skipif(os.name != "posix", reason="needs permissions")
def test_replacing_keeps_permissions(tmp_path):
    path, before = tmp_path / "a.bin", os.umask(0o027)
    try:  # Those that are usual for new files, or those of the file that is replaced.
        for old, expected in ((None, 0o640), (0o600, 0o600), (0o444, 0o444), (0o666, 0o666)):
            if old is not None:
                path.chmod(old)
            with replacing(path):
                (temporary,) = tmp_path.glob(".a.bin-*.tmp")
                assert stat.S_IMODE(temporary.stat().st_mode) == expected
            assert stat.S_IMODE(path.stat().st_mode) == expected
    finally:
        os.umask(before)


def test_paths(tmp_path, monkeypatch):
    (tmp_path / "real").mkdir()
    target, link, long = tmp_path / "real" / "file", tmp_path / "link", tmp_path / ("é" * 127)
    link.symlink_to(target)
    monkeypatch.chdir(tmp_path)
    for content in (b"first", b"second"):  # Of a link to nothing, and to a file.
        write(link, content)
        assert link.is_symlink() and target.read_bytes() == content
        for path in ("a.bin", long):  # A name of 254 bytes, of 255.
            write(path, content)
            assert read_bytes(str(path)) == content
    for path in (tmp_path / "a.bin" / "b.bin", tmp_path / "real"):
        with pytest.raises(OSError):
            write(path, b"a")
    assert {path.name for path in tmp_path.iterdir()} == {"real", "link", "a.bin", long.name}


def die_while_writing(path):
    with replacing(path) as file:
        file.write(b"half of it")
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.mark.skipif(os.name != "posix", reason="needs signals")
def test_killed_while_writing(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"old")
    process = Process(target=die_while_writing, args=(path,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL and path.read_bytes() == b"old"
    (tmp_path / ".a.bin-1.tmp").write_bytes(b"somebody else's")
    (leftover,) = tmp_path.glob(".*-????????????????.tmp")
    for age, left in ((23, True), (25, False)):  # Its writer may be alive for a day.
        for other in tmp_path.glob(".*"):
            os.utime(other, (time.time() - age * 3600,) * 2)
        write(path, b"new")
        assert leftover.exists() is left
    assert names(str(tmp_path)) == [".a.bin-1.tmp", "a.bin"] and path.read_bytes() == b"new"


def wait_for(path):
    end = time.monotonic() + 10
    while not path.exists():
        assert time.monotonic() < end
        time.sleep(0.002)


def start(target, *args):
    process = Process(target=target, args=args, daemon=True)
    process.start()
    return process


def hold(folder):
    with locked(folder):
        (folder / "held").touch()
        time.sleep(60)


def test_who_waits_says_so_and_does_not_wait_for_the_dead(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(atomic, "PATIENCE", 0.05)
    holder, entered = start(hold, tmp_path), []
    wait_for(tmp_path / "held")

    def enter():
        with locked(tmp_path):
            entered.append(holder.is_alive())

    thread = Thread(target=enter)
    thread.start()
    thread.join(0.3)
    assert thread.is_alive() and entered == []
    holder.kill()
    thread.join(10)
    assert len(entered) == 1
    message = f"Waiting for another process, which holds the lock '{tmp_path}/.lock'\n"
    assert capsys.readouterr() == ("", message)


def test_blocks_inside_of_one_another(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    times = []

    def enter():
        with locked(tmp_path):
            times.append(time.monotonic())

    with pytest.raises(KeyError), locked(tmp_path):
        with locked("."), locked(f"file://{tmp_path}"), locked(tmp_path / "other"):
            pass
        thread = Thread(target=enter)  # The lock is still that of this thread.
        thread.start()
        time.sleep(0.15)
        times.append(time.monotonic())
        raise KeyError
    thread.join(10)
    assert len(times) == 2 and times == sorted(times)


def test_folders_without_a_lock(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    for folder in (f"memory://{uuid4().hex}", tmp_path / "file" / "a"):  # Nobody can write there.
        with locked(folder):
            pass
    assert os.listdir(tmp_path) == ["file"]

    def acquire(*args, **kwargs):
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(FileLock, "acquire", acquire)
    with pytest.warns(UserWarning, match=".lock' cannot be had .*No locks available"):
        with locked(tmp_path):
            pass
    with pytest.warns(UserWarning, match=".a.pt.lock' cannot be had"):
        assert claim(tmp_path / "a.pt") is None


def keep(path):
    held = claim(path)
    assert held is not None and held.is_locked
    path.touch()
    time.sleep(60)


def test_claim(tmp_path):
    path = tmp_path / "a.pt"
    holder = start(keep, path)
    wait_for(path)
    with pytest.raises(RuntimeError, match=f"'{path}' is in use .*'{tmp_path}/.a.pt.lock'. Wait"):
        claim(path)
    holder.kill()
    holder.join(10)

    first = claim(path)
    again = claim(tmp_path / "." / "a.pt")  # In the same process.
    assert again is first
    for code in (1, 0):
        other = start(claim, path)
        other.join(10)
        assert other.exitcode == code
        first = again = None


@pytest.mark.skipif(os.name != "posix", reason="needs pipes")
def test_pipes_and_devices_are_written_to(tmp_path, capfd):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    found = []
    thread = Thread(target=lambda: found.append(pipe.read_bytes()))
    thread.start()
    write(pipe, b"content")
    thread.join(10)
    assert found == [b"content"] and stat.S_ISFIFO(pipe.stat().st_mode)
    link = tmp_path / "link"
    link.symlink_to(os.devnull)
    for path in (os.devnull, link, "/dev/stdout"):
        before = os.stat(path).st_ino
        write(path, b"content")
        assert os.stat(path).st_ino == before and not os.path.isfile(os.devnull)
    assert capfd.readouterr().out == "content"
    assert {x.name for x in tmp_path.iterdir()} == {"pipe", "link"}


@pytest.mark.skipif(os.name != "posix", reason="needs pipes")
@pytest.mark.parametrize("read", [read_bytes, hash_file, lambda path: on_disk(path).__enter__()])
def test_pipes_and_devices_are_no_files_to_read(tmp_path, read):
    os.mkfifo(tmp_path / "pipe")
    for path in (str(tmp_path / "pipe"), "/dev/zero"):
        with pytest.raises(ValueError, match=f"'{path}' is no file but a pipe or device. Please"):
            read(path)


def test_no_home_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)  # As without one.
    for value in ("", "~/cache", "~nobody/cache"):
        monkeypatch.setenv("TORCH_IMF_CACHE", value)
        with pytest.warns(UserWarning, match="not kept, as there is no home folder. Set TORCH"):
            folder = cache_folder()
        assert os.path.isabs(folder) and "~" not in folder and os.listdir(folder) is not None
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(os.name != "posix", reason="needs owners")
def test_a_cache_that_others_can_write_to(tmp_path, monkeypatch):
    folder = tmp_path / "cache"
    monkeypatch.setenv("TORCH_IMF_CACHE", str(folder))
    assert cache_folder() == str(folder) and not folder.exists()
    make_private(folder)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700 and cache_folder() == str(folder)
    own = folder / f"user-{os.geteuid()}"
    for mode in (0o777, 0o1777, 0o770):
        folder.chmod(mode)
        assert cache_folder() == str(own)
    monkeypatch.setattr(atomic, "_user", lambda: 12345)
    theirs = folder / "user-12345"
    assert cache_folder() == str(theirs)
    theirs.mkdir()  # By somebody else.
    with pytest.warns(UserWarning, match=f"not kept, as '{theirs}' is that of another user"):
        assert not cache_folder().startswith(str(folder))


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
