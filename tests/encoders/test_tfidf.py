import pytest
import torch

from torch_imf.encoders import TfidfEncoder

TEXTS = [
    "a rock band from the city of London",
    "a rock band from the city of Paris",
    None,
    "a large river in a deep forest",
    "!?",
    "a small river in a deep valley",
]


def test_tfidf_encoder():
    encoder = TfidfEncoder(channels=3)
    assert str(encoder) == "TfidfEncoder(channels=3, ngrams=2, max_terms=50000, seed=0)"
    x, mask = encoder(TEXTS)
    assert x.size() == (6, 3) and x.dtype == torch.float32
    assert mask.tolist() == [True, True, False, True, False, True]
    assert torch.allclose(x.norm(dim=-1), mask.float())
    assert torch.equal(x, encoder(TEXTS)[0])
    similarity = x @ x.t()
    assert similarity[0, 1] > 0.3 > similarity[0, 3]
    assert similarity[3, 5] > 0.3 > similarity[1, 5]


def test_fewer_texts_than_channels():
    from sklearn.feature_extraction.text import TfidfVectorizer

    x, mask = TfidfEncoder(channels=8)(TEXTS)
    assert x.size() == (6, 8) and (x[:, 4:] == 0).all()
    # Nothing is lost if nothing is cut away:
    known = [TEXTS[i] for i in mask.nonzero()]
    terms = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit_transform(known)
    expected = torch.from_numpy((terms @ terms.T).toarray()).float()
    assert torch.allclose(x[mask] @ x[mask].t(), expected, atol=1e-5)


def test_without_terms():
    x, mask = TfidfEncoder(channels=8)([None, "!"])
    assert x.tolist() == [[0.0] * 8] * 2 and mask.tolist() == [False, False]
    x, mask = TfidfEncoder(channels=8, max_terms=1)(["river", "!!", "forest", "river"])
    assert torch.equal(x, torch.eye(8)[:1] * mask.view(-1, 1))
    assert mask.tolist() == [True, False, False, True]
    with pytest.raises(ValueError, match="'channels' needs to be positive"):
        TfidfEncoder(channels=0)
