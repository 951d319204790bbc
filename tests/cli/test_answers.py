import pytest
import torch

from torch_imf import (
    complete,
    evaluate,
    explain,
    from_pretrained,
    predict,
    predict_file,
    pretrained_graph,
)
from torch_imf.cli import main
from torch_imf.cli.output import plain
from torch_imf.cli.saved import Saved
from torch_imf.datasets import Countries


@pytest.fixture(scope="module")
def loaded(saved):
    folder = saved / "model"
    calibration = Saved(str(saved)).predictor().calibration
    return from_pretrained(folder), pretrained_graph(folder), calibration


def test_evaluate(saved, loaded, read, capsys):
    model, data, _ = loaded
    out = read("evaluate", saved, "--by", "category", "relation", "--split", "val")
    expected = evaluate(model, data, "val", by=["category", "relation"])
    assert out == {"split": "val", "facts": 209, **plain(expected)}
    view = evaluate(model, data, view="numeric")
    assert read("evaluate", saved, "--view", "numeric")["mrr"] == view["mrr"] != expected["mrr"]
    found = read("evaluate", saved, "--by", "numeric")["numeric"]
    by_hand = evaluate(model, Countries(text=None, visual=None)[0], by=["numeric"])["numeric"]
    assert found == plain(by_hand) and set(found) == {"yes", "no"}
    assert main(["evaluate", str(saved), "--by", "category"]) == 0
    title, header, *rows = capsys.readouterr().out.splitlines()
    assert title == "IMF on 209 test facts, filtered ranks of both sides"
    assert header.split() == ["MRR", "MR", "HITS@1", "HITS@3", "HITS@10"]
    assert [row.split()[0] for row in rows] == ["both", "heads", "tails", *["category"] * 3]


def test_predict(saved, loaded, read, capsys):
    model, data, calibration = loaded
    answers = predict(model, data, head="France", relation="borders", k=3, calibration=calibration)
    args = ["predict", str(saved), "--head", "France", "--relation", "borders", "-k", "3"]
    assert main(args) == 0
    assert capsys.readouterr().out == f"{answers}\n"
    out = read(*args)
    assert out["query"] == "France  borders  ?" and out["answers"] == plain(list(answers))
    assert 0 < out["answers"][0]["probability"] < 1
    removed = read(
        "predict", saved, "--tail", "Europe", "--relation", "continent", "--known", "remove"
    )
    assert len(removed["answers"]) == 10 and not any(x["known"] for x in removed["answers"])


def test_predict_file(saved, loaded, read, tmp_path):
    model, data, calibration = loaded
    queries, answers = tmp_path / "queries.tsv", tmp_path / "answers.tsv"
    queries.write_text("France\tborders\t?\n?\tborders\tcountry:fr\n")
    out = read("predict", saved, "--queries", queries, "--answers", answers, "-k", "4")
    assert out == {"queries": str(queries), "answers": str(answers), "count": 8}
    expected = tmp_path / "expected.tsv"
    predict_file(model, data, queries, expected, k=4, calibration=calibration)
    assert answers.read_text() == expected.read_text()


def test_explain(saved, loaded, read, capsys):
    model, data, calibration = loaded
    fact = ["Argentina", "borders", "Paraguay"]
    found = explain(model, data, *fact, k=2, calibration=calibration)
    assert main(["explain", str(saved), *fact, "-k", "2"]) == 0
    assert capsys.readouterr().out == f"{found}\n"
    out = read("explain", saved, *fact, "-k", "2", "--view", "struct")
    assert out == plain(explain(model, data, *fact, k=2, view="struct", calibration=calibration))
    assert out["without"]["numeric"] == plain(found.without["numeric"])


def test_complete(saved, loaded, read, capsys, tmp_path):
    model, data, calibration = loaded
    settings = {"k": 5, "relation": ["borders", "capital"], "calibration": calibration}
    facts = complete(model, data, **settings)
    args = ["complete", str(saved), "-k", "5", "--relation", "borders", "capital"]
    assert main(args) == 0
    assert capsys.readouterr().out == f"{facts}\n"
    assert read(*args) == plain(list(facts))
    everyone = read(*args, "--everyone")
    assert everyone == plain(list(complete(model, data, **settings, everyone=True)))
    path = tmp_path / "facts.tsv"
    assert read(*args, "--out", path) == {"facts": str(path), "count": 5}
    header, *rows = (line.split("\t") for line in path.read_text().splitlines())
    assert header[3:6] == ["head", "relation", "tail"]
    assert [row[3:6] for row in rows] == [[x.head, x.relation, x.tail] for x in facts]


def test_complete_out(saved, fails, tmp_path, monkeypatch):
    # Where they cannot be written is told before the work, and nothing is left behind:
    monkeypatch.setattr("torch_imf.Predictor.complete", lambda *args, **kwargs: exit(3))
    (tmp_path / "file").write_text("mine")
    assert "it is a folder" in fails("complete", saved, "--out", tmp_path)
    assert "file" in fails("complete", saved, "--out", tmp_path / "file" / "facts.tsv")
    assert [x.read_text() for x in tmp_path.iterdir()] == ["mine"]


def test_bad_input(saved, fails, tmp_path):
    assert "There is no folder" in fails("evaluate", tmp_path / "none")
    assert "holds no saved model" in fails("evaluate", tmp_path)
    (tmp_path / "checkpoint.pt").touch()
    assert "has not ended" in fails("predict", tmp_path, "--head", "a", "--relation", "b")
    message = fails("predict", saved, "--head", "Frnce", "--relation", "borders")
    assert message == "There is no entity 'Frnce'. Did you mean 'France', 'French', 'Romance'?"
    assert "one of '--head' and '--tail'" in fails("predict", saved)
    assert "'relation'" in fails("predict", saved, "--head", "France")
    assert "'--answers'" in fails("predict", saved, "--queries", "x.tsv")
    assert "'meta' cannot be used" in fails("evaluate", saved, "--device", "meta")
    assert "'nowhere' cannot be used" in fails("evaluate", saved, "--device", "nowhere")
    assert "Invalid 'by'" in fails("evaluate", saved, "--by", "colour")
    assert "There is no relation" in fails("complete", saved, "--relation", "bordrs")
    if not torch.cuda.is_available():
        assert "'cuda' cannot be used" in fails("evaluate", saved, "--device", "cuda")
