import json
import re
import subprocess
import sys
from pathlib import Path
from unittest.mock import Mock

import pytest
import torch

ROOT = Path(__file__).parent.parent / "benchmarks"


@pytest.fixture
def experiment(monkeypatch, tmp_path):
    monkeypatch.syspath_prepend(str(ROOT))
    import experiment
    import results

    for module in (experiment, results):
        monkeypatch.setattr(module, "RESULTS", str(tmp_path / "results"))
    (tmp_path / "results").mkdir()
    monkeypatch.setattr(experiment, "DATA", str(tmp_path))
    return experiment


def small(config, **model):
    model = {**config["model"], "hidden_channels": 8, "rel_channels": 4, **model}
    return {**config, "model": model, "fit": {**config["fit"], "epochs": 2, "eval_every": 1}}


def test_an_experiment_is_run_once_and_resumed(experiment, monkeypatch):
    from configs import config

    settings = small(config("countries"))
    settings["struct"]["fit"]["epochs"] = 5
    line = experiment.run("test", "IMF", settings, seed=0)
    assert line["settings"] == settings and line["label"] == "IMF"
    assert 0 < line["metrics"]["mrr"] < 1 and [epoch for epoch, _ in line["curve"]] == [1, 2]
    assert experiment.run("test", "IMF", settings, seed=0) == line  # From the file, date and all.
    assert len(experiment.lines("test")) == 1

    # Interrupted before the test facts are ranked, it goes on from there to the same end:
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(experiment, "evaluate", Mock(side_effect=KeyboardInterrupt))
        experiment.run("other", "IMF", settings, seed=0)
    again = experiment.run("other", "IMF", settings, seed=0)
    assert again["metrics"] == line["metrics"] and again["curve"] == line["curve"]


def test_settings_shape_the_graph_and_the_model(experiment):
    from configs import alone, config

    base = small(config("countries"))
    del base["struct"]
    data = experiment.prepare({**base, "modalities": ["text"], "drop": {"text": 0.5}})
    assert "x_visual" not in data
    assert int((~data.text_mask).sum()) == round(0.5 * data.num_nodes)
    assert "x_visual" in experiment.load("countries")  # The graph itself stays whole.

    data = experiment.prepare({**base, "shuffle": True})
    x, y = data.x_visual, experiment.load("countries").x_visual
    assert not torch.equal(x, y) and torch.equal((x != 0).any(1), (y != 0).any(1))
    assert torch.equal(x.sum(1).sort().values, y.sum(1).sort().values)

    data = experiment.prepare(base)
    assert experiment.build(base, data, 0).views == ["struct", "fused"]
    assert type(experiment.build(alone(base), data, 0)).__name__ == "KGE"


def test_every_row_of_adamf_is_built_as_it_says(experiment, monkeypatch, fake):
    from configs import adamf_rows

    data = fake.clone()
    for name in ("visual", "numeric"):  # What the graphs of this benchmark lack.
        del data[f"x_{name}"], data[f"{name}_mask"]
    monkeypatch.setattr(experiment, "load", lambda graph: data)
    rows = adamf_rows("mkgy")
    assert {"TransE", "RSME", "IKRL-MAT", "AdaMF", "w/o T", "w/o S", "L = 8"} <= set(rows)
    for label, row in rows.items():
        sizes = {"hidden_channels": 8}
        sizes |= {"rel_channels": 4} if "rel_channels" in row["model"] else {}
        # As they are kept in the results:
        row = json.loads(json.dumps({**row, "model": {**row["model"], **sizes}}))
        model = experiment.build(row, experiment.prepare(row), 0)
        assert type(model).__name__ == ("KGE" if row.get("alone") else row["class"]), label
        adversary = any(key.startswith("adversary.") for key in row["model"])
        assert (getattr(model, "adversary", None) is not None) == adversary, label
        rates = row["fit"]["lr"]
        names = list(rates) if isinstance(rates, dict) else ["model"]
        assert [objective.name for objective in model.objectives()] == names, label
        if label == "RSME":
            # The relation of topics is the one that texts tell most of.
            assert model.gate.view(2, -1).sum(dim=1).tolist() == [1, 1] and model.beta == 0.95
        if label in ("w/o T", "w/o S"):
            assert list(model.fusion.in_channels) == [{"T": "struct", "S": "text"}[label[-1]]]


def test_tables_are_those_of_the_results():
    subprocess.run([sys.executable, str(ROOT / "render.py"), "--check"], check=True)


def test_every_line_of_results_is_complete():
    for path in (ROOT / "results").glob("*.jsonl"):
        for text in path.read_text().splitlines():
            line = json.loads(text)
            for name in ("command", "commit", "device", "versions", "seed", "seconds", "metrics"):
                assert name in line, f"{path.name}: a line lacks '{name}'"


def test_every_script_is_documented():
    readme = (ROOT / "README.md").read_text()
    helpers = {"clock.py", "configs.py", "experiment.py", "graphs.py", "results.py"}
    scripts = {path.name for path in ROOT.glob("*.py")} - helpers
    assert scripts <= set(re.findall(r"(\w+\.py)", readme))


def test_plain_imf_equals_imf(monkeypatch):
    monkeypatch.syspath_prepend(str(ROOT))
    import plain

    from torch_imf import IMF

    x_dict = {"text": torch.randn(20, 6), "visual": torch.randn(20, 5)}
    mask_dict = {"visual": torch.rand(20) < 0.7}
    views = ["struct", "visual", "text", "fused"]
    model = IMF(20, 3, 8, x_dict, mask_dict, rel_channels=4, views=views).double()
    head_index, rel_type = torch.randint(20, (7,)), torch.tensor([0, 5, 0, 1, 1, 1, 4])
    target = (torch.rand(7, 20) < 0.2).double()
    out = model.loss(head_index, rel_type, target.nonzero().t())
    expected = plain.loss(model, head_index, rel_type, target)
    assert torch.allclose(out, expected)
    params = [p for p in model.parameters() if p.requires_grad]
    grads = torch.autograd.grad(out, params, allow_unused=True)  # No text is missing.
    others = torch.autograd.grad(expected, params, allow_unused=True)
    for grad, other in zip(grads, others, strict=True):
        none = torch.zeros((), dtype=torch.double)
        assert torch.allclose(*(none if x is None else x for x in (grad, other)))
