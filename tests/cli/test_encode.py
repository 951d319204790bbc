import sys
from unittest.mock import Mock

import torch

from torch_imf.cli import main
from torch_imf.cli.graph import Features, Graph
from torch_imf.datasets import Countries
from torch_imf.encoders import FeatureFile


def test_encode(tmp_path, read):
    out = read("encode", "countries", "--visual-encoder", "none", "--out", tmp_path)
    data = Countries(visual=None)[0]
    assert set(out) == {"text", "numeric"} == {path.stem for path in tmp_path.iterdir()}
    assert out["numeric"]["entities"] == 399 and out["text"]["encoder"].startswith("TfidfEncoder(")
    for name in out:
        x, mask = FeatureFile(tmp_path / f"{name}.npz")(data.node_ids)
        assert torch.equal(mask, data[f"{name}_mask"])
        assert torch.equal(x, data[f"x_{name}"])


def test_interrupted(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(Graph, "read", Mock(side_effect=KeyboardInterrupt))
    assert main(["encode", "countries", "--out", str(tmp_path)]) == 130
    assert capsys.readouterr().err.endswith(f"torch-imf encode countries --out {tmp_path}\n")


def test_bad_input(fails, tmp_path):
    none = ["--text-encoder", "none", "--visual-encoder", "none", "--numeric-encoder", "none"]
    assert "no texts, images or numbers" in fails("encode", "countries", *none)
    assert "magic" in fails("encode", "countries", "--visual-encoder", "magic", "--out", tmp_path)
    assert "'--numeric-encoder' needs" in fails("encode", "countries", "--numeric-encoder", "x")
    assert "'--visual-weights' needs" in fails("encode", "countries", "--visual-weights", "x.pth")
    (tmp_path / "x.npz").write_bytes(b"nothing")
    assert "x.npz" in fails("encode", "countries", "--text-encoder", tmp_path / "x.npz")


def test_names(tmp_path, monkeypatch):
    # Names of encoders, of models, and of classes of one's own:
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    (tmp_path / "own_encoders.py").write_text(
        "from torch_imf.encoders import TfidfEncoder\nclass Mine(TfidfEncoder): ..."
    )
    for modality, name, expected in [
        ("text", "tfidf", "TfidfEncoder"),
        ("text", "all-MiniLM-L6-v2", "TextEncoder"),
        ("text", "own_encoders:Mine", "Mine"),
        ("visual", "pixel", "PixelEncoder"),
        ("visual", "mobilenetv2_050", "VisualEncoder"),
    ]:
        assert type(Features().find(modality, name)).__name__ == expected
