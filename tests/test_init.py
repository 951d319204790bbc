import re
import subprocess
import sys
from pathlib import Path

import torch

import torch_imf
from torch_imf.cli import main

ROOT = Path(__file__).parent.parent


def test_names():
    for name in torch_imf.__all__:
        assert hasattr(torch_imf, name)
    for name in ("IMF", "IMFFusion", "ContextualRelationalScorer", "AddInverse"):
        assert isinstance(getattr(torch_imf, name), type)


def test_import_needs_no_optional_package():
    names = "timm sentence_transformers matplotlib h5py PIL torch_scatter pykeen"
    script = f"""
import sys
sys.modules |= dict.fromkeys("{names}".split())  # Importing one raises an ImportError.
import torch_imf
torch_imf.nn.IMF(5, 2, 4)
"""
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_readme_runs(capsys, tmp_path, monkeypatch):
    (block,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    monkeypatch.chdir(tmp_path)
    assert main(["new", "my_graph"]) == 0
    capsys.readouterr()
    torch.manual_seed(0)
    # The same lines for a shorter time:
    exec(block.replace('"imf", data', '"imf", data, {"epochs": 2}, search=False'), {})
    lines = capsys.readouterr().out.splitlines()
    assert 0 < float(lines[0]) < 1 and lines[1] == "Europa  orbits  ?" and len(lines) == 13


def test_readme_is_short():
    assert len((ROOT / "README.md").read_text().splitlines()) < 150
