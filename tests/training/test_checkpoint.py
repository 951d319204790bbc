import shutil

import pytest
import torch
from filelock import FileLock, Timeout

from torch_imf.io.sealed import seal, unseal
from torch_imf.nn import KGE, ContextualRelationalScorer
from torch_imf.training.checkpoint import CheckpointError, TrainingState, fingerprint, first_seed

MRR = {"metric": "mrr"}


def build(**kwargs):
    return KGE(9, 2, 4, **{"scorer": ContextualRelationalScorer(4), **kwargs})


def test_fingerprint():
    first = fingerprint(build())
    torch.manual_seed(1)
    model = build().eval()
    assert fingerprint(model) == first  # What it has learned, and its mode, do not matter.
    for kwargs in (  # Some of which have no parameters.
        {"scorer": ContextualRelationalScorer(4, dropout=0.1)},
        {"scorer": ContextualRelationalScorer(4, similarity="dot")},
        {"scorer": "distmult"},
        {"loss": "ce"},
    ):
        assert fingerprint(build(**kwargs)) != first


def test_what_it_holds(tmp_path):
    names = {"node_ids": [f"node {i}" for i in range(9)], "rel_ids": ["r", "s"]}
    args, path = (build(), [], MRR, tmp_path / "c.pt"), tmp_path / "c.pt"
    TrainingState(*args, names=names).save()
    found = unseal(str(path))
    assert found["format"] == 2 and found["names"] == names
    assert torch.__version__.startswith(found["versions"]["torch"])
    other = {**names, "node_ids": names["node_ids"][::-1]}
    with pytest.raises(CheckpointError, match=r"another model, graph .*: \['node_ids'\]"):
        TrainingState(*args, names=other).load()
    with open(path, "wb") as file:
        seal({**found, "format": 3}, file)
    with pytest.raises(CheckpointError, match="is no checkpoint of this version of 'fit'"):
        TrainingState(*args, names=names).load()


def test_first_seed(tmp_path):
    path, seed = tmp_path / "c.pt", -1
    torch.manual_seed(seed)
    began = torch.initial_seed()
    state = TrainingState(build(), [], MRR, path)
    state.save()
    assert first_seed(path) == began
    torch.manual_seed(seed + 1)
    torch.rand(9)
    state.load()  # It goes on with that seed, however many numbers were drawn in between.
    torch.rand(9)
    state.save()
    assert first_seed(path) == began


def test_two_trainings_with_one_file(tmp_path):
    path = tmp_path / "c.pt"
    lock = FileLock(tmp_path / ".c.pt.lock")
    with lock, pytest.raises(RuntimeError, match="c.pt' is in use by another .*choose another"):
        TrainingState(build(), [], MRR, path)
    state = TrainingState(build(), [], MRR, path)
    with pytest.raises(Timeout):
        lock.acquire(timeout=0)
    state.close()
    with lock:
        pass


def test_a_folder_that_is_removed(tmp_path):
    folder = tmp_path / "run"
    first = TrainingState(build(), [], MRR, folder / "c.pt")
    first.save()
    shutil.rmtree(folder)
    with pytest.raises(RuntimeError, match="c.pt' is not written, as its folder was removed"):
        first.save()
    assert not folder.exists()
    # Another process begins there:
    folder.mkdir()
    (folder / ".c.pt.lock").touch()
    with pytest.raises(RuntimeError, match="is now that of another"):
        first.save()
