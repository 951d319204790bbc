import configparser
from pathlib import Path

import pytest

from torch_imf.cli import start
from torch_imf.datasets import MultimodalKG

ROOT = Path(__file__).parent.parent.parent


@pytest.mark.filterwarnings("error::torch_imf.io.TorchIMFWarning")
def test_new(call, fails, tmp_path):
    folder = tmp_path / "my_graph"
    out = call("new", folder)
    assert f"torch-imf train {folder} --out runs/my_graph\n" in out
    dataset = MultimodalKG.from_folder(folder)
    data = dataset[0]
    assert [int(x.sum()) for x in (data.visual_mask, data.text_mask)] == [15, 43]
    assert data.node_types[data.node_ids.index("Titan")] == ["Moon"]
    assert dataset.report().audit.is_clean
    assert fails("new", folder) == f"'{folder}' is not empty, name another folder"


def test_train_what_is_new(call, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    call("new", "my_graph")
    args = ["--epochs", "2", "--hidden-channels", "8", "--recipe", "none", "-q"]
    call("train", "my_graph", "--out", "run", *args)
    out = call("predict", "run", "--head", "Europa", "--relation", "orbits", "--types", "Planet")
    assert "Europa  orbits  ?" in out and "Galileo" not in out


def test_doctor(call, read, monkeypatch):
    import torch

    found = read("doctor")
    assert found["versions"]["torch"] == torch.__version__ and found["extras"].keys() == {*extras()}
    monkeypatch.setattr(start, "available_cores", lambda: 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(start, "find_spec", lambda name: None)
    monkeypatch.setattr(start.shutil, "which", lambda name: "/usr/bin/nvidia-smi")
    monkeypatch.setenv("TORCH_IMF_MIRROR", "/no/where")
    monkeypatch.setenv("TORCH_IMF_CACHE", "/proc/cache")
    out = call("doctor")
    for words in (
        "PyTorch takes 64 threads, but this process has 1 cores",
        "sees no GPU",
        "is '/no/where', which is no folder",
        "figures, missing: torch_imf[plot]",
    ):
        assert words in out


def extras():
    # Those of users, with something of their own.
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    return {*setup["options.extras_require"]} - {"full", "docs", "benchmark", "test"}
