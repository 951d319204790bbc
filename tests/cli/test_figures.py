from typing import get_args
from unittest.mock import Mock

import pytest
import torch

from torch_imf import from_pretrained, pretrained_graph, save_pretrained, visualize
from torch_imf.cli import main
from torch_imf.cli.answers import Name
from torch_imf.cli.saved import Saved

pytest.importorskip("matplotlib")

FACT = ["--head", "Argentina", "--relation", "borders", "--tail", "Paraguay"]


def test_figures(saved, read, tmp_path):
    out = read("figures", saved, "--out", tmp_path, *FACT)
    assert list(out["figures"]) == list(get_args(Name)) and out["left_out"] == {}
    for name in get_args(Name):
        content = (tmp_path / f"{name}.png").read_bytes()
        assert content.startswith(b"\x89PNG") and len(content) > 5000
    args = ["--only", "weights", "history", "--relations", "borders", "--format", "svg"]
    out = read("figures", saved, "--out", tmp_path / "some", *args)
    assert list(out["figures"]) == ["weights", "history"]
    assert {x.name for x in (tmp_path / "some").iterdir()} == {"weights.svg", "history.svg"}


@pytest.mark.parametrize("metric, drawn", [("mr", 1), ("mrr", 2), ("hits@1", 3)])
def test_history(saved, read, tmp_path, monkeypatch, metric, drawn):
    # The epoch that is marked is the one that the model was left with:
    monkeypatch.setattr(Saved, "training", {"settings": {"metric": metric}})
    plot = Mock(wraps=visualize.plot_history)
    monkeypatch.setattr(visualize, "plot_history", plot)
    read("figures", saved, "--out", tmp_path, "--only", "history")
    metrics = plot.call_args.kwargs["metrics"]
    assert metrics[0] == metric and len(metrics) == drawn


def test_left_out(saved, read, fails, tmp_path, capsys):
    # The model alone has no history, and a graph may have no test facts:
    data = pretrained_graph(saved / "model")
    data.test_mask = torch.zeros_like(data.test_mask)
    save_pretrained(from_pretrained(saved / "model"), tmp_path / "model", data)
    args = ["figures", tmp_path / "model", "--out", tmp_path / "out", "--only"]
    assert "there is no test fact, give '--head'" in fails(*args, "decision", "weights")
    assert list(read(*args, "decision", *FACT)["figures"]) == ["decision"]
    assert main(["figures", str(tmp_path / "model"), "--out", str(tmp_path / "all")]) == 0
    assert "No figure 'history': There is no" in capsys.readouterr().err
    names = {path.stem for path in (tmp_path / "all").iterdir()}
    assert names == {"weights", "contextual"}


def test_bad_input(saved, fails, tmp_path):
    args = ["figures", saved, "--out", tmp_path / "figures"]
    assert "needs '--head', '--relation' and '--tail'" in fails(*args, *FACT[:2])
    assert "no entity 'Frnce'" in fails(*args, "--head", "Frnce", *FACT[2:])
    assert "no relation 'x'" in fails(*args, "--only", "weights", "--relations", "x")
    assert not (tmp_path / "figures").exists()
