# A wheel and a source archive are built, and the wheel works where nothing else of ours is.
import os
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
LARGEST = 1_000_000  # Bytes, beside the bundled Countries.


def run(*args: object, **kwargs) -> str:
    env = {x: y for x, y in os.environ.items() if x != "PYTHONPATH"}
    result = subprocess.run(list(map(str, args)), capture_output=True, text=True, env=env, **kwargs)
    assert result.returncode == 0, result.stdout[-2000:] + result.stderr[-2000:]
    return result.stdout


@pytest.mark.slow
def test_wheel_in_a_bare_environment(tmp_path):
    pytest.importorskip("build")
    if not (ROOT / ".git").exists():
        pytest.skip("No clone of the repository")
    source = tmp_path / "source"  # As git has it, as builds leave folders behind.
    run("git", "clone", "--quiet", ROOT, source)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path, source)
    (wheel,), (archive,) = tmp_path.glob("*.whl"), tmp_path.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
        size = sum(x.compress_size for x in file.infolist() if "countries" not in x.filename)
    assert size < LARGEST and archive.stat().st_size < 4 * LARGEST
    assert {"torch_imf/py.typed", "torch_imf/datasets/files/new/facts.tsv"} <= {*names}
    assert not [x for x in names if x.startswith(("tests", "benchmarks"))]
    with tarfile.open(archive) as file:
        names = [x.partition("/")[2] for x in file.getnames()]
    assert {"CHANGELOG.md", "CITATION.cff", "examples/quickstart.ipynb"} <= {*names}

    # What it needs is that of this environment, which takes gigabytes:
    bare = tmp_path / "bare"
    run(sys.executable, "-m", "venv", bare)
    python = bare / "bin" / "python"
    run(python, "-m", "pip", "install", "--quiet", "--no-deps", wheel)
    (packages,) = bare.glob("lib/*/site-packages")
    others = [x for x in sys.path if x.endswith("site-packages")]
    hide = "import sys; sys.meta_path = [x for x in sys.meta_path if 'torch_imf' not in repr(x)]"
    (packages / "others.pth").write_text("\n".join([*others, hide]))
    where = run(python, "-c", "import torch_imf; print(torch_imf.__file__)", cwd=tmp_path)
    assert Path(where.strip()).is_relative_to(bare)
    command = bare / "bin" / "torch-imf"
    run(command, "new", "my_graph", cwd=tmp_path)
    assert "46 entities" in run(command, "audit", "my_graph", cwd=tmp_path)
    assert "725 entities" in run(command, "audit", "countries", cwd=tmp_path)
