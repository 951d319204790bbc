import json
import re
import subprocess
import sys
from pathlib import Path

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
    monkeypatch.setattr(experiment, "DATA", str(tmp_path))
    return experiment


def small(config, **model):
    model = {**config["model"], "hidden_channels": 8, "rel_channels": 4, **model}
    return {**config, "model": model, "fit": {**config["fit"], "epochs": 2, "eval_every": 1}}


def test_an_experiment_is_run_once_and_resumed(experiment):
    from configs import config

    settings = small(config("countries"))
    settings["struct"]["fit"]["epochs"] = 5
    line = experiment.run("test", "IMF", settings, seed=0)
    assert line["settings"] == settings and line["label"] == "IMF"
    assert 0 < line["metrics"]["mrr"] < 1 and [epoch for epoch, _ in line["curve"]] == [1, 2]
    assert experiment.run("test", "IMF", settings, seed=0) == line  # From the file, date and all.
    assert len(experiment.lines("test")) == 1

    # Interrupted before the test facts are ranked, it goes on from there to the same end:
    class Stop(Exception):
        pass

    def stop(*args, **kwargs):
        raise Stop

    evaluate = experiment.evaluate
    experiment.evaluate = stop
    try:
        with pytest.raises(Stop):
            experiment.run("other", "IMF", settings, seed=0)
    finally:
        experiment.evaluate = evaluate
    again = experiment.run("other", "IMF", settings, seed=0)
    assert again["metrics"] == line["metrics"] and again["curve"] == line["curve"]


def test_settings_shape_the_graph_and_the_model(experiment):
    from configs import PAPER, RELEASED, alone, config, settings_of, variant

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
    model = experiment.build(variant(base, views=["struct"]), data, 0)
    assert model.decision is None and model.fusion is None
    assert type(experiment.build(alone(base), data, 0)).__name__ == "KGE"
    paper = experiment.build(settings_of(base, PAPER), data, 0)
    assert paper.scorers["fused"].cosine and paper.decision.learned
    released = experiment.build(settings_of(base, RELEASED), data, 0)
    assert type(released.fusion).__name__ == "MutanFusion" and not released.decision.learned
    assert type(released.scorers["fused"]).__name__ == "TuckER" and set(released.rel_emb) == {
        *released.views
    }
    fusion = {"name": "imf", "rank": 1, "latent_channels": 4}
    assert experiment.build(variant(base, fusion=fusion), data, 0).fusion.latent_channels == 4


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
    helpers = {"configs.py", "experiment.py", "graphs.py", "results.py"}
    scripts = {path.name for path in ROOT.glob("*.py")} - helpers
    assert scripts <= set(re.findall(r"(\w+\.py)", readme))
