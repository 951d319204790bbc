import pytest
import torch
from torch_geometric.testing import withPackage

from torch_imf.encoders import TfidfEncoder

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

    x, mask = encoder(TEXTS)
    assert x.size() == (6, 3)
    assert mask.tolist() == [True, True, False, True, False, True]
    assert x.dtype == torch.float32
    assert torch.allclose(x.norm(dim=-1), torch.tensor([1.0, 1, 0, 1, 0, 1]))
    assert torch.equal(x, encoder(TEXTS)[0])

    similarity = x @ x.t()
    assert similarity[0, 1] > 0.3 > similarity[0, 3]
    assert similarity[3, 5] > 0.3 > similarity[1, 5]


@withPackage("sklearn")
def test_tfidf_encoder_fewer_texts_than_channels():
    from sklearn.feature_extraction.text import TfidfVectorizer

    x, _ = TfidfEncoder(channels=8)(TEXTS)
    assert x.size() == (6, 8)
    assert (x[:, 4:] == 0).all()

    # Nothing is lost if nothing is cut away:
    terms = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit_transform(
        [TEXTS[i] for i in [0, 1, 3, 5]]
    )
    expected = torch.from_numpy((terms @ terms.T).toarray()).float()
    assert torch.allclose(x[[0, 1, 3, 5]] @ x[[0, 1, 3, 5]].t(), expected, atol=1e-5)


@withPackage("sklearn")
def test_tfidf_encoder_without_terms():
    x, mask = TfidfEncoder(channels=8)([None, "!"])
    assert x.tolist() == [[0.0] * 8] * 2
    assert mask.tolist() == [False, False]

    x, mask = TfidfEncoder(channels=8, max_terms=1)(["river", "!!", "forest", "river"])
    assert x.tolist() == [[float(i == 0 and j != 1 and j != 2) for i in range(8)] for j in range(4)]
    assert mask.tolist() == [True, False, False, True]


def test_tfidf_encoder_bad_input():
    with pytest.raises(ValueError, match="'channels' needs to be positive"):
        TfidfEncoder(channels=0)
