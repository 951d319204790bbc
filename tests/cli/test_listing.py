import re
import sys
from typing import get_args
from unittest.mock import Mock

import pytest
import torch

from torch_imf import datasets, encoders, registry
from torch_imf.cli import main
from torch_imf.cli.command import plain
from torch_imf.cli.inputs import Features, Graph
from torch_imf.cli.listing import Kind
from torch_imf.data import audit
from torch_imf.datasets import Countries
from torch_imf.nn.scorer import Scorer


def test_datasets(call):
    title, header, *lines = call("list", "datasets").splitlines()
    assert title == "datasets" and header.split()[:4] == "name version entities relations".split()
    names = registry.class_names("dataset")
    rows = [name for name in names for _ in getattr(datasets, name).stats]
    assert [line.split()[0] for line in lines] == rows
    (row,) = (line for line in lines if line.split()[0] == "Countries")
    assert {"725", "9", "1,663", "209", "197"} <= set(row.split())


def test_everything(read, monkeypatch):
    class Twist(Scorer):
        r"""Twists. And more."""

    monkeypatch.setattr(registry, "_registered", [Twist])  # Of another package.
    out = read("list")
    assert list(out) == list(get_args(Kind)) and all(out.values())
    assert {x["name"] for x in out["encoders"]} <= set(encoders.__all__)
    scorers = {x["name"]: x["about"] for x in out["scorers"]}
    assert scorers["Twist"] == "Twists" and read("describe", "twist")["name"] == "Twist"
    title = "RotatE: Knowledge Graph Embedding by Relational Rotation in Complex Space"
    assert scorers["RotatE"] == f'The RotatE scorer from the "{title}" paper'
    abouts = [x["about"] for kind in list(out)[1:] for x in out[kind] if x["name"] != "Twist"]
    assert all(10 < len(about) <= 120 for about in abouts)
    assert not any(mark in about for about in abouts for mark in ("`", "http", ":obj:", "<"))


def test_describe(read, call):
    assert read("describe")["scorers"] == list(registry.classes("scorer"))
    title, _, text = call("describe", "transe").partition("\n\n")
    assert title.startswith("TransE(channels: int") and "Args:\n    channels (int)" in text
    assert not any(mark in text for mark in (":obj:", ":class:", ":math:", "`_"))
    assert read("describe", "fit")["text"].startswith("Trains a model")
    about = read("describe", "fit", "patience")["text"]
    assert about.startswith("patience (int, optional):") and "epochs (int" not in about
    # A model comes before its fusion of the same name, unless it has no such argument:
    assert call("describe", "imf").startswith("IMF(num_nodes")
    assert read("describe", "imf", "scorer")["text"].startswith("scorer (str or Scorer, opt")
    assert read("describe", "imf", "rank")["text"].startswith("rank (int, optional)")
    about = read("describe", "complex", "channels")["text"]  # As its base class says.
    assert about.startswith("channels (int): Size of entity") and "rel_channels" not in about


def test_audit(call, read, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = call("audit", "countries", "--scheme", "clean").splitlines()
    assert out[0] == "Countries ('clean'): 725 entities, 9 relations"
    assert out[1:3] == ["  facts    1,663 train, 209 val, 209 test", "Splits"]
    found = audit(Countries(text=None, visual=None, numeric=None)[0])
    values = read("audit", "countries")
    assert values["problems"] == found.problems and values["audit"] == plain(found)
    assert list(tmp_path.iterdir()) == []  # It needs no folder, but takes one:
    call("audit", "Countries", "--root", tmp_path / "root")
    assert (tmp_path / "root" / "processed").is_dir()


def test_check(tmp_path, call, fails):
    facts = {"train": "a\tr\tb\nb\tr\tc\nc\tr\ta\n", "valid": "a\tr\tc\n", "test": "a\tr\tb\n"}
    for name, text in facts.items():
        (tmp_path / f"{name}.tsv").write_text(text)
    out = call("audit", tmp_path, "--check", status=1)  # Its one test fact is in training.
    assert "1 of 1 test rows" in out and "Pass '--scheme clean' to repair this." in out
    call("audit", tmp_path)
    (tmp_path / "test.tsv").write_text("b\tr\ta\n")
    call("audit", tmp_path, "--check")
    # Facts that are divided are not divided again:
    message = fails("audit", tmp_path, "--shares", "0.5", "0.3", "0.2")
    assert "'shares' divide one file of facts" in message and "valid.tsv" in message


def test_own_graph(call, tmp_path, read):
    (tmp_path / "facts.csv").write_text("head,relation,tail\n" + "a,r,b\nb,r,c\nc,r,a\na,s,c\n" * 3)
    (tmp_path / "texts.tsv").write_text("a\tThe first.\nb\tThe second.\n")
    args = ["audit", tmp_path, "--shares", "0.5", "0.25", "0.25"]
    out = call(*args)
    assert "facts.csv: 12 rows, left out: 8 repeated" in out
    assert "  text     2 entities (66.7%)\n" in out and "channels" not in out  # Nothing is encoded.
    values = read(*args)
    assert values["sources"][str(tmp_path / "facts.csv")]["repeated"] == 8
    assert values["summary"]["coverage"] == {"text": 2}


def test_split_entities(call, fails, tmp_path):
    rows = "".join(f"e{i}\tr\te{(i + k) % 20}\n" for i in range(20) for k in (1, 2, 3))
    (tmp_path / "facts.tsv").write_text(rows)
    out = call("audit", tmp_path, "--split-entities", "0.1")
    unseen = re.findall(r"(\d+) of (\d+) (val|test) facts have an entity that training lacks", out)
    assert len(unseen) == 2 and all(a == b for a, b, _ in unseen)
    assert call("audit", tmp_path, "--scheme", "inductive") == out
    for flags in (["0.5"], ["0.1", "--scheme", "clean"], ["0.1", "--shares", "0.5", "0.3", "0.2"]):
        message = fails("audit", tmp_path, "--split-entities", *flags)
        assert "'--split-entities' needs to be a share below a half" in message


def test_encode(tmp_path, read, capsys, monkeypatch):
    args = ["encode", "countries", "--visual-encoder", "none", "--out", str(tmp_path)]
    out, data = read(*args), Countries(visual=None)[0]
    assert set(out) == {"text", "numeric"} == {path.stem for path in tmp_path.iterdir()}
    assert out["numeric"]["entities"] == 399 and out["text"]["encoder"].startswith("TfidfEncoder(")
    # They are features to train with:
    files = {f"{name}_encoder": about["file"] for name, about in out.items()}
    again = Graph("countries").read(Features(**files, visual_encoder="none"))[0]
    for key in ("x_text", "text_mask", "x_numeric", "numeric_mask"):
        assert torch.equal(again[key], data[key])
    monkeypatch.setattr(Graph, "read", Mock(side_effect=KeyboardInterrupt))
    assert main(args) == 130
    assert capsys.readouterr().err.endswith(f"kept. To go on:\n  torch-imf {' '.join(args)}\n")


NONE = "--text-encoder none --visual-encoder none --numeric-encoder none"


@pytest.mark.parametrize(
    "words, message",
    [
        ("audit fb15k238", "There is no dataset 'fb15k238'. Did you mean 'FB15K"),
        ("audit countries --version imf", "Invalid '--version' argument (got 'imf'), leave it out"),
        ("audit countries --texts x.tsv", "'--texts' is for graphs of your own"),
        ("audit countries --split-seed 4", "'--split-seed' is for graphs of your own"),
        ("audit db15k", "Dataset not found. Please download 'entity2id.txt' from 'https://raw."),
        ("audit facts.tsv --version 1", "'--version' is for published datasets"),
        ("audit facts.tsv", "facts.tsv"),  # Which is too small to be split.
        ("audit empty", "The folder 'empty' holds no facts"),
        (f"encode countries {NONE}", "no texts, images or numbers"),
        ("encode countries --visual-encoder magic", "magic"),
        ("encode countries --numeric-encoder x", "no encoder 'x'"),
        ("encode countries --text-encoder tfdf", "no encoder 'tfdf'. Did you mean 'tfidf'?"),
        ("encode countries --visual-weights x.pth", "'--visual-weights' needs"),
        ("encode countries --text-encoder facts.npz", "facts.npz"),
        ("describe fit patienc", "no argument"),
        ("describe x", "nothing called"),
    ],
)
def test_bad_input(fails, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TORCH_IMF_MIRROR", raising=False)
    monkeypatch.setattr("urllib.request.urlopen", Mock(side_effect=OSError("no network")))
    for name in ("facts.tsv", "facts.npz"):
        (tmp_path / name).write_text("a\tr\n")
    (tmp_path / "empty").mkdir()
    assert message in fails(*words.split())


@pytest.mark.parametrize(
    "modality, name, expected",
    [
        ("text", "tfidf", "TfidfEncoder"),
        ("text", "all-MiniLM-L6-v2", "TextEncoder"),
        ("text", "own_encoders:Mine", "Mine"),
        ("visual", "pixel", "PixelEncoder"),
        ("visual", "mobilenetv2_050", "VisualEncoder"),
    ],
)
def test_encoders(tmp_path, monkeypatch, modality, name, expected):
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    source = "from torch_imf.encoders import TfidfEncoder\nclass Mine(TfidfEncoder): ..."
    (tmp_path / "own_encoders.py").write_text(source)
    assert type(Features().find(modality, name)).__name__ == expected


def test_audit_tells_pictures_that_cannot_be_read_or_belong_to_nobody(tmp_path, read, call):
    from PIL import Image

    facts = [f"n{i}\tnear\tn{(i + d) % 12}" for i in range(12) for d in (1, 2, 3)]
    (tmp_path / "facts.tsv").write_text("\n".join(facts))
    (tmp_path / "images").mkdir()
    for name in ("n0.png", "n1.jpg", "n99.png"):
        Image.new("RGB", (8, 8), "red").save(tmp_path / "images" / name)
    (tmp_path / "images" / "n2.jpg").write_bytes(b"no picture")
    cut = (tmp_path / "images" / "n1.jpg").read_bytes()[:-300]
    (tmp_path / "images" / "n3.jpg").write_bytes(cut)
    (tmp_path / "images" / "n4.svg").write_text("<svg/>")
    text = call("audit", tmp_path)
    assert "visual   2 entities (16.7%)\n" in text
    notes = text.partition("Notes")[2].partition("Splits")[0]
    assert "1 of the 6 files in" in notes and "'n4.svg'" in notes
    assert "1 of the 5 images in" in notes and "'n99.png'" in notes
    assert "2 images cannot be read" in notes and "'n2.jpg' (" in notes and "'n3.jpg' (" in notes
    assert len(read("audit", tmp_path)["notes"]) == 3


def test_columns(tmp_path, call, fails, capsys):
    path = tmp_path / "facts.csv"
    rows = [f"n{i};n{(i + k) % 12};by" for i in range(12) for k in (1, 2, 3)]
    path.write_text("\n".join(["Von;Nach;Wodurch", *rows]))
    assert main(["audit", str(path)]) == 0
    out, err = capsys.readouterr()
    assert "12 entities, 1 relations" in out and "separated by semicolons" in out
    assert "'Wodurch' is taken for the relation" in err and "pass '--columns 1,2,3'" in err
    assert main(["audit", str(path), "--columns", "Von,Wodurch,Nach"]) == 0
    again, err = capsys.readouterr()
    assert "12 entities, 1 relations" in again and err == ""
    assert "no header" in call("audit", path, "--columns", "1,3,2", "--no-header")
    assert "there is no column 'An'" in fails("audit", path, "--columns", "Von,Wodurch,An")
