import unicodedata
import warnings

import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer

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


@pytest.mark.parametrize(
    "texts",
    [
        [
            "德国的一条大河",
            "德国最大的河",
            "一位著名的画家",
        ],  # A river of Germany, its largest, a painter.
        ["ドイツの川です", "ドイツ最大の川", "有名な画家の一人"],
        ["แม่น้ำในประเทศเยอรมนี", "แม่น้ำสายใหญ่ในเยอรมนี", "จิตรกรชื่อดัง"],
        ["जर्मनी की एक नदी", "जर्मनी की सबसे बड़ी नदी", "एक प्रसिद्ध चित्रकार"],
        ["ஜெர்மனியின் ஒரு ஆறு", "ஜெர்மனியின் மிகப்பெரிய ஆறு", "புகழ்பெற்ற ஓவியர்"],
        ["Река в Германии", "Крупнейшая река Германии", "Известный художник"],
    ],
)
def test_texts_about_one_thing_are_near_in_any_script(texts):
    x, mask = TfidfEncoder(channels=8)(texts)
    assert mask.all()
    assert x[0] @ x[1] > x[0] @ x[2] + 0.1


@pytest.mark.parametrize("text", ["Đặng Thái Sơn, nghệ sĩ dương cầm", "제주도는 한국의 섬", "ऩदी"])
def test_two_forms_of_a_text_are_one(text):
    forms = [unicodedata.normalize(form, text) for form in ("NFC", "NFD")]
    x, mask = TfidfEncoder(channels=8)([*forms, "something else"])
    assert forms[0] != forms[1] and mask.all() and torch.equal(x[0], x[1])


def test_a_few_words_of_another_script_change_nothing():
    texts = ["Tokyo (東京) is a city in Japan", "Osaka (大阪) is a city in Japan", "A frog", "Nº 5"]
    x = TfidfEncoder(channels=8)(texts)[0]
    terms = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True).fit_transform(texts)
    assert torch.allclose(
        x @ x.t(), torch.from_numpy((terms @ terms.T).toarray()).float(), atol=1e-5
    )


def test_a_sentence_encoder_is_suggested_for_several_scripts():
    with pytest.warns(
        UserWarning, match="2 of 6 texts are in other scripts than most .LATIN, .*TextEncoder"
    ):
        TfidfEncoder(channels=8)([*TEXTS, "Река в Германии", "德国的一条大河"])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        TfidfEncoder(channels=8)(["フランスの首都", "法国的首都", "ひらがな"] + ["東京"] * 3)
