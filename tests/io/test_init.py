import re
from pathlib import Path

import pytest

import torch_imf
from torch_imf.io import nearest, require

ROOT = Path(torch_imf.__file__).parents[1]


def test_require():
    require("torch_geometric", "Graphs", "full")
    with pytest.raises(ImportError, match=r"A need 'no_such', run 'pip install .torch_imf.b.\"'"):
        require("no_such", "A", "b")


def test_extras():
    # Those that messages name are there, and in quotes, without which zsh takes [ ] for a pattern:
    section = (ROOT / "setup.cfg").read_text().split("extras_require")[1]
    text = "".join(path.read_text() for path in (ROOT / "torch_imf").rglob("*.py"))
    named = re.findall(r'require\(\s*"\w+",\s*".*",\s*"(\w+)"\s*\)', text)
    assert len(named) > 5 and set(named) <= set(re.findall(r"^(\w+) ?=", section, re.M))
    assert re.findall(r"pip install [\w\[]+\]?", text) == []


def test_nearest():
    assert nearest("scorer", ["models", "scorers"]) == " Did you mean 'scorers'?"
    assert nearest("qqq", ["models", "scorers"]) == nearest("a", []) == ""
