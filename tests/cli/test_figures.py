import pytest
import torch

from torch_imf import from_pretrained, pretrained_graph, save_pretrained
from torch_imf.cli import main
from torch_imf.cli.figures import NAMES, history_metrics

pytest.importorskip("matplotlib")


def test_figures(saved, read, tmp_path):
    fact = ["--head", "Argentina", "--relation", "borders", "--tail", "Paraguay"]
    out = read("figures", saved, "--out", tmp_path, *fact)
    assert list(out["figures"]) == list(NAMES) and out["left_out"] == {}
    for name in NAMES:
        content = (tmp_path / f"{name}.png").read_bytes()
        assert content.startswith(b"\x89PNG") and len(content) > 5000


def test_some(saved, read, tmp_path):
    args = ["--only", "weights", "history", "--relations", "borders", "--format", "svg"]
    out = read("figures", saved, "--out", tmp_path, *args)
    assert list(out["figures"]) == ["weights", "history"]
    assert {path.name for path in tmp_path.iterdir()} == {"weights.svg", "history.svg"}


@pytest.mark.parametrize(
    "metric, drawn",
    [
        (None, ["mrr", "hits@10"]),
        ("mrr", ["mrr", "hits@10"]),
        ("hits@1", ["hits@1", "mrr", "hits@10"]),
        ("mr", ["mr"]),
    ],
)
def test_history_metrics(metric, drawn):
    # The epoch that is marked is the one that the model was left with:
    settings = {} if metric is None else {"metric": metric}
    assert history_metrics({"settings": settings}) == drawn


def test_left_out(saved, tmp_path, capsys):
    # The model alone has no history:
    assert main(["figures", str(saved / "model"), "--out", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 5 and not (tmp_path / "history.png").exists()
    assert "No figure 'history': There is no" in err


def test_no_test_facts(saved, read, fails, tmp_path):
    # Of a graph without test facts, there is all that needs none:
    folder = saved / "model"
    data = pretrained_graph(folder)
    data.test_mask = torch.zeros_like(data.test_mask)
    save_pretrained(from_pretrained(folder), tmp_path / "model", data)
    args = ["figures", tmp_path / "model", "--out", tmp_path / "figures", "--only"]
    assert "there is no test fact, give '--head'" in fails(*args, "decision", "weights")
    fact = ["--head", "Argentina", "--relation", "borders", "--tail", "Paraguay"]
    assert list(read(*args, "decision", *fact)["figures"]) == ["decision"]


def test_bad_input(saved, fails, tmp_path):
    args = ["figures", saved, "--out", tmp_path / "figures"]
    assert "needs '--head', '--relation' and '--tail'" in fails(*args, "--head", "France")
    fact = ["--relation", "borders", "--tail", "Spain"]
    assert "no entity 'Frnce'" in fails(*args, "--head", "Frnce", *fact)
    assert "no relation 'x'" in fails(*args, "--only", "weights", "--relations", "x")
    (saved / "history.json").rename(saved / "kept.json")
    try:
        for text in ("[{", "null", "[1]", "[" * 100_000):
            (saved / "history.json").write_text(text)
            assert "history.json' is damaged" in fails(*args, "--only", "history")
    finally:
        (saved / "kept.json").replace(saved / "history.json")
    assert not (tmp_path / "figures").exists()
