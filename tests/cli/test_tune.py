import shlex
from unittest.mock import Mock

import pytest

from torch_imf import pretrained_graph
from torch_imf.cli import main
from torch_imf.cli.train import read_space

SPACE = ["hidden_channels=4,8", "lr=0.01:0.2", "scorer=complex", "loss=ce", "optimizer=adagrad"]


@pytest.mark.parametrize(
    "word, value",
    [
        ("lr=1e-4:1e-2", (1e-4, 1e-2)),
        ("epochs=3:9", (3, 9)),
        ("patience=none,4", [None, 4]),
        ("scorer.batch_norm=true,false", [True, False]),
        ("scorer=distmult,complex", ["distmult", "complex"]),
        ("fusion.rank=2", 2),
    ],
)
def test_read_space(word, value):
    assert read_space([word]) == {word.partition("=")[0]: value}


def test_tune(fast, tmp_path, read, monkeypatch):
    monkeypatch.chdir(tmp_path)
    args = ["tune", *fast[:-2], "--space", *SPACE, "--epochs", "2"]
    first = read(*args, "--trials", "2")
    values = [x["value"] for x in first["trials"]]
    assert len(values) == 2 and values == sorted(values, reverse=True)
    assert first["best"] == values[0] and (tmp_path / "runs" / "countries-imf.db").is_file()
    # It goes on, and what was done stands:
    both = read(*args, "--trials", "3")
    assert len(both["trials"]) == 3 and all(x in both["trials"] for x in first["trials"])


def test_train_command(tmp_path, read):
    # It is about the same facts and the same model, whatever the space leaves to defaults:
    rows = [f"e{i}\tr{j}\te{(3 * i + j) % 20}\n" for i in range(20) for j in range(3)]
    (tmp_path / "facts.tsv").write_text("".join(rows))
    (tmp_path / "texts.tsv").write_text("e1\tone\nnobody\ttwo\n")
    graph = [str(tmp_path), "--no-strict", "--no-header", "--split-seed", "3"]
    args = ["--space", "hidden_channels=4", "--epochs", "1", "--trials", "1"]
    out = read("tune", *graph, *args, "--study", tmp_path / "study.db")
    words = shlex.split(out["command"])[1:]
    trained = read(*words, "--seed", "5", "--out", tmp_path / "run")
    expected = {"hidden_channels": 4, "epochs": 1, "metric": "mrr"}
    assert {**out["settings"]["model"], **out["settings"]["fit"]} == expected
    assert trained["settings"] == {"model": "imf", **expected}
    facts = {"run": held_out(tmp_path / "run")}
    for seed in ("0", "3"):
        args = ["train", *graph[:-1], seed, "--epochs", "1", "--out", str(tmp_path / seed)]
        assert main(args) == 0
        facts[seed] = held_out(tmp_path / seed)
    assert facts["0"] != facts["3"] == facts["run"]


def held_out(run):
    data = pretrained_graph(run / "model")
    return data.edge_index[:, data.test_mask].tolist()


def test_bad_input(fast, fails, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    args = ["tune", *fast[:-2], "--study", tmp_path / "study.db", "--space"]
    assert "names and values" in fails(*args, "lr")
    assert "takes 'scorer.magic'" in fails(*args, "hidden_channels=8", "scorer.magic=1")
    assert list(tmp_path.iterdir()) == []


def test_interrupted(fast, tmp_path, capsys, monkeypatch):
    stop = Mock(side_effect=KeyboardInterrupt("Stopped after 3 of 20 trials, which are kept"))
    monkeypatch.setattr("torch_imf.tune", stop, raising=False)
    assert main(["tune", *fast[:-2], "--study", str(tmp_path / "study.db")]) == 130
    err = capsys.readouterr().err
    assert "Stopped after 3 of 20 trials, which are kept. To go on:\n  torch-imf tune" in err
