import os
import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
#: A project that uses the package as README does.
USE = """
from torch_imf import IMF, Contrastive, OneToN, build_model, evaluate, fit, from_pretrained
from torch_imf import predict, save_pretrained, tune
from torch_imf.data import modalities
from torch_imf.datasets import Countries
from torch_imf.nn import ComplEx

data = Countries("data")[0]
x_dict, mask_dict = modalities(data)
model = IMF(data.num_nodes, data.num_relations, 64, x_dict, mask_dict, scorer=ComplEx(64))
other = build_model("imf", data, hidden_channels=64, loss="ce")
history = fit(model, data, epochs=60)
save_pretrained(model, "countries", data, evaluate(model, data))
views: list[str] = from_pretrained("countries").views
name: str = predict(model, data, head="France", relation="borders")[0].name
reveal_type(history)
"""
WRONG = """
model.view_weigths()
fit(model, data, epochs="60")
"""
#: Types of other packages take most of the time, and say nothing about this one.
CONFIG = """
[mypy]
strict = True
follow_imports = silent
[mypy-torch.*,torch_geometric.*,numpy.*,pandas.*,fsspec.*,tqdm.*,optuna.*,sklearn.*]
follow_imports = skip
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    source = folder / "source"  # A build leaves its own files.
    source.mkdir()
    for name in ("setup.cfg", "setup.py", "pyproject.toml", "README.md", "LICENSE", "MANIFEST.in"):
        shutil.copy(ROOT / name, source)
    ignore = shutil.ignore_patterns("__pycache__", "results")
    for name in ("torch_imf", "tests", "examples", "benchmarks"):
        shutil.copytree(ROOT / name, source / name, ignore=ignore)
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation"]
    command += ["--no-index", "-w", str(folder), str(source)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    (path,) = folder.glob("*.whl")
    return path


def test_wheel(wheel):
    names = set(zipfile.ZipFile(wheel).namelist())
    stubs = {path.relative_to(ROOT).as_posix() for path in ROOT.glob("torch_imf/**/*.pyi")}
    assert {"torch_imf/py.typed", "torch_imf/__init__.pyi", *stubs} <= names


def test_sdist(wheel, tmp_path):
    # All that `make test` needs, and a description without pictures that an index has not.
    script = f"from setuptools.build_meta import build_sdist; build_sdist({str(tmp_path)!r})"
    source = wheel.parent / "source"
    subprocess.run([sys.executable, "-c", script], cwd=source, check=True, capture_output=True)
    (path,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(path) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
        (info,) = (x for x in archive.getmembers() if x.name.count("/") == 1 and "PKG" in x.name)
        text = archive.extractfile(info).read().decode()
    files = [
        x for part in ("tests", "examples", "benchmarks") for x in ROOT.glob(f"{part}/**/*.py")
    ]
    assert {x.relative_to(ROOT).as_posix() for x in files} <= names
    assert "\n# torch_imf\n" in text and "Programming Language :: Python :: 3.12" in text
    assert not re.search(r"\]\((?!https?:)", text)


def test_types_of_a_project(wheel, tmp_path):
    pytest.importorskip("mypy")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "mypy.ini").write_text(CONFIG)
    (tmp_path / "app" / "use.py").write_text(USE)
    (tmp_path / "app" / "wrong.py").write_text(USE + WRONG)
    env = {k: x for k, x in os.environ.items() if k != "PYTHONPATH"}
    env["MYPYPATH"] = str(tmp_path / "site")
    command, app = [sys.executable, "-m", "mypy", "use.py", "wrong.py"], tmp_path / "app"
    result = subprocess.run(command, capture_output=True, text=True, cwd=app, env=env)
    errors = [line for line in result.stdout.splitlines() if "error:" in line]
    assert not [line for line in errors if line.startswith("use.py")], result.stdout
    assert 'use.py:16: note: Revealed type is "list[dict[str, float]]"' in result.stdout
    # What is there has types, so that slips are found:
    assert len(errors) == 1 and '"epochs"' in errors[0] and "wrong.py" in errors[0], result.stdout
