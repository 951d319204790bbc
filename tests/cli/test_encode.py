import sys
from unittest.mock import Mock

import torch

from torch_imf.cli import main
from torch_imf.cli.graph import Features, Graph
from torch_imf.datasets import Countries
from torch_imf.encoders import FeatureFile, TfidfEncoder


def test_encode(tmp_path, read):
    out = read("encode", "countries", "--visual-encoder", "none", "--out", tmp_path)
    data = Countries(visual=None)[0]
    assert set(out) == {"text", "numeric"} == {path.stem for path in tmp_path.iterdir()}
    assert out["numeric"]["entities"] == 399 and out["text"]["encoder"].startswith("TfidfEncoder(")
    for name in out:
        x, mask = FeatureFile(tmp_path / f"{name}.npz")(data.node_ids)
        assert torch.equal(mask, data[f"{name}_mask"])
        assert torch.equal(x, data[f"x_{name}"])


def test_own_graph(tmp_path, read):
    (tmp_path / "facts.tsv").write_text("a\tr\tb\nb\tr\tc\nc\tr\ta\na\ts\tc\nb\ts\ta\nc\ts\tb\n")
    (tmp_path / "texts.tsv").write_text("a\tThe first of all.\nb\tThe second of all.\n")
    graph = [tmp_path, "--shares", "0.5", "0.25", "0.25"]
    out = read("encode", *graph, "--text-encoder", "tfidf", "--out", tmp_path / "out")
    assert out["text"]["entities"] == 2 and out["text"]["encoder"] == repr(TfidfEncoder())


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
    found = {
        **{"tfidf": "TfidfEncoder", "all-MiniLM-L6-v2": "TextEncoder", "own_encoders:Mine": "Mine"}
    }
    assert {x: type(Features().find("text", x)).__name__ for x in found} == found
    found = {"pixel": "PixelEncoder", "mobilenetv2_050": "VisualEncoder"}
    assert {x: type(Features().find("visual", x)).__name__ for x in found} == found
