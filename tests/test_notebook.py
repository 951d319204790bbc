# The notebook from a DataFrame to reviewed facts runs as it stands, and shows what it prints.
# `python tests/test_notebook.py` runs it and keeps what it prints.
import os
import tempfile
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parent.parent / "examples" / "quickstart.ipynb"


def run(folder):
    import nbclient
    import nbformat

    os.environ |= {"PYTHONPATH": str(NOTEBOOK.parent.parent), "OMP_NUM_THREADS": "1"}
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(folder)}}
    nbclient.NotebookClient(
        notebook, timeout=600, resources=resources, record_timing=False
    ).execute()
    for cell in (x for x in notebook.cells if x.cell_type == "code"):  # But for warnings:
        cell["outputs"] = [x for x in cell.get("outputs", ()) if x.get("name") != "stderr"]
    return notebook


def printed(notebook):
    return [
        "\n".join(
            output.get("text", "") + str(output.get("data", {}).get("text/plain", ""))
            for output in cell.get("outputs", ())
        )
        for cell in notebook.cells
    ]


def test_quickstart(tmp_path, monkeypatch):
    nbformat = pytest.importorskip("nbformat")
    for name in ("nbclient", "ipykernel", "torch_imf.serve.decisions"):
        pytest.importorskip(name)
    monkeypatch.setattr(os, "environ", os.environ.copy())
    now = printed(run(tmp_path))
    text = "\n".join(now)
    assert "Argentina  borders  ?" in text and "share accepted" in text
    before, after = text.rsplit(" facts before, ", 1)[0].split()[-1], text.rsplit("before, ")[1]
    assert after.split()[0] != before and "Chile" in text
    # It shows what it printed, up to numbers, which are those of a machine:
    kept = printed(nbformat.read(NOTEBOOK, as_version=4))
    assert [bool(x) for x in kept] == [bool(x) for x in now]
    assert NOTEBOOK.stat().st_size < 50_000


if __name__ == "__main__":
    import nbformat

    with tempfile.TemporaryDirectory() as folder:
        notebook = run(folder)
    notebook.metadata = nbformat.read(NOTEBOOK, as_version=4).metadata
    nbformat.write(notebook, NOTEBOOK)
