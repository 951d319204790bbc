import ast
from pathlib import Path

import pytest

import torch_imf

ROOT = Path(torch_imf.__file__).parent

# What each room may import from torch_imf, apart from itself. Nothing imports upward, and all may
# import `registry`, which imports nothing until it is asked.
LAYERS = {
    "registry": set(),
    "io": set(),
    "data": {"io"},
    "transforms": {"data"},
    "sampler": {"data"},
    "evaluation": {"io", "data"},
    "encoders": {"io", "data"},
    "datasets": {"io", "data", "encoders"},
    "nn": {"io", "data", "sampler", "evaluation"},
    "training": {"io", "data", "transforms", "sampler", "evaluation", "nn"},
    "answers": {"io", "data", "evaluation", "nn", "training"},
    "hub": {"io", "data", "encoders", "sampler", "evaluation", "nn"},
    "visualize": {"io", "data", "evaluation", "training", "answers"},
    "cli": {"io", "data", "datasets", "encoders", "training", "answers", "hub", "visualize", "nn"}
    | {"serve"},
    "serve": {"io", "data", "answers", "visualize"},
    "__main__": {"cli"},
}
# Within `nn`, from the bottom to the top:
NN = ["functional", "scorer", "structural", "fusion", "losses", "views", "models"]
EXTRAS = "torchvision timm sentence_transformers transformers h5py openpyxl huggingface_hub"
EXTRAS += " tensorboard optuna sqlalchemy matplotlib torch_scatter gradio pykeen ogb faiss networkx"
SLOW = "pyarrow pandas pyoxigraph pooch sklearn scipy PIL"  # To import.
OPTIONAL = {*EXTRAS.split(), *SLOW.split()}
FILES = [path for path in ROOT.rglob("*.py") if path != ROOT / "__init__.py"]


def imports(node: ast.AST) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name for alias in node.names}
    if not isinstance(node, ast.ImportFrom):
        return set()
    assert node.level <= 1, "import by full names"
    return {f"{node.module}.{alias.name}" for alias in node.names} if node.level == 0 else set()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_layers(path):
    own, *inner = path.relative_to(ROOT).with_suffix("").parts
    allowed = {own, "registry", *LAYERS[own]}
    tree = ast.parse(path.read_text())
    for name in set().union(*map(imports, ast.walk(tree))):
        _, *parts = name.split(".")
        if name.startswith("torch_imf.") and own not in ("registry", "cli"):
            assert parts[0] in allowed, f"{name} is not below {own}"
            if own == parts[0] == "nn" and parts[1] in NN and inner[0] in NN:
                assert NN.index(parts[1]) <= NN.index(inner[0]), f"{name} is not below"
    top = {name.split(".")[0] for node in tree.body for name in imports(node)}
    assert not top & OPTIONAL, "imported where it is not needed yet"


def test_layers_have_no_cycle():
    done: set[str] = set()
    while len(done) < len(LAYERS):
        ready = {name for name, below in LAYERS.items() if name not in done and below <= done}
        assert ready, f"A cycle among {set(LAYERS) - done}"
        done |= ready


def test_the_root_is_tidy():
    found = {path.stem for path in ROOT.iterdir() if path.suffix == ".py" or path.is_dir()}
    assert found - {"__pycache__", "__init__"} == set(LAYERS)
