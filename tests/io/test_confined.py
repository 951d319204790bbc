import os

import numpy as np
import pytest

from torch_imf.io import confined as module
from torch_imf.io.confined import SpentError, confined, confined_each

HERE = "test_confined:"


@pytest.fixture(autouse=True)
def anew(monkeypatch):
    """New processes, which know this file."""
    monkeypatch.syspath_prepend(os.path.dirname(__file__))
    for worker in module._IDLE:
        worker.end()
    module._IDLE.clear()
    yield
    for worker in module._IDLE:
        worker.end()
    module._IDLE.clear()


@pytest.fixture
def path(tmp_path):
    (tmp_path / "a").write_bytes(bytes(10))
    return str(tmp_path / "a")


# What is called in the other process:


def echo(path, *args):
    print("what a library prints")
    yield [os.path.getsize(path), *args]
    yield np.arange(6, dtype="i2").reshape(3, 2).T
    yield np.empty((0, 3))
    yield os.getpid()


def fill(path):
    yield bytearray(1 << 31)


def repeat(path):
    while True:
        yield np.zeros(1 << 20)


def loop(path):
    while True:
        pass


def crash(path):
    yield 1
    os.kill(os.getpid(), 11)


def fail(path):
    raise OSError(2, "gone", path) if path.endswith("a") else KeyError("x")


BAD = {"1": loop, "34": crash, "40": fill}


def by_name(path):
    yield from BAD.get(os.path.basename(path), echo)(path)


def test_what_it_yields(path):
    size, array, empty, pid = confined(f"{HERE}echo", path, "é\udc80")
    assert size == [10, "é\udc80"] and array.tolist() == [[0, 2, 4], [1, 3, 5]]
    assert empty.shape == (0, 3) and array.dtype == np.int16
    assert list(confined(f"{HERE}echo", path))[-1] == pid != os.getpid()  # It waits for more.
    first, second = confined(f"{HERE}echo", path), confined(f"{HERE}echo", path)
    assert next(first) == next(second) == [10]  # Side by side.
    first.close()
    assert len(list(second)) == 3


@pytest.mark.parametrize(
    "name, reason",
    [
        ("fill", "takes more memory than is due to its size"),
        ("loop", "takes more time than is due to its size"),
        ("repeat", "is more than 300 times as large when it is read"),
        ("crash", "crashes its reader"),
    ],
)
def test_budgets(path, monkeypatch, name, reason):
    with (
        monkeypatch.context() as context,
        pytest.raises(SpentError, match=f"'{path}' {reason}, which is refused. If you"),
    ):
        context.setattr(module, "SECONDS", 0)
        list(confined(f"{HERE}{name}", path))
    assert len(list(confined(f"{HERE}echo", path))) == 4


def test_errors(tmp_path, path):
    with pytest.raises(FileNotFoundError, match="gone"):
        list(confined(f"{HERE}fail", path))
    with pytest.raises(FileNotFoundError):
        list(confined(f"{HERE}echo", str(tmp_path / "b")))
    os.mkfifo(tmp_path / "fifo")
    for other in (str(tmp_path / "fifo"), os.devnull):
        with pytest.raises(ValueError, match=f"'{other}' is no file but a pipe or device"):
            list(confined(f"{HERE}echo", other))


def test_each(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "SECONDS", 0)
    paths = [str(tmp_path / str(i)) for i in range(70)]
    for i, path in enumerate(paths[:69]):
        with open(path, "wb") as file:
            file.write(bytes(i))
    found = list(confined_each(f"{HERE}by_name", paths, 4, "leave it"))
    for i, entry in enumerate(found):
        reason = {1: "time", 34: "crashes", 40: "memory", 69: "No such file"}.get(i)
        assert entry[0] == [i] if reason is None else reason in entry
    assert found[40].endswith("If you trust it, leave it")


def test_a_fork_has_processes_of_its_own(path):
    (*_, pid) = confined(f"{HERE}echo", path)
    child = os.fork()
    if child == 0:
        (*_, other) = confined(f"{HERE}echo", path)
        for worker in module._IDLE:
            worker.end()
        os._exit(other == pid)
    assert os.waitpid(child, 0)[1] == 0
    assert list(confined(f"{HERE}echo", path))[-1] == pid


def test_relative_paths_after_a_change_of_folder(tmp_path, path, monkeypatch):
    for size in (5, 6):  # Read by one process.
        (tmp_path / str(size)).mkdir()
        (tmp_path / str(size) / "b").write_bytes(bytes(size))
        monkeypatch.chdir(tmp_path / str(size))
        assert next(iter(list(confined(f"{HERE}echo", "b")))) == [size]
