import pytest
import torch

from torch_imf import from_pretrained, pretrained_graph, save_pretrained
from torch_imf.cli import main
from torch_imf.cli.figures import NAMES, metrics

pytest.importorskip("matplotlib")

FACT = ["--head", "Argentina", "--relation", "borders", "--tail", "Paraguay"]


def test_figures(saved, read, tmp_path):
    out = read("figures", saved, "--out", tmp_path, *FACT)
    assert list(out["figures"]) == list(NAMES) and out["left_out"] == {}
    for name in NAMES:
        content = (tmp_path / f"{name}.png").read_bytes()
        assert content.startswith(b"\x89PNG") and len(content) > 5000
    args = ["--only", "weights", "history", "--relations", "borders", "--format", "svg"]
    out = read("figures", saved, "--out", tmp_path / "some", *args)
    assert list(out["figures"]) == ["weights", "history"]
    assert {x.name for x in (tmp_path / "some").iterdir()} == {"weights.svg", "history.svg"}


def test_history_metrics():
    # The epoch that is marked is the one that the model was left with:
    assert metrics({}) == metrics({"settings": {"metric": "mrr"}}) == ["mrr", "hits@10"]
    assert metrics({"settings": {"metric": "hits@1"}}) == ["hits@1", "mrr", "hits@10"]
    assert metrics({"settings": {"metric": "mr"}}) == ["mr"]


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
    (saved / "history.json").rename(saved / "kept.json")
    try:
        (saved / "history.json").write_text("[{")
        assert "history.json' is damaged" in fails(*args, "--only", "history")
    finally:
        (saved / "kept.json").replace(saved / "history.json")
    assert not (tmp_path / "figures").exists()
