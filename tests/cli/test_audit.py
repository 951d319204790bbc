from unittest.mock import Mock

import pytest

from torch_imf.cli import main
from torch_imf.data import audit
from torch_imf.datasets import Countries


def test_audit(capsys, read, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["audit", "countries", "--scheme", "clean"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("Countries(725, num_relations=9, scheme='clean'")
    assert out[1].startswith("725 entities (0 of them in no fact) and 9 relations, 2,081 rows")
    assert out[3].split() == ["train", "val", "test"]
    assert out[4].split() == ["rows", "1,663", "209", "209"]
    assert any(line.startswith("- symmetric relations (1):") for line in out)
    found = audit(Countries(text=None, visual=None, numeric=None)[0])
    values = read("audit", "countries")
    assert values["problems"] == found.problems
    assert values["audit"]["test_implied"] == found.test_implied
    assert values["audit"]["splits"]["test"]["rows"] == 209
    assert list(tmp_path.iterdir()) == []  # It needs no folder, but takes one:
    assert main(["audit", "Countries", "--root", str(tmp_path / "root")]) == 0
    assert (tmp_path / "root" / "processed").is_dir()


def test_check(tmp_path, capsys, fails):
    facts = {"train": "a\tr\tb\nb\tr\tc\nc\tr\ta\n", "valid": "a\tr\tc\n", "test": "a\tr\tb\n"}
    for name, text in facts.items():
        (tmp_path / f"{name}.tsv").write_text(text)
    assert main(["audit", str(tmp_path), "--check"]) == 1  # Its one test fact is in training.
    out = capsys.readouterr().out
    assert "1 of 1 test rows" in out and "Pass '--scheme clean' to repair this." in out
    assert main(["audit", str(tmp_path)]) == 0
    (tmp_path / "test.tsv").write_text("b\tr\ta\n")
    assert main(["audit", str(tmp_path), "--check"]) == 0
    # Facts that are divided are not divided again:
    message = fails("audit", tmp_path, "--shares", "0.5", "0.3", "0.2")
    assert "'--shares' divides one file of facts" in message and "valid.tsv" in message


def test_own_graph(capsys, tmp_path, read):
    (tmp_path / "facts.csv").write_text("head,relation,tail\n" + "a,r,b\nb,r,c\nc,r,a\na,s,c\n" * 3)
    (tmp_path / "texts.tsv").write_text("a\tThe first.\nb\tThe second.\n")
    args = ["audit", str(tmp_path), "--shares", "0.5", "0.25", "0.25"]
    assert main(args) == 0
    out = capsys.readouterr().out
    assert "facts.csv: 12 rows, left out: 8 repeated" in out
    assert "  text     2 entities (66.7%)\n" in out and "channels" not in out  # Nothing is encoded.
    values = read(*args)
    assert values["sources"][str(tmp_path / "facts.csv")]["repeated"] == 8
    assert values["summary"]["coverage"] == {"text": 2}


@pytest.mark.mirror
def test_db15k(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("socket.create_connection", Mock(side_effect=OSError("no network")))
    args = ["audit", "db-15k", "--root", str(tmp_path), "--version"]
    assert main([*args, "mmrns"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("DB15K(12842, num_relations=279)\n")
    assert "8,719 of 9,904 val rows (6,584 distinct facts) are in train as well.\n" in out
    assert main([*args, "imf", "--scheme", "clean"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("DB15K(12842, num_relations=279, version='imf'")
    assert "19,275" in out and " as well" not in out


@pytest.mark.parametrize(
    "words, message",
    [
        ("fb15k238", "There is no dataset 'fb15k238'. Did you mean 'FB15K"),
        ("countries --version imf", "Invalid 'version' argument (got 'imf'), leave it out"),
        ("countries --texts x.tsv", "'--texts' is for graphs of your own"),
        ("countries --split-seed 4", "'--split-seed' is for graphs of your own"),
        ("db15k", "Dataset not found. Please download 'entity2id.txt' from 'https://raw.github"),
        ("facts.tsv --version 1", "'--version' is for published datasets"),
        ("facts.tsv", "facts.tsv"),  # Which is too small to be split.
        ("empty", "The folder 'empty' holds no facts"),
    ],
)
def test_bad_input(fails, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TORCH_IMF_MIRROR", raising=False)
    monkeypatch.setattr("urllib.request.urlopen", Mock(side_effect=OSError("no network")))
    (tmp_path / "facts.tsv").write_text("a\tr\n")
    (tmp_path / "empty").mkdir()
    assert message in fails("audit", *words.split())
