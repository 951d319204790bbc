from torch_imf import datasets, encoders, registry
from torch_imf.cli import main
from torch_imf.cli.listing import KINDS
from torch_imf.nn import fusion, models, scorer
from torch_imf.nn.scorer import Scorer
from torch_imf.registry import class_names


def test_datasets(capsys):
    assert main(["list", "datasets"]) == 0
    table, _, notes = capsys.readouterr().out.partition("\n\n")
    title, header, *lines = table.splitlines()
    assert title == "datasets" and "of YAGO15K, a mirror may hold no more" in notes
    expected = ["name", "version", "entities", "relations", "train", "val", "test", "text"]
    assert [x for x in header.split() if x in expected][:8] == expected
    names = [name for name in class_names("dataset") for _ in getattr(datasets, name).stats]
    assert [line.split()[0] for line in lines] == names
    (row,) = (line for line in lines if line.split()[0] == "Countries")
    assert {"725", "9", "1,663", "209", "197"} <= set(row.split())


def test_everything(read):
    out = read("list")
    assert list(out) == list(KINDS)
    for kind, module in {"models": models, "scorers": scorer, "fusions": fusion}.items():
        assert {x["name"] for x in out[kind]} <= set(module.__all__) and len(out[kind]) > 2
    assert [x["name"] for x in out["samplers"]] == class_names("sampler")
    assert {x["name"] for x in out["encoders"]} <= set(encoders.__all__)
    abouts = [x["about"] for kind in list(out)[1:] for x in out[kind]]
    assert all(20 < len(about) <= 120 or about == "A structure-only model" for about in abouts)
    assert not any(mark in about for about in abouts for mark in ("`", "http", ":obj:", "<"))
    (about,) = (x["about"] for x in out["scorers"] if x["name"] == "RotatE")
    assert about == (
        'The RotatE scorer from the "RotatE: Knowledge Graph Embedding by Relational Rotation in '
        'Complex Space" paper'
    )
    assert list(read("list", "models")) == ["models"]


def test_describe(read, capsys, fails):
    assert read("describe")["scorers"] == list(registry.classes("scorer"))
    assert main(["describe", "complex"]) == 0
    title, _, text = capsys.readouterr().out.partition("\n\n")
    assert title.startswith("ComplEx(channels: int") and "Args:\n    channels (int)" in text
    assert not any(mark in text for mark in (":obj:", ":class:", ":math:", "`_"))
    assert read("describe", "Countries")["name"] == "Countries"
    assert read("describe", "fit")["text"].startswith("Trains a model")
    about = read("describe", "fit", "patience")["text"]
    assert about.startswith("patience (int, optional):") and "epochs (int" not in about
    assert "no argument 'patienc'" in fails("describe", "fit", "patienc")
    assert "nothing called 'countrys'" in fails("describe", "countrys")


def test_others(read, tmp_path, monkeypatch):
    # Classes of other packages, once they are registered:
    class Twist(Scorer):
        r"""Twists. And more."""

    monkeypatch.setattr(registry, "_registered", [Twist])
    assert {"name": "Twist", "about": "Twists"} in read("list", "scorers")["scorers"]
    assert read("describe", "twist")["name"] == "Twist"
