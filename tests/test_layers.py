import ast
from pathlib import Path

import pytest

import torch_imf

ROOT = Path(torch_imf.__file__).parent

# What each part may import from torch_imf, apart from itself. Nothing imports upward.
LAYERS = {
    "data": set(),
    "transforms": {"data"},
    "sampler": {"data"},
    "encoders": {"data", "sampler"},
    "datasets": {"data", "encoders"},
    "ranking": {"data"},
    "checkpoint": {"data"},
    "evaluate": {"data", "ranking"},
    "calibrate": {"data", "ranking"},
    "temperature": {"data", "ranking"},
    "tables": set(),
    "predict": {"data", "ranking", "temperature", "tables"},
    "predict_file": {"data", "temperature", "predict", "tables"},
    "support": {"data", "predict"},
    "complete": {"data", "ranking", "temperature", "predict", "tables"},
    "explain": {"data", "ranking", "temperature", "predict", "support", "tables"},
    "nn.functional": set(),
    "nn.fusion": set(),
    "nn.scorer": {"nn.functional"},
    "nn.generator": set(),
    "nn.models": {
        *("nn.functional", "nn.fusion", "nn.generator", "nn.scorer"),
        *("data", "ranking", "sampler"),
    },
    "pretrained": {"data", "nn", "ranking"},
    "docstring": set(),
    "settings": {"nn", "docstring"},
    "build": {"data", "nn", "settings"},
    "space": {"nn", "settings", "train"},
    "study": {"data"},
    "trial": {"build", "checkpoint", "space", "study", "train"},
    "tune": {"data", "nn", "space", "study", "train", "trial"},
    "train": {"data", "transforms", "checkpoint", "evaluate", "ranking"},
    "resolver": {"datasets", "nn", "sampler"},
    "visualize": {
        "checkpoint",
        "data",
        "evaluate",
        "explain",
        "predict",
        "ranking",
        "tables",
        "temperature",
    },
    "tensorboard": set(),
    "cli": {
        *("data", "datasets", "encoders", "sampler", "nn", "settings", "build", "docstring"),
        *("train", "evaluate", "predict", "predict_file", "explain", "complete", "temperature"),
        "checkpoint",
        *("pretrained", "tables", "tensorboard", "tune", "visualize"),
    },
    "__main__": {"cli"},
}

OPTIONAL = {
    "tensorboard",
    "pyarrow",
    "timm",
    "torchvision",
    "sentence_transformers",
    "transformers",
    "safetensors",
    "huggingface_hub",
    "h5py",
    "matplotlib",
    "sklearn",
    "PIL",
    "optuna",
    "sqlalchemy",
}


def layer(module: str) -> str:
    parts = module.split(".")[1:]
    return ".".join(parts[:2]) if parts[0] == "nn" else parts[0]


def imports(tree: ast.AST, package: str) -> set[str]:
    out = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            out |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")[: len(package.split(".")) - node.level + 1]
            prefix = ".".join(base) if node.level else ""
            module = ".".join(x for x in (prefix, node.module) if x)
            if module in ("torch_imf", "torch_imf.nn"):
                out |= {f"{module}.{alias.name}" for alias in node.names}
            else:
                out.add(module)
    return out


FILES = [
    p
    for p in ROOT.rglob("*.py")
    if p.relative_to(ROOT).as_posix() not in {"__init__.py", "nn/__init__.py"}
]


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_layers(path):
    module = ".".join(["torch_imf", *path.relative_to(ROOT).with_suffix("").parts])
    package = module.rsplit(".", 1)[0]
    tree = ast.parse(path.read_text())
    own = layer(module)
    assert own in LAYERS, f"'{own}' has no row in LAYERS"
    for name in imports(tree, package):
        if name.startswith("torch_imf."):
            other = layer(name)
            allowed = {own, *LAYERS[own]}
            assert other in allowed or other.split(".")[0] in allowed, f"{module} imports {name}"

    top: set[str] = set()
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            top |= {n.split(".")[0] for n in imports(ast.Module([node], []), package)}
    assert not top & OPTIONAL, f"{module} imports an optional package at its top"
    assert not any("torch_scatter" in name for name in imports(tree, package))


def test_layers_have_no_cycle():
    done: set[str] = set()
    while len(done) < len(LAYERS):
        ready = {
            name
            for name, deps in LAYERS.items()
            if name not in done and all(dep in done for dep in expand(deps))
        }
        assert ready, f"A cycle among {set(LAYERS) - done}"
        done |= ready


def expand(deps: set[str]) -> set[str]:
    return {name for name in LAYERS for dep in deps if name == dep or name.startswith(f"{dep}.")}
