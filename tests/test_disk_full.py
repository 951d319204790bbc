import hashlib
import multiprocessing
import os
import re
import signal
import warnings

import pytest
import torch

from torch_imf import KGE, Predictor
from torch_imf.datasets import FakeMMKG
from torch_imf.encoders import PixelEncoder
from torch_imf.encoders.cache import FeatureCache
from torch_imf.hub import from_pretrained, save_pretrained
from torch_imf.io.download import RawFile, download
from torch_imf.training.checkpoint import TrainingState

resource = pytest.importorskip("resource")

CONTENT = bytes(100_000)
SIZE = 20_000
MESSAGE = r"'(.*)' could not be written, and is as it was before. Free some space"


def full(write, *args):
    """Returns what a process raises that can write no more than some bytes to any file."""

    def target(connection):
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (SIZE, SIZE))
        try:
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always")
                write(*args)
            connection.send((None, [str(warning.message) for warning in caught]))
        except Exception as error:
            connection.send((type(error).__name__, str(error)))

    fork = multiprocessing.get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    process = fork.Process(target=target, args=(sender,))
    process.start()
    sender.close()
    outcome = receiver.recv()
    process.join()
    return outcome


def files(folder):
    """Returns all files below a folder, apart from locks."""
    paths = [x for x in folder.rglob("*") if x.is_file() and not x.name.endswith(".lock")]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def check(kind, message, path=None):
    """Checks what a process raises, and returns the path that could not be written."""
    assert kind == "OSError", message
    found = re.search(MESSAGE, message)[1]
    assert path is None or found == str(path), message
    assert message.startswith("[Errno 27] File too large: '")  # Of this limit, as of a full disk.
    return found


def model(size=64):
    torch.manual_seed(0)
    return KGE(100, 3, size)


def test_datasets(tmp_path):
    path = check(*full(FakeMMKG, str(tmp_path)))
    assert path.startswith(f"{tmp_path}/processed/data_") and files(tmp_path) == {}
    data = FakeMMKG(str(tmp_path))[0]
    assert (tmp_path / "processed" / os.path.basename(path)).stat().st_size > SIZE
    before = files(tmp_path)
    for kwargs in ({"seed": 1}, {"force_reload": True}):
        assert full(lambda kwargs: FakeMMKG(str(tmp_path), **kwargs), kwargs)[0] == "OSError"
        assert files(tmp_path) == before
    assert torch.equal(FakeMMKG(str(tmp_path))[0].x_text, data.x_text)


def test_downloads(tmp_path, monkeypatch):
    source = tmp_path / "mirror" / "Set" / "source"
    source.mkdir(parents=True)
    (source / "facts.txt").write_bytes(CONTENT)
    monkeypatch.setenv("TORCH_IMF_MIRROR", str(tmp_path / "mirror"))
    file = RawFile("Set/source/facts.txt", hashlib.sha256(CONTENT).hexdigest())
    check(*full(download, file, str(tmp_path / "raw")), tmp_path / "raw" / "source" / "facts.txt")
    assert files(tmp_path / "raw") == {}
    download(file, str(tmp_path / "raw"))
    assert files(tmp_path / "raw") == {"source/facts.txt": CONTENT}


def test_features(tmp_path):
    cache = FeatureCache(tmp_path, PixelEncoder())
    x, keys = torch.randn(50, 300), [str(i) for i in range(50)]
    cache.write(keys[:1], x[:1])
    before = files(tmp_path)

    def write():
        cache.write(keys, x)
        cache.write(keys[1:2], x[1:2])  # No longer tried.

    kind, caught = full(write)
    assert kind is None and len(caught) == 1
    message = f"Features are not kept, as the cache '{cache.folder}' cannot be written to .*Free"
    assert re.match(message, caught[0]) and files(tmp_path) == before


def test_checkpoints(tmp_path):
    def save(model):
        TrainingState(model, [], {"metric": "mrr"}, tmp_path / "c.pt").save()

    check(*full(save, model()), tmp_path / "c.pt")
    assert files(tmp_path) == {}
    save(model(8))
    before = files(tmp_path)
    check(*full(save, model()), tmp_path / "c.pt")
    assert files(tmp_path) == before
    TrainingState(model(8), [], {"metric": "mrr"}, tmp_path / "c.pt").load()


def test_save_pretrained(tmp_path):
    assert f"{tmp_path}/a/model-" in check(*full(save_pretrained, model(), str(tmp_path / "a")))
    assert files(tmp_path) == {}
    save_pretrained(model(8), tmp_path / "a")
    before = files(tmp_path)
    check(*full(save_pretrained, model(), str(tmp_path / "a")))
    assert files(tmp_path) == before
    assert from_pretrained(tmp_path / "a").hidden_channels == 8


def test_predict_file(tmp_path):
    data = FakeMMKG()[0]
    lines = [f"{name}\t{data.rel_ids[0]}\t?\n" for name in data.node_ids[:60]]
    (tmp_path / "queries.tsv").write_text("".join(lines))
    predictor = Predictor(KGE(data.num_nodes, data.num_relations, 4), data)
    args = (str(tmp_path / "queries.tsv"), str(tmp_path / "answers.tsv"))
    for content in ({}, {"answers.tsv": b"old"}):
        for name, old in content.items():
            (tmp_path / name).write_bytes(old)
        before = files(tmp_path)
        check(*full(predictor.predict_file, *args), tmp_path / "answers.tsv")
        assert files(tmp_path) == before
    predictor.predict_file(*args)
    assert (tmp_path / "answers.tsv").stat().st_size > SIZE
