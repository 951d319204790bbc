import subprocess
import sys
from unittest.mock import Mock

import pytest

from torch_imf import datasets
from torch_imf.cli import main
from torch_imf.datasets.stats import read_stats


def test_list(capsys):
    assert main(["list"]) == 0
    table, _, notes = capsys.readouterr().out.partition("\n\n")
    header, *lines = table.splitlines()
    assert "of YAGO15K, a mirror may hold no more" in notes
    assert header.split() == [
        *["dataset", "version", "entities", "relations", "train", "val", "test"],
        *["entities", "with"],
    ]
    rows = [line.split(maxsplit=7) for line in lines]
    expected = [
        [name, row.get("version", "-"), *(row[f"#{key}"] for key in header.split()[2:7])]
        for name in datasets.classes
        for row in read_stats(getattr(datasets, name))
    ]
    assert [row[:7] for row in rows] == expected
    assert {row[0] for row in rows} == set(datasets.classes) - {"FakeMMKG"}
    assert "description 12,839, numbers 10,971, images 269" in {row[7] for row in rows}
    assert len({line.index(row[7]) for line, row in zip(lines, rows, strict=True)}) == 1


def test_module():
    out = subprocess.run(
        [sys.executable, "-m", "torch_imf", "list"], capture_output=True, text=True, check=True
    )
    assert len(out.stdout.splitlines()) > 8
    assert out.stdout.startswith("dataset ")


@pytest.mark.parametrize("split", ["original", "clean"])
def test_audit(capsys, tmp_path, monkeypatch, split):
    monkeypatch.chdir(tmp_path)
    assert main(["audit", "countries", "--split", split]) == 0
    out = capsys.readouterr().out.splitlines()
    settings = ", split='clean'" * (split == "clean")
    assert out[0] == f"Countries(725, num_relations=9{settings})"
    assert out[1].startswith("725 entities (0 of them in no fact) and 9 relations, 2,081 rows")
    assert out[3].split() == ["train", "val", "test"]
    assert out[4].split() == ["rows", "1,663", "209", "209"]
    assert any(line.startswith("- symmetric relations (1):") for line in out)
    assert list(tmp_path.iterdir()) == []  # It needs no folder.


def test_audit_root(capsys, tmp_path):
    assert main(["audit", "Countries", "--root", str(tmp_path / "root")]) == 0
    assert (tmp_path / "root" / "processed").is_dir()


@pytest.mark.mirror
def test_audit_db15k(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("socket.create_connection", Mock(side_effect=OSError("no network")))
    args = ["audit", "db-15k", "--root", str(tmp_path), "--version"]
    assert main([*args, "mmrns"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("DB15K(12842, num_relations=279)\n")
    assert "8,719 of 9,904 val rows (6,584 distinct facts) are in train as well.\n" in out
    assert "73 of 7,481 val facts are in no other split.\n" in out

    assert main([*args, "imf", "--split", "clean"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("DB15K(12842, num_relations=279, version='imf', split='clean')\n")
    assert "19,275" in out and " as well" not in out


@pytest.mark.parametrize(
    "args, message",
    [
        (["fb15k238"], "There is no dataset 'fb15k238', expected one of ['Countries',"),
        (
            ["FakeMMKG"],
            "There is no dataset 'FakeMMKG', expected one of ['Countries',",
        ),  # Is not in the list.
        (["countries", "--split", "dedup"], "Invalid 'split' argument (got 'dedup'), expected one"),
        (["countries", "--version", "imf"], "Invalid 'version' argument (got 'imf'), leave it out"),
        (["db15k", "--version", "mmkb"], "expected one of ['mmrns', 'imf']"),
        (["db15k"], "Dataset not found. Please download 'entity2id.txt' from 'https://raw.github"),
    ],
)
def test_bad_input(capsys, tmp_path, monkeypatch, args, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TORCH_IMF_MIRROR", raising=False)
    monkeypatch.setattr("urllib.request.urlopen", Mock(side_effect=OSError("no network")))
    with pytest.raises(SystemExit) as error:
        main(["audit", *args])
    assert error.value.code == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()[-1].startswith("python -m torch_imf: ")
    assert message in err.splitlines()[-1]
    assert all(line.startswith("Downloading ") for line in err.splitlines()[:-1])


@pytest.mark.parametrize("args", [[], ["audit"], ["plot"], ["list", "countries"]])
def test_usage(capsys, args):
    with pytest.raises(SystemExit) as error:
        main(args)
    assert error.value.code == 2
    assert capsys.readouterr().err.startswith("usage: python -m torch_imf")
