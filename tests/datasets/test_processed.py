import multiprocessing
import os
import pickle
import time

import pytest
import torch

from torch_imf.datasets import KGDataset, base
from torch_imf.datasets.base import Record
from torch_imf.io.atomic import locked

Process = multiprocessing.get_context("fork").Process


class Slow(KGDataset):
    """A graph that takes a moment to read, and tells who has read it."""

    journal = ""
    seconds = 0.2

    def read(self):
        with open(self.journal, "a") as file:
            file.write(f"{os.getpid()}\n")
        time.sleep(self.seconds)
        triples = [torch.tensor([[i], [0], [1 - i]]) for i in (0, 1, 0)]
        return Record(triples, ["a", "b"], ["r"])


def load(root, cls=Slow, **kwargs):
    return cls(str(root), text=None, visual=None, numeric=None, **kwargs)


@pytest.fixture
def readers(tmp_path, monkeypatch):
    """The processes that have read the graph."""
    monkeypatch.setattr(Slow, "journal", str(tmp_path / "journal"))
    (tmp_path / "journal").touch()
    return lambda: [int(line) for line in (tmp_path / "journal").read_text().split()]


def start(*args, **kwargs):
    process = Process(target=load, args=args, kwargs=kwargs, daemon=True)
    process.start()
    return process


def test_two_processes_in_one_folder(tmp_path, readers):
    root = tmp_path / "data"
    processes = [start(root) for _ in range(3)]
    for process in processes:
        process.join(10)
    assert [process.exitcode for process in processes] == [0] * 3
    assert len(readers()) == 1 and readers()[0] in {process.pid for process in processes}
    assert load(root)[0].num_edges == 3
    assert len(readers()) == 1
    assert len(os.listdir(root / "processed")) == 1


def test_what_is_processed_needs_no_lock(tmp_path, readers, monkeypatch):
    root = tmp_path / "data"
    load(root)
    os.remove(root / ".lock")
    before = {path: os.stat(path).st_mtime_ns for path in (root, root / "processed")}
    with monkeypatch.context() as context:
        context.setattr(base, "locked", lambda folder: pytest.fail("locked"))
        assert load(root)[0].num_edges == 3
    assert {path: os.stat(path).st_mtime_ns for path in before} == before  # Nothing was written.
    with locked(root):  # Nor does it wait for another one.
        process = start(root)
        process.join(10)
        assert process.exitcode == 0
        process = start(root, force_reload=True)
        process.join(0.3)
        assert process.is_alive()
    process.join(10)
    assert process.exitcode == 0
    assert readers() == [os.getpid(), process.pid]


def double(data):
    return data


def same(data):
    return data


def add_object(data):
    data.other = Call()
    return data


def test_another_pre_transform(tmp_path, readers):
    transforms = (None, double, same, double)
    paths = [load(tmp_path, pre_transform=x).processed_paths[0] for x in transforms]
    assert len(set(paths)) == 3 and paths[1] == paths[3] and len(readers()) == 3


class Call:
    def __reduce__(self):
        return os.mkdir, ("called",)


def test_damaged_files_are_named(tmp_path, readers, monkeypatch):
    monkeypatch.chdir(tmp_path)
    load(tmp_path)
    (path,) = (tmp_path / "processed").iterdir()
    for content in (b"x", b"", path.read_bytes()[:100], pickle.dumps(Call())):
        path.write_bytes(content)
        with pytest.raises(RuntimeError, match=f"{path.name}' is damaged, pass 'force_") as error:
            load(tmp_path)
        assert "weights_only" not in str(error.value)
    # Nor are the files of PyG and of versions before ours:
    for other in ("pre_transform.pt", "pre_filter.pt", f"{path.stem}.pt"):
        torch.save(Call(), path.with_name(other))
    torch.save(Call(), path)
    with pytest.raises(RuntimeError, match="is damaged"):
        load(tmp_path)
    assert not os.path.exists("called")  # What a file says is not run.
    load(tmp_path, force_reload=True, pre_transform=double)
    load(tmp_path, force_reload=True)
    load(tmp_path)
    assert len(readers()) == 3 and not os.path.exists("called")
    with pytest.raises(ValueError, match="Only dense tensors, .* be kept in a file .got Call"):
        load(tmp_path, pre_transform=add_object)
