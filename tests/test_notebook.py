# The notebook from a DataFrame to reviewed facts runs as it stands.
import os
from pathlib import Path

import pytest

NOTEBOOK = Path(__file__).parent.parent / "examples" / "quickstart.ipynb"


def test_quickstart(tmp_path, monkeypatch):
    nbclient, nbformat = (pytest.importorskip(x) for x in ("nbclient", "nbformat"))
    pytest.importorskip("ipykernel")
    pytest.importorskip("torch_imf.serve.decisions")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(NOTEBOOK.parent.parent)]))
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    resources = {"metadata": {"path": str(tmp_path)}}
    nbclient.NotebookClient(notebook, timeout=300, resources=resources).execute()
    text = "\n".join(
        output.get("text", "") + str(output.get("data", {}).get("text/plain", ""))
        for cell in notebook.cells
        for output in cell.get("outputs", ())
    )
    assert "Argentina  borders  ?" in text and "share accepted" in text
    before, now = text.rsplit(" facts before, ", 1)[0].split()[-1], text.rsplit("before, ")[1]
    assert now.split()[0] != before and "Chile" in text
