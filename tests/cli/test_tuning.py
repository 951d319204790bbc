import shlex

import pytest

from torch_imf.cli import main
from torch_imf.cli.tuning import read_space

SPACE = ["hidden_channels=4,8", "lr=0.01:0.2", "scorer=complex", "loss=ce", "optimizer=adagrad"]


@pytest.mark.parametrize(
    "word, value",
    [
        ("lr=1e-4:1e-2", (1e-4, 1e-2)),
        ("hidden_channels=64,128", [64, 128]),
        ("epochs=3:9", (3, 9)),
        ("patience=none,4", [None, 4]),
        ("scorer.batch_norm=true,false", [True, False]),
        ("loss=ce", "ce"),
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
    assert [x["value"] for x in first["trials"]] == sorted(
        (x["value"] for x in first["trials"]), reverse=True
    )
    assert first["best"] == first["trials"][0]["value"] and len(first["trials"]) == 2
    assert (tmp_path / "runs" / "countries-imf.db").is_file()
    # It goes on, and what was done stands:
    both = read(*args, "--trials", "3")
    assert len(both["trials"]) == 3 and all(x in both["trials"] for x in first["trials"])
    # The command that it shows trains with these settings:
    words = shlex.split(both["command"])
    assert words[:3] == ["torch-imf", "train", "countries"]
    trained = read(*words[1:], "--out", tmp_path / "run")
    settings = {**both["settings"]["model"], **both["settings"]["fit"]}
    assert trained["settings"] == {"model": "imf", **settings}


def test_bad_input(fast, fails, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    args = ["tune", *fast[:-2], "--study", tmp_path / "study.db", "--space"]
    assert "names and values" in fails(*args, "lr")
    assert "takes 'scorer.magic'" in fails(*args, "hidden_channels=8", "scorer.magic=1")
    assert "'lr' needs to be a pair" in fails(*args, "hidden_channels=8", "lr=1:0.1")
    assert list(tmp_path.iterdir()) == []


def test_interrupted(fast, tmp_path, capsys, monkeypatch):
    def tune(*args, **kwargs):
        raise KeyboardInterrupt("Stopped after 3 of 20 trials, which are kept")

    monkeypatch.setattr("torch_imf.cli.tuning.tune", tune)
    assert main(["tune", *fast[:-2], "--study", str(tmp_path / "study.db")]) == 130
    err = capsys.readouterr().err
    assert "Stopped after 3 of 20 trials, which are kept. To go on:\n  torch-imf tune" in err
