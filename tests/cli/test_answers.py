import json
from typing import get_args
from unittest.mock import Mock

import pytest
import torch

from torch_imf import evaluate, from_pretrained, pretrained_graph, save_pretrained, visualize
from torch_imf.cli import main
from torch_imf.cli.answers import METRICS, Name
from torch_imf.cli.command import plain
from torch_imf.cli.inputs import Saved
from torch_imf.datasets import Countries

FACT = ["--head", "Argentina", "--relation", "borders", "--tail", "Paraguay"]


@pytest.fixture(scope="module")
def predictor(saved):
    return Saved(str(saved)).predictor()


def test_evaluate(saved, read, call):
    model, data = from_pretrained(saved / "model"), pretrained_graph(saved / "model")
    out = read("evaluate", saved, "--by", "category", "relation", "--split", "val")
    expected = evaluate(model, data, "val", by=["category", "relation"])
    assert out == {"split": "val", "facts": 209, **plain(expected)}
    view = evaluate(model, data, view="numeric")
    assert read("evaluate", saved, "--view", "numeric")["mrr"] == view["mrr"] != expected["mrr"]
    found = read("evaluate", saved, "--by", "numeric")["numeric"]
    by_hand = evaluate(model, Countries(text=None, visual=None)[0], by=["numeric"])["numeric"]
    assert found == plain(by_hand) and set(found) == {"yes", "no"}
    title, header, *rows = call("evaluate", saved, "--by", "category").splitlines()
    assert title == "Ensemble on 209 test facts, filtered ranks of both sides"
    assert header.split() == list(map(str.upper, METRICS))
    assert [row.split()[0] for row in rows] == ["both", "heads", "tails", *["category"] * 3]


@pytest.mark.parametrize(
    "words, options",
    [
        ("predict --head France --relation borders -k 3", ("France", "borders", 3)),
        (
            "predict --tail Europe --relation continent --known remove",
            {"tail": "Europe", "relation": "continent", "known": "remove"},
        ),
        ("explain Spain borders France -k 2", {"k": 2}),
        ("explain Spain borders France --view struct", {"view": "struct"}),
        ("complete -k 5 --relation borders capital", (5, ["borders", "capital"])),
        ("complete -k 5 --relation capital --everyone", (5, ["capital"], True)),
    ],
)
def test_answers(saved, predictor, read, call, words, options):
    # They are those of the library, which is told the same:
    command, *flags = words.split()
    fact = ["Spain", "borders", "France"] if command == "explain" else []
    args, kwargs = ((), options) if isinstance(options, dict) else (options, {})
    found = getattr(predictor, command)(*fact, *args, **kwargs)
    assert call(command, saved, *flags) == f"{found}\n"
    out = read(command, saved, *flags)
    assert (out["answers"] if command == "predict" else out) == plain(found)
    if command != "explain":
        assert len(found) > 0 and all(0 < x.probability < 1 for x in found)


def test_files(saved, predictor, read, tmp_path):
    queries, answers, expected, facts = (tmp_path / f"{name}.tsv" for name in "qaef")
    queries.write_text("France\tborders\t?\n?\tborders\tcountry:fr\n")
    out = read("predict", saved, "--queries", queries, "--answers", answers, "-k", "4")
    assert out == {"queries": str(queries), "answers": str(answers), "count": 8}
    predictor.predict_file(queries, expected, k=4)
    assert answers.read_text() == expected.read_text()
    args = ["complete", saved, "-k", "5", "--relation", "borders", "--out", facts]
    assert read(*args) == {"facts": str(facts), "count": 5}
    header, *rows = (line.split("\t") for line in facts.read_text().splitlines())
    assert header[3:6] == ["head", "relation", "tail"]
    found = predictor.complete(5, ["borders"])
    assert [row[3:6] for row in rows] == [[x.head, x.relation, x.tail] for x in found]


@pytest.mark.parametrize("command", ["predict", "complete"])
def test_tables(saved, fails, read, tmp_path, monkeypatch, command):
    # Formats and places are checked before the model is even loaded:
    queries, flag = tmp_path / "q.csv", {"predict": "--answers", "complete": "--out"}[command]
    queries.write_text("France,borders,?\n")
    args = [command, saved, "-k", "3", *(["--queries", queries] if command == "predict" else [])]
    out = tmp_path / "out.jsonl"
    read(*args, flag, out)
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert len(rows) == 3 and all(x["relation"] and x["score"] for x in rows)
    assert all(":" in (x.get("id") or x["head_id"]) for x in rows)
    read(*args, flag, out, "--overwrite")
    monkeypatch.setattr(Saved, "load", None)
    assert "'--overwrite' replaces it" in fails(*args, flag, out)
    assert "end its name in one of .tsv" in fails(*args, flag, tmp_path / "out.doc")
    assert len(list(tmp_path.iterdir())) == 2


def test_terminal(saved, call, fails, tmp_path):
    # What is in names does nothing to a terminal, in what is found, and in what is said:
    data = pretrained_graph(saved / "model")
    nasty = "Fra\x1b]0;owned\x07nce\u202e\x9b2J\u2028x"
    data.node_names = [nasty if x == "France" else x for x in data.node_names]
    save_pretrained(from_pretrained(saved / "model"), tmp_path / "model", data)
    args = ["predict", tmp_path / "model", "--relation", "borders", "--head"]
    for text in (call(*args, "country:fr"), fails(*args, nasty + "!")):
        assert r"Fra\x1b]0;owned\x07nce\u202e\x9b2J\u2028x" in text
        assert not {"\x1b", "\x07", "\u202e", "\x9b", "\u2028"} & set(text)
    (tmp_path / "q.tsv").write_text("country:fr\tborders\t?\n")
    call(*args[:2], "--queries", tmp_path / "q.tsv", "--answers", tmp_path / "a.json")
    assert json.loads((tmp_path / "a.json").read_text())[0]["head"] == nasty  # As it is.


def test_figures(saved, read, tmp_path):
    pytest.importorskip("matplotlib")
    out = read("figures", saved, "--out", tmp_path, *FACT)
    assert list(out["figures"]) == list(get_args(Name)) and out["left_out"] == {}
    for name in get_args(Name):
        content = (tmp_path / f"{name}.png").read_bytes()
        assert content.startswith(b"\x89PNG") and len(content) > 5000
    args = ["--only", "weights", "--relations", "borders", "--format", "svg"]
    read("figures", saved, "--out", tmp_path / "some", *args)
    assert [x.name for x in (tmp_path / "some").iterdir()] == ["weights.svg"]


@pytest.mark.parametrize("metric, drawn", [("mr", 1), ("mrr", 2), ("hits@1", 3)])
def test_history(saved, read, tmp_path, monkeypatch, metric, drawn):
    # The epoch that is marked is the one that the model was left with:
    monkeypatch.setattr(Saved, "training", {"settings": {"metric": metric}})
    monkeypatch.setattr(visualize, "plot_history", plot := Mock())
    read("figures", saved, "--out", tmp_path, "--only", "history")
    metrics = plot.call_args.kwargs["metrics"]
    assert metrics[0] == metric and len(metrics) == drawn


def test_left_out(saved, read, fails, tmp_path, capsys):
    # The model alone has no history, and a graph may have no test facts:
    pytest.importorskip("matplotlib")
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


@pytest.mark.parametrize(
    "words, message",
    [
        ("predict --head Frnce --relation borders", "no entity 'Frnce'. Did you mean 'France'"),
        ("predict", "one of '--head' and '--tail'"),
        ("predict --head France", "'relation'"),
        ("predict --queries x.tsv", "'--answers'"),
        ("evaluate --threads 0", "'--threads' needs to be in [1, 1024]"),
        ("evaluate --threads 999999999", "'--threads' needs to be in [1, 1024]"),
        ("evaluate --device meta", "'meta' cannot be used"),
        ("evaluate --device nowhere", "'nowhere' cannot be used"),
        ("evaluate --by colour", "Invalid '--by'"),
        ("complete --relation bordrs", "There is no relation"),
        ("figures --head Argentina", "needs '--head', '--relation' and '--tail'"),
        ("figures --head Frnce --relation borders --tail Paraguay", "no entity 'Frnce'"),
        ("figures --only weights --relations x", "no relation 'x'"),
    ],
)
def test_bad_input(saved, fails, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    command, *flags = words.split()
    assert message in fails(command, saved, *flags)
    assert list(tmp_path.iterdir()) == []


def test_bad_folder(fails, tmp_path):
    assert "holds no saved model" in fails("evaluate", tmp_path / "none")
    (tmp_path / "checkpoint.pt").touch()
    assert "has not ended" in fails("predict", tmp_path, "--head", "a", "--relation", "b")
