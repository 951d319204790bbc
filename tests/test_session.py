import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from torch_imf.cli import main

pytest.importorskip("matplotlib")
pytest.importorskip("PIL")

EXAMPLE = Path(__file__).parent.parent / "examples" / "own_graph.py"
# In a process that has never seen the dataset:
FRESH = """
import sys
from torch_imf import Predictor, evaluate, from_pretrained, pretrained_graph

model, data = from_pretrained(sys.argv[1]), pretrained_graph(sys.argv[1])
print(Predictor(model, data).predict("France", "borders", k=3))
print(evaluate(model, data)["mrr"])
"""


def test_session(tmp_path, monkeypatch, capsys):
    r"""What a new user types, from a folder of files to answers in another process."""

    def torch_imf(*words: object) -> str:
        capsys.readouterr()
        assert main([str(word) for word in words]) == 0
        return capsys.readouterr().out

    monkeypatch.chdir(tmp_path)
    # A folder of facts, texts, numbers and images:
    example = [str(EXAMPLE), "--epochs", "1", "--hidden_channels", "8"]
    subprocess.run([sys.executable, *example], check=True, capture_output=True)
    graph = "data/own_graph"

    # An audited dataset:
    out = torch_imf("audit", graph, "--check")
    assert "1,665 train, 208 val, 208 test" in out and "No fact is in two splits." in out
    assert "visual   197 entities (27.2%)" in out and "symmetric: borders (100%)" in out

    # Encoded features, each in a file:
    out = json.loads(torch_imf("encode", graph, "--out", "features", "--json"))
    entities = {name: about["entities"] for name, about in out.items()}
    assert entities == {"numeric": 399, "text": 725, "visual": 197}

    # A trained model, of these features:
    ready = [f"--{name}-encoder={about['file']}" for name, about in out.items()]
    size = ["--hidden-channels", 32, "--epochs", 9, "--threads", 1]
    trained = json.loads(torch_imf("train", graph, *ready, *size, "--out", "runs/first", "--json"))
    assert trained["test"]["mrr"] > 0.25  # By far: chance is .01.
    shutil.rmtree(graph)
    shutil.rmtree("features")  # Neither is needed any more.
    metrics = json.loads(torch_imf("evaluate", "runs/first", "--json"))
    assert metrics["mrr"] == pytest.approx(trained["test"]["mrr"], abs=1e-6)

    # Answers, one by one and from a file, and missing facts:
    args = ["predict", "runs/first", "--head", "France", "--relation", "borders", "-k", 3]
    answers = json.loads(torch_imf(*args, "--json"))["answers"]
    assert len(answers) == 3 and all(0 < answer["probability"] < 1 for answer in answers)
    assert any(answer["known"] for answer in answers)
    Path("queries.tsv").write_text("France\tborders\t?\n?\tcapital\tParis\n")
    torch_imf("predict", "runs/first", "--queries", "queries.tsv", "--answers", "answers.tsv")
    assert len(Path("answers.tsv").read_text().splitlines()) == 21
    missing = torch_imf("complete", "runs/first", "-k", 3, "--relation", "borders")
    assert missing.count("borders") == 3

    # An explanation, and figures:
    out = torch_imf("explain", "runs/first", "France", "borders", "Spain")
    assert "without text" in out and "Nearest training facts" in out
    figures = json.loads(torch_imf("figures", "runs/first", "--json"))["figures"]
    assert {"decision", "weights", "categories", "history"} <= set(figures)
    assert all(Path(path).read_bytes().startswith(b"\x89PNG") for path in figures.values())

    # The saved model elsewhere, in a fresh process:
    shutil.move("runs/first/model", "moved")
    command = [sys.executable, "-c", FRESH, "moved"]
    out = subprocess.run(command, capture_output=True, text=True)
    assert out.returncode == 0, out.stderr
    *table, mrr = out.stdout.splitlines()
    assert all(answer["name"] in line for answer, line in zip(answers, table[2:], strict=True))
    assert float(mrr) == pytest.approx(trained["test"]["mrr"], abs=1e-6)
