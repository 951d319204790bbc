import json
import shlex
import signal
import subprocess
import sys
import time
from unittest.mock import Mock

import pytest
import torch
from torch_geometric.data import Data

from torch_imf import evaluate, fit, fit_view_weights, from_pretrained, pretrained_graph, recipe
from torch_imf.answers import Fact
from torch_imf.cli import main
from torch_imf.cli.inputs import Graph
from torch_imf.cli.train import questions, read_space
from torch_imf.data.names import Lookup
from torch_imf.datasets import Countries, MultimodalKG
from torch_imf.io.sealed import unseal
from torch_imf.nn import AdaMF, ComplEx
from torch_imf.serve import Decisions


def test_run(saved):
    # The same by hand:
    data = Countries(text=None, visual=None)[0]
    settings = recipe("imf", data, {"hidden_channels": 8, "epochs": 2, "eval_every": 1})
    torch.manual_seed(0)
    model = settings.build(data)
    history = fit(model, data, **settings.fit)
    assert json.loads((saved / "history.json").read_text()) == history
    loaded, graph = from_pretrained(saved / "model"), pretrained_graph(saved / "model")
    assert isinstance(loaded.members[0].scorers["fused"], ComplEx)
    metrics = evaluate(fit_view_weights(model, data), data)
    assert evaluate(loaded, graph)["mrr"] == pytest.approx(metrics["mrr"], abs=1e-6)
    config = json.loads((saved / "model" / "config.json").read_text())
    assert config["metrics"]["test"]["mrr"] == metrics["mrr"]
    assert config["training"]["settings"] == {"model": "imf", **settings}  # The whole recipe.
    assert "torch-imf train countries" in config["training"]["command"]


def test_goes_on(fast, tmp_path, read):
    args = ["train", *fast, "--patience", "none", "--eval-every", "1"]
    whole = read(*args, "--epochs", "3", "--out", tmp_path / "whole")
    args += ["--out", tmp_path / "parts"]
    read(*args, "--epochs", "2")
    parts = read(*args, "--epochs", "3")
    assert parts["test"] == whole["test"] and parts["epoch"] == whole["epoch"]
    assert read(*args, "--epochs", "3") == parts
    anew = read(*args, "--epochs", "1", "--restart", "--seed", "1")
    assert anew["val"] != parts["val"] and anew["epoch"] == 1
    old = unseal(str(tmp_path / "parts" / "checkpoint.old.pt"))
    assert old["epoch"] == 3  # Nothing is lost.


def test_other_settings(fast, tmp_path, fails):
    args = ["train", *fast, "--epochs", "1", "--eval-every", "1", "--out", str(tmp_path), "-q"]
    assert main(args) == 0
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    message = fails(*args, "--batch-size", "64")
    assert "{'batch_size': (128, 64)}" in message and "'--restart' begins anew" in message
    # What goes on has the random state of the seed that it began with:
    message = fails(*args, "--seed", "1")
    assert "began with seed 0 (got 1) ('--out' names another folder" in message
    # What is wrong with the command is not about the checkpoint, which stays:
    for extra in (["--patience", "0"], ["--restart", "--hidden-channels", "0"]):
        assert "'--restart' begins anew" not in fails(*args, *extra)
    assert {path: path.read_bytes() for path in before} == before


def test_recipe(fast, tmp_path, capsys):
    args = ["train", *fast, "--epochs", "1", "--out", str(tmp_path)]
    assert main([*args, "--model", "adamf", "--adversary.weight", "0.02"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("AdaMF of epoch 1") and "Recipe, as no scorer" in err
    for words in ("loss.regularizer.weight=", "lr={'model': 0.1, 'generator': 0.015}"):
        assert words in err
    model = from_pretrained(tmp_path / "model").members[0]
    assert isinstance(model, AdaMF) and model.adversary.weight == 0.02
    # That of a paper is as it is there, without further votes:
    assert main([*args, "--model", "adamf", "--recipe", "paper", "--restart"]) == 0
    assert "Recipe 'paper': fusion=adamf" in capsys.readouterr().err
    model = from_pretrained(tmp_path / "model")
    assert isinstance(model, AdaMF) and model.fusion.elementwise
    # Who chooses one of the settings that belong together has other plans:
    assert main([*args, "--scorer", "contextual", "--restart"]) == 0
    assert "Recipe, as no scorer" not in capsys.readouterr().err
    training = json.loads((tmp_path / "model" / "config.json").read_text())["training"]
    expected = {"model": "imf", "hidden_channels": 8, "scorer": "contextual", "epochs": 1}
    assert training["settings"] == expected


def test_members(fast, tmp_path, capsys):
    args = ["train", *fast, "--recipe", "none", "--epochs", "1", "--eval-every", "1"]
    args += ["--out", str(tmp_path), "--members", "kge", "adamf"]
    assert main(args) == 0
    out, err = capsys.readouterr()
    assert out.startswith("IMF of epoch 1") and "Views vote" in out
    assert "Model 2 of the ensemble: kge" in err and "Model 3 of the ensemble: adamf" in err
    model = from_pretrained(tmp_path / "model")
    names = ["IMF", "KGE", "AdaMF", "TypePrior", "RuleView", "FeatureView"]
    assert [type(x).__name__ for x in model.members] == names
    before = (tmp_path / "checkpoint-3.pt").read_bytes()
    assert main(args) == 0  # Goes on, with nothing left to do.
    assert (tmp_path / "checkpoint-3.pt").read_bytes() == before
    again = from_pretrained(tmp_path / "model")
    assert torch.equal(again.weight, model.weight)
    assert main([*args[:-1], "adamfx"]) == 1 and "adamfx" in capsys.readouterr().err


def test_next(tmp_path, call):
    # The commands that it shows can be typed, whatever the names are:
    names = ["-a", "--b_c", "-it's d", "-100%", "-e=f"]
    pairs = [(h, t) for h in names for t in names if h != t]
    text = "".join(f"{h}\t{r}\t{t}\n" for r in ("-r", "--no-s") for h, t in pairs)
    (tmp_path / "facts.tsv").write_text(text)
    args = ["--epochs", "1", "--eval-every", "1", "--hidden-channels", "4", "-q"]
    commands = call("train", tmp_path, *args, "--out", tmp_path / "run").splitlines()[-2:]
    for command, name in zip(commands, ("predict", "explain"), strict=True):
        words = shlex.split(command)
        assert words[:2] == ["torch-imf", name] and call(*words[1:])


def test_tensorboard(fast, tmp_path):
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    logs = str(tmp_path / "logs")
    args = ["train", *fast, "--eval-every", "1", "--out", str(tmp_path), "--log-dir", logs, "-q"]
    assert main([*args, "--epochs", "1"]) == main([*args, "--epochs", "2"]) == 0  # In two parts.
    events = EventAccumulator(logs).Reload()
    assert [x.step for x in events.Scalars("val/mrr")] == [1, 2] and events.Scalars("test/mrr")


def test_interrupted(fast, tmp_path, read):
    args = ["train", *fast, "--patience", "none", "--eval-every", "1", "--threads", "1"]
    longer, out = [*args, "--epochs", "400"], tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, "-m", "torch_imf", *longer, "--out", out],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # Jobs in the background of a script ignore it, as do their children:
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    for _ in range(3000):
        if (out / "checkpoint.pt").exists() or process.poll() is not None:
            break
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)  # A real Ctrl-C, within an epoch or between two.
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    *_, note, command = err.splitlines()
    assert note.endswith(f"all whole epochs are in '{out / 'checkpoint.pt'}'. To go on:")
    assert command.strip() == " ".join(["torch-imf", *longer, "--out", str(out)])
    assert "Traceback" not in err and not (out / "model").exists()
    done = unseal(str(out / "checkpoint.pt"))["epoch"]
    assert read(*args, "--epochs", str(done + 1), "--out", out)["settings"]["epochs"] == done + 1


def test_interrupted_late(fast, tmp_path, capsys, monkeypatch):
    # All epochs are kept when the model is about to be saved, too:
    args = ["train", *fast, "--epochs", "1", "--eval-every", "1", "--out", str(tmp_path)]
    with monkeypatch.context() as patch:
        patch.setattr("torch_imf.calibrate", Mock(side_effect=KeyboardInterrupt), raising=False)
        assert main(args) == 130
    assert "all whole epochs are in" in capsys.readouterr().err
    assert main(args) == 0 and "Going on from" in capsys.readouterr().err


@pytest.mark.parametrize(
    "words, message",
    [
        ("train nothing", "There is no dataset"),
        ("train countries --epochs 1 --metric mrs --out run", "'mrs'"),
        ("train countries --epochs 1 --out file", "file"),
        ("tune countries --space lr", "names and values"),
        ("tune countries --space hidden_channels=8 scorer.magic=1", "no setting 'scorer.magic'"),
    ],
)
def test_bad_input(fast, fails, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").touch()
    none = fast[1:5] if "countries" in words else []
    assert message in fails(*words.split(), *none)
    assert {x.name for x in tmp_path.iterdir()} <= {"file", "run"}


def test_leaks_are_told(tmp_path, capsys, call):
    # Models are selected by validation facts: these are in training.
    facts = [f"{a}\tr\t{b}\n" for a in "abcd" for b in "efgh"]
    for name, rows in {"train": facts, "valid": facts[:3], "test": ["a\tr\tb\n"]}.items():
        (tmp_path / f"{name}.tsv").write_text("".join(rows))
    args = ["train", str(tmp_path), "--model", "kge", "--hidden-channels", "4", "--epochs", "1"]
    assert main([*args, "--out", str(tmp_path / "run")]) == 0
    warning = "warning: 3 of 3 val rows (3 distinct facts) are in train as well."
    err = capsys.readouterr().err
    assert warning in err and "warning: Answers will have no probabilities" in err
    assert "probability" not in call("predict", tmp_path / "run", "--head", "a", "--relation", "r")


def test_questions():
    # Things of one name are asked for by their identifiers, too:
    data = Data(num_nodes=3, num_relations=2, edge_index=torch.tensor([[0], [1]]))
    data.edge_type, data.test_mask = torch.tensor([1]), torch.tensor([True])
    data.node_ids, data.node_names = ["a", "b", "c"], ["Bonn", "Rome", "Rome"]
    data.rel_ids, data.rel_names = ["p:in", "q:in"], ["in", "in"]
    predict, explain = questions("run", data)
    assert predict == ["predict", "run", "--head", "Bonn", "--relation", "in (q:in)"]
    assert explain[2:] == ["Bonn", "in (q:in)", "Rome (b)"]
    assert Lookup.of_relations(data)("in (q:in)") == 1 and Lookup.of_entities(data)("Rome (b)") == 1


@pytest.mark.parametrize("name", ["pixel", "Numeric"])
def test_encoders_of_another_modality(fails, name):
    other = {"pixel": "visual", "Numeric": "numeric"}[name]
    message = fails("train", "countries", "--text-encoder", name)
    assert f"cannot be '{name}', as that is one of '--{other}-encoder'" in message


@pytest.mark.parametrize(
    "args, package, extra",
    [
        ("train countries --log-dir x", "tensorboard", "tensorboard"),
        ("tune countries", "optuna", "tune"),
    ],
)
def test_extras(fails, monkeypatch, args, package, extra):
    # Before the graph is read:
    find = lambda name: None if name == package else True  # noqa: E731
    monkeypatch.setattr("torch_imf.io.find_spec", find)
    monkeypatch.setattr(Graph, "read", None)
    assert f"need '{package}', run 'pip install \"torch_imf[{extra}]\"'" in fails(*args.split())


def test_read_space():
    words = "lr=1e-4:1e-2 epochs=3:9 patience=none,4 scorer.batch_norm=true,false scorer=a,b rank=2"
    expected = {"lr": (1e-4, 1e-2), "epochs": (3, 9), "patience": [None, 4], "rank": 2}
    expected |= {"scorer.batch_norm": [True, False], "scorer": ["a", "b"]}
    assert read_space(words.split()) == expected
    assert read_space(["scorer=a:B,c", "loss=a:B"]) == {"scorer": ["a:B", "c"], "loss": "a:B"}


def test_tune(fast, tmp_path, read, monkeypatch):
    monkeypatch.chdir(tmp_path)
    space = ["hidden_channels=4,8", "lr=0.01:0.2", "scorer=complex", "loss=ce", "optimizer=adagrad"]
    args = ["tune", *fast[:-2], "--space", *space, "--epochs", "2"]
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
    words = shlex.split(out["command"])
    flags = ["--split-seed", "3", "--no-header", "--no-strict", "--recipe", "none"]
    assert words[3:11] == ["--model", "imf", *flags]
    trained = read(*words[1:], "--seed", "5", "--out", tmp_path / "run")
    expected = {"hidden_channels": 4, "epochs": 1, "metric": "mrr"}
    assert {**out["settings"]["model"], **out["settings"]["fit"]} == expected
    # The epochs of a trial are not those of a training:
    assert trained["settings"] == {"model": "imf", "hidden_channels": 4}
    more = ["--metric", "mr", "--study", tmp_path / "other.db"]
    assert read("tune", *graph, *args, *more)["command"].endswith(" 4 --metric mr")
    data = MultimodalKG.from_folder(tmp_path, seed=3, header=False, strict=False)[0]
    assert torch.equal(pretrained_graph(tmp_path / "run" / "model").test_mask, data.test_mask)


def test_learns_from_decisions(fast, saved, tmp_path, read, capsys):
    found = read("complete", saved, "-k", "3")
    path = tmp_path / "decisions.jsonl"
    for choice, fact in zip(("accept", "refuse", "refuse"), found, strict=True):
        Decisions(path).add("ann", choice, Fact(**fact))
    args = ["--epochs", "1", "--out", tmp_path / "second", "--with", path]
    assert main(list(map(str, ["train", *fast, *args]))) == 0
    assert "1 accepted facts join training; 2 are refused by now" in capsys.readouterr().err
    graph = pretrained_graph(tmp_path / "second" / "model")
    fact = [found[0][x] for x in ("head_index", "rel_type", "tail_index")]
    assert [*graph.edge_index[:, -1].tolist(), int(graph.edge_type[-1])] == [*fact[::2], fact[1]]
    assert graph.train_mask[-1] and graph.refused.size(1) == 2
    config = json.loads((tmp_path / "second" / "model" / "config.json").read_text())
    assert config["training"]["with"] == [str(path)]


def test_shards(tmp_path, fails):
    words = ["train", "countries", "--model", "kge", "--recipe", "none", "--epochs", "3"]
    words += ["--lr", "0.03", "--loss", "ce", "--shard", "--out", str(tmp_path / "out")]
    by = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2", "-m", "torch_imf"]
    done = subprocess.run([sys.executable, *by, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("Saved in") == 1 and "no probabilities" in done.stderr
    folder = tmp_path / "out" / "model"
    metrics = evaluate(from_pretrained(folder), pretrained_graph(folder))
    told = json.loads((folder / "config.json").read_text())["metrics"]["test"]
    assert metrics["mrr"] == pytest.approx(told["mrr"]) and metrics["mrr"] > 0.05
    assert "'--shard' goes with none of '--extra-views'," in fails(*words, "--members", "kge")
