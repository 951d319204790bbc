from typing import get_args

import pytest

from torch_imf import datasets, encoders, registry
from torch_imf.cli import main
from torch_imf.cli.listing import Kind
from torch_imf.nn.scorer import Scorer


def test_datasets(capsys):
    assert main(["list", "datasets"]) == 0
    title, header, *lines = capsys.readouterr().out.splitlines()
    assert title == "datasets"
    columns = ["name", "version", "entities", "relations", "train", "val", "test", "text"]
    assert [x for x in header.split() if x in columns] == columns
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
    assert scorers["RotatE"] == (
        'The RotatE scorer from the "RotatE: Knowledge Graph Embedding by Relational Rotation in '
        'Complex Space" paper'
    )
    abouts = [x["about"] for kind in list(out)[1:] for x in out[kind] if x["name"] != "Twist"]
    assert all(10 < len(about) <= 120 for about in abouts)
    assert not any(mark in about for about in abouts for mark in ("`", "http", ":obj:", "<"))
    assert read("list", "models") == {"models": out["models"]}


def test_describe(read, capsys):
    assert read("describe")["scorers"] == list(registry.classes("scorer"))
    assert main(["describe", "complex"]) == 0
    title, _, text = capsys.readouterr().out.partition("\n\n")
    assert title.startswith("ComplEx(channels: int") and "Args:\n    channels (int)" in text
    assert not any(mark in text for mark in (":obj:", ":class:", ":math:", "`_"))
    assert read("describe", "fit")["text"].startswith("Trains a model")
    about = read("describe", "fit", "patience")["text"]
    assert about.startswith("patience (int, optional):") and "epochs (int" not in about


@pytest.mark.parametrize(
    "words, message", [("fit patienc", "no argument"), ("x", "nothing called")]
)
def test_bad_input(fails, words, message):
    assert message in fails("describe", *words.split())
