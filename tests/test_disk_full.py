import hashlib
import multiprocessing
import re
import signal
import warnings

import pytest
import torch

from torch_imf import KGE, predict_file
from torch_imf.datasets import FakeMMKG
from torch_imf.encoders import PixelEncoder
from torch_imf.encoders.cache import FeatureCache
from torch_imf.hub import from_pretrained, save_pretrained
from torch_imf.io.download import RawFile, download
from torch_imf.training.checkpoint import TrainingState

resource = pytest.importorskip("resource")

SIZE = 20_000
# Of this limit, as of a full disk:
MESSAGE = r"\[Errno 27\] File too large: '(.*)' could not be written, and is as it was before. Free"


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


def model(size=64):
    torch.manual_seed(0)
    return KGE(100, 3, size)


def state(folder, size=64):
    return TrainingState(model(size), [], {"metric": "mrr"}, folder / "c.pt")


def answers(folder, size=60):
    data = FakeMMKG()[0]
    lines = [f"{name}\t{data.rel_ids[0]}\t?\n" for name in data.node_ids[:size]]
    queries = folder.with_suffix(".tsv")
    queries.write_text("".join(lines))
    ranker = KGE(data.num_nodes, data.num_relations, 4)
    predict_file(ranker, data, str(queries), str(folder / "answers.tsv"))


def fetch(folder, size=100_000):
    digest = hashlib.sha256(bytes(size)).hexdigest()
    download(RawFile(f"Set/source/{size}.txt", digest), str(folder))


@pytest.mark.parametrize(
    "name, small, write",
    [
        ("processed/data_", 0, lambda x, seed=0: FakeMMKG(str(x), seed=seed, force_reload=True)),
        ("c.pt", 8, lambda folder, *size: state(folder, *size).save()),
        ("a/model-", 8, lambda folder, *size: save_pretrained(model(*size), folder / "a")),
        ("answers.tsv", 3, answers),
        ("source/100000.txt", 8, fetch),
    ],
)
def test_a_full_disk_changes_nothing(tmp_path, monkeypatch, name, small, write):
    folder, mirror = tmp_path / "new", tmp_path / "mirror"
    for path in (folder, mirror / "Set" / "source"):
        path.mkdir(parents=True)
    for size in (small, 100_000):  # That of `fetch`.
        (mirror / "Set" / "source" / f"{size}.txt").write_bytes(bytes(size))
    monkeypatch.setenv("TORCH_IMF_MIRROR", str(mirror))
    for is_new in (True, False):
        if not is_new:
            write(folder, small)
        before = files(folder)
        kind, message = full(write, folder)
        assert kind == "OSError" and files(folder) == before and is_new == (before == {})
        assert re.match(MESSAGE, message)[1].startswith(f"{folder}/{name}"), message
    # What is there is whole:
    if name == "c.pt":
        state(folder, 8).load()
    if name == "a/model-":
        assert from_pretrained(folder / "a").hidden_channels == 8


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
