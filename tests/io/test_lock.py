import errno
import multiprocessing
import os
import time
from threading import Thread
from uuid import uuid4

import pytest
from filelock import FileLock

from torch_imf.io import atomic as lock
from torch_imf.io.atomic import claim, locked

# A fork is a process of its own, which need not import anything again:
Process = multiprocessing.get_context("fork").Process


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


def work_once(folder, i):
    with locked(folder):
        if (folder / "done").exists():
            return
        with open(folder / "work", "a") as file:
            file.write(f"{i}\n")
        time.sleep(0.1)
        (folder / "done").touch()


def test_work_is_done_once(tmp_path):
    processes = [start(work_once, tmp_path / "a", i) for i in range(4)]
    for process in processes:
        process.join(10)
    assert [process.exitcode for process in processes] == [0] * 4
    assert (tmp_path / "a" / "work").read_text() in {f"{i}\n" for i in range(4)}
    assert sorted(os.listdir(tmp_path / "a")) == [".lock", "done", "work"]


def test_who_waits_says_so_and_does_not_wait_for_the_dead(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(lock, "PATIENCE", 0.05)
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

    with locked(tmp_path):
        with locked("."), locked(f"file://{tmp_path}"), locked(tmp_path / "other"):
            pass
        thread = Thread(target=enter)  # The lock is still that of this thread.
        thread.start()
        time.sleep(0.15)
        times.append(time.monotonic())
    thread.join(10)
    assert len(times) == 2 and times == sorted(times)
    with pytest.raises(KeyError), locked(tmp_path):
        raise KeyError
    thread = Thread(target=enter)
    thread.start()
    thread.join(10)
    assert len(times) == 3


def test_folders_without_a_lock(tmp_path, monkeypatch):
    with locked(f"memory://{uuid4().hex}"):
        pass
    (tmp_path / "file").touch()
    with locked(tmp_path / "file" / "a"):  # Nobody can write there.
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
    begin = time.monotonic()
    with pytest.raises(RuntimeError) as error:
        claim(path)
    assert time.monotonic() - begin < 1  # At once.
    assert str(error.value) == (
        f"'{path}' is in use by another process, which holds the lock '{tmp_path}/.a.pt.lock'. "
        f"Wait for it to end, or choose another file"
    )
    holder.kill()
    holder.join(10)

    first = claim(path)
    assert claim(tmp_path / "." / "a.pt") is first  # In the same process.
    other = start(claim, path)
    other.join(10)
    assert other.exitcode == 1
    del first
    other = start(claim, path)
    other.join(10)
    assert other.exitcode == 0
