import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(script: str, *args: str, cwd: Path, by: tuple[str, ...] = ()) -> str:
    command = [sys.executable, *by, str(ROOT / "examples" / script), *args]
    result = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    return result.stdout


def mrr_of(out: str) -> float:
    return float(re.search(r"^Test MRR: ([\d.]+), Hits@1: ", out, re.MULTILINE)[1])


def test_countries(tmp_path):
    pytest.importorskip("matplotlib")
    out = run("countries.py", "--seeds", "2", "--epochs", "5", "--figure", "a/b.png", cwd=tmp_path)
    for name in ("structural encoder", "structure only", "IMF"):
        values = re.search(rf"^{name} +([\d.]+) ± ([\d.]+)", out, re.MULTILINE)
        assert 0 < float(values[1]) < 1
    answers = out.split("Ten test queries")[1].splitlines()
    assert sum(line.count(": ") == 1 and "," in line for line in answers) >= 10
    assert (tmp_path / "a" / "b.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_fusion_beats_structure(tmp_path):
    out = run("countries.py", cwd=tmp_path)
    gain, std, seeds = re.search(r"^Fusion adds (\S+) ± (\S+) MRR.* (\d) of 5", out, re.M).groups()
    assert float(gain) > 2 * float(std) / 5**0.5 and int(seeds) >= 4


@pytest.mark.slow  # Ranking alone takes a minute.
@pytest.mark.mirror
@pytest.mark.parametrize("script, least", [("fb15k237.py", 0.01), ("adamf_mat.py", 0.002)])
def test_large_graphs(tmp_path, script, least):
    args = ["--epochs", "1", "--hidden_channels", "16", "--batch_size", "4096"]
    args += ["--precision", "fp32"]  # As bf16 takes long where the hardware lacks it.
    args += ["--latent_channels", "8"] if script == "fb15k237.py" else []
    out = run(script, *args, cwd=tmp_path)
    assert mrr_of(out) > least  # Chance is below 0.001.
    if script == "adamf_mat.py":
        weights = re.search(r"^Mean weights: struct: ([\d.]+), text: ([\d.]+)$", out, re.MULTILINE)
        assert sum(map(float, weights.groups())) == pytest.approx(1, abs=2e-3)


def test_distributed(tmp_path):
    by = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    args = ("--epochs", "5", "--hidden_channels", "16", "--shard")
    out = run("distributed.py", *args, cwd=tmp_path, by=by)
    assert out.count("Epoch 5: loss") == 1 and mrr_of(out) > 0.05
    assert (tmp_path / "runs" / "distributed" / "model" / "config.json").is_file()


def test_structural_encoder(tmp_path):
    out = run("structural_encoder.py", "--epochs", "15", "--hidden_channels", "16", cwd=tmp_path)
    mrr, chance = (re.search(rf"^{x} MRR: ([\d.]+)", out, re.M)[1] for x in ("Test", "Chance"))
    assert float(mrr) > 10 * float(chance)
    assert out.split("Nearest neighbors")[1].count(": ") == 3


@pytest.mark.parametrize("source", ["bundled", pytest.param("mirror", marks=pytest.mark.mirror)])
def test_encode_features(tmp_path, source):
    pytest.importorskip("matplotlib")
    pytest.importorskip("timm")
    args = ["--weights", "", "--images", ""] if source == "bundled" else []
    out = run("encode_features.py", "--figure", "a/b.png", *args, cwd=tmp_path)
    assert ("VisualEncoder" if source == "mirror" else "PixelEncoder") in out
    assert "197 entities (27.2%)" in out
    france = re.search(r"^France, by visual: (.*)", out, re.MULTILINE)[1].split(", ")
    # Three vertical bars, by pixels and by what a network sees:
    assert len(france) == 6 and {"Italy", "Ireland"} <= set(france)
    assert (tmp_path / "a" / "b.png").read_bytes().startswith(b"\x89PNG")


def test_own_graph(tmp_path):
    pytest.importorskip("PIL")
    out = run("own_graph.py", "--epochs", "10", "--hidden_channels", "16", cwd=tmp_path)
    assert "facts.tsv: 2,081 rows\n" in out and "visual   197 entities (27.2%)" in out
    assert mrr_of(out) > 0.05  # Chance is below 0.01.
    answers = out.splitlines()[-5:]
    assert all(line.count(": ") == 1 and line.count(", ") >= 5 for line in answers)
    # A folder of one's own, with facts only:
    (tmp_path / "own").mkdir()
    (tmp_path / "data" / "own_graph" / "facts.tsv").rename(tmp_path / "own" / "facts.tsv")
    again = run("own_graph.py", "own", "--epochs", "1", cwd=tmp_path)
    assert "Written" not in again and "  text " not in again and "Test MRR" in again


def test_tune(tmp_path):
    pytest.importorskip("optuna")
    args = ["--trials", "2", "--epochs", "1", "--hidden_channels", "8", "16"]
    out = run("tune.py", *args, "--storage", "a/b.db", cwd=tmp_path)
    trials = re.findall(r"^Trial: .*, COMPLETE, Val MRR: ([\d.]+)$", out, re.MULTILINE)
    assert len(trials) == 2 and (tmp_path / "a" / "b.db").exists()
    assert f"Best Val MRR: {max(trials)}, " in out and mrr_of(out) > 0.01


def test_figures(tmp_path):
    pytest.importorskip("matplotlib")
    out = run("figures.py", "--epochs", "1", "--out", "a/b", cwd=tmp_path)
    names = ["decision", "explanation", "categories", "contextual", "view_shares"]
    paths = [f"a/b/{name}.png" for name in [*names, "modality_weights", "history"]]
    assert out.splitlines() == paths
    assert all((tmp_path / path).read_bytes().startswith(b"\x89PNG") for path in paths)


def test_every_example_is_tested():
    tested = set(re.findall(r'\("(\w+\.py)"', Path(__file__).read_text()))
    assert {p.name for p in (ROOT / "examples").glob("*.py")} == tested
