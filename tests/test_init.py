import re
import subprocess
import sys
from pathlib import Path

import torch

import torch_imf

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


def test_readme_runs(capsys):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) == 2 and 'recipe("imf", data)' in blocks[0] and "epochs=30" in blocks[1]
    torch.manual_seed(0)
    # The same lines, one block after the other, for a shorter time:
    short = "".join(blocks).replace('"imf", data', '"imf", data, {"epochs": 2}, search=False')
    exec(short.replace("epochs=30", "epochs=2"), {})
    lines = capsys.readouterr().out.splitlines()
    assert 0 < float(lines[0]) < 1 and lines[1] == "France  borders  ?" and len(lines) == 13
