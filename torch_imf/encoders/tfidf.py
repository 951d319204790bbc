import unicodedata
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from torch_imf.encoders.base import Encoder
from torch_imf.io import warn
from torch_imf.io.progress import watched

if TYPE_CHECKING:
    from sklearn.feature_extraction.text import TfidfVectorizer


class TfidfEncoder(Encoder):
    r"""Encodes texts by latent semantic analysis: the TF-IDF weights of words and pairs of words
    with sublinear term frequency, projected by a truncated singular value decomposition and
    normalised to unit length. Of texts in scripts without capitals, such as Chinese, Thai or Hindi,
    where spaces and letters do not make out words, terms are two or three characters in a row. Two
    Unicode forms of a text are one.

    It needs no weights and no network, only scikit-learn, and knows only what the texts that it was
    fitted to say together. Where these are in several scripts, which a warning tells, a
    :class:`TextEncoder` may serve better.

    Args:
        channels (int, optional): The size of a text vector. If the texts support fewer dimensions
            (fewer texts, or fewer distinct terms), the columns beyond those are zero. (default:
            :obj:`256`)
        ngrams (int, optional): The longest sequence of words that counts as a term. (default:
            :obj:`2`)
        max_terms (int, optional): The number of terms to keep, most frequent first. (default:
            :obj:`50000`)
        seed (int, optional): The seed of the randomised decomposition. (default: :obj:`0`)

    Shapes:
        - **input:** a list of :math:`N` texts or :obj:`None`
        - **output:** features :math:`(N, channels)` and mask :math:`(N)`; rows of :obj:`None` and
          of texts without a single term that is kept are zero and :obj:`False`
    """

    state = ("terms", "idf", "components")

    def __init__(
        self, channels: int = 256, ngrams: int = 2, max_terms: int = 50000, seed: int = 0
    ) -> None:
        self.channels = channels
        self.ngrams = ngrams
        self.max_terms = max_terms
        self.seed = seed

    def fit(self, texts: Sequence[str | None]) -> "TfidfEncoder":
        r"""Finds the terms of texts, and the directions that tell them apart."""
        from sklearn.decomposition import TruncatedSVD
        from threadpoolctl import threadpool_limits

        vectorizer = self._vectorizer()
        tokenize = vectorizer.build_analyzer()
        known = [text for text in texts if text is not None and tokenize(text)]
        if len(known) == 0:
            empty = np.zeros(0, dtype=np.float32)
            self._state = {"terms": np.zeros(0, dtype=str), "idf": empty, "components": empty}
            return self

        scripts = Counter(map(script, known)).most_common()
        others = len(known) - scripts[0][1]
        if 20 * others > len(known):
            warn(
                f"{others:,} of {len(known):,} texts are in other scripts than most "
                f"({', '.join(name for name, _ in scripts[:10])}), and share no terms with them. A "
                f"sentence encoder of many languages may serve better, such as "
                f"TextEncoder('paraphrase-multilingual-MiniLM-L12-v2')"
            )
        x = vectorizer.fit_transform(watched(known, "Reading texts"))
        rank = min(self.channels, *x.shape)
        if rank < min(x.shape):
            with threadpool_limits(1):  # The same bits on any number of cores.
                components = TruncatedSVD(rank, random_state=self.seed).fit(x).components_
        else:  # A full decomposition, which the randomised solver is not made for.
            dense = torch.from_numpy(x.toarray())
            components = torch.linalg.svd(dense, full_matrices=False)[2].numpy()
        self._state = {
            "terms": vectorizer.get_feature_names_out().astype(str),
            "idf": vectorizer.idf_,
            "components": components.astype(np.float32),
        }
        return self

    def transform(self, texts: Sequence[str | None]) -> tuple[Tensor, Tensor]:
        r"""Returns the features of texts and which of them have any."""
        from threadpoolctl import threadpool_limits

        state = self.state_dict()
        out = torch.zeros(len(texts), self.channels)
        if len(texts) == 0 or len(state["terms"]) == 0:
            return out, torch.zeros(len(texts), dtype=torch.bool)
        vectorizer = self._vectorizer(state["terms"].tolist())
        vectorizer.idf_ = state["idf"]
        terms = vectorizer.transform(text or "" for text in watched(texts, "Encoding"))
        with threadpool_limits(1):
            x = torch.from_numpy(terms @ state["components"].T)
        mask = torch.from_numpy(terms.getnnz(axis=1) > 0)
        out[:, : x.size(1)] = F.normalize(x, dim=-1)
        return out.masked_fill(~mask.view(-1, 1), 0.0), mask

    def _vectorizer(self, vocabulary: list[str] | None = None) -> "TfidfVectorizer":
        from sklearn.feature_extraction.text import TfidfVectorizer

        words = TfidfVectorizer(ngram_range=(1, self.ngrams)).build_analyzer()
        characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 3)).build_analyzer()

        def terms(text: str) -> list[str]:
            text = unicodedata.normalize("NFC", text)
            return (words if is_cased(text) else characters)(text)

        return TfidfVectorizer(
            analyzer=terms,
            sublinear_tf=True,
            max_features=self.max_terms,
            vocabulary=vocabulary,
            dtype=np.float32,
        )


def is_cased(text: str) -> bool:
    r"""Returns whether most letters of a text have capitals, as those of Latin, Cyrillic and Greek
    do, or there are none.
    """
    letters = [unicodedata.category(x) == "Lo" for x in text if x.isalpha()]
    return text.isascii() or 2 * sum(letters) <= len(letters)


def script(text: str) -> str:
    r"""Returns the script of most letters at the beginning of a text, as Unicode calls it."""
    if text.isascii() or not any(map(str.isalpha, text[:200])):
        return "LATIN"
    names = (unicodedata.name(x, "?").partition(" ")[0] for x in text[:200] if x.isalpha())
    japanese = {"HIRAGANA": "CJK", "KATAKANA": "CJK"}
    return Counter(japanese.get(name, name) for name in names).most_common(1)[0][0]
