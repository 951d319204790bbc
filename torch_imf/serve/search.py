import difflib
import heapq
import unicodedata
from typing import Any

from torch_imf.data.names import Lookup

#: How many letters of a misspelt name need to be right, as a share of all of both.
LEAST = 0.6


class Search:
    r"""Finds names as one types them: those that begin with what is typed, then those with a word
    that does, then those that hold it anywhere, and then those that are spelt like it. Capitals,
    accents and underscores do not matter, and identifiers count as names.

    Args:
        lookup (Lookup): The names of entities, or of relations.
    """

    def __init__(self, lookup: Lookup) -> None:
        from sklearn.feature_extraction.text import HashingVectorizer

        names = enumerate(zip(lookup.names, lookup.ids, strict=True))
        pairs = [(plain(key), i) for i, pair in names for key in dict.fromkeys(pair)]
        self.keys, self.rows = [key for key, _ in pairs], [i for _, i in pairs]
        # Which groups of two and three letters names share, without a dictionary:
        options: Any = {"ngram_range": (2, 3), "n_features": 2**16, "alternate_sign": False}
        self.vectorizer = HashingVectorizer(analyzer="char_wb", lowercase=False, **options)
        self.letters = self.vectorizer.transform(self.keys or [""])

    def __call__(self, text: str, k: int = 10) -> list[int]:
        r"""Returns the rows of up to :obj:`k` names, the best first."""
        typed = plain(text[:200])
        if not typed:
            return []
        found = [
            (place(key, typed), len(key), j) for j, key in enumerate(self.keys) if typed in key
        ]
        # An entity may be found by its name and by its identifier:
        best = [self.rows[j] for *_, j in heapq.nsmallest(2 * k, found)]
        out = list(dict.fromkeys(best))[:k]
        return out if len(out) == k else list(dict.fromkeys(out + self.near(typed, k)))[:k]

    def near(self, typed: str, k: int) -> list[int]:
        r"""Returns the rows of names that are spelt like what is typed."""
        shared = self.letters @ self.vectorizer.transform([typed]).toarray()[0]
        close: list[tuple[float, int]] = []
        for j in (-shared).argsort(kind="stable")[: 10 * k].tolist():
            matcher = difflib.SequenceMatcher(None, typed, self.keys[j])
            if shared[j] > 0 and (ratio := matcher.ratio()) >= LEAST:
                close.append((-ratio, j))
        return [self.rows[j] for _, j in sorted(close)][:k]


def plain(name: str) -> str:
    r"""Returns a name without capitals, underscores and accents."""
    words = name.replace("_", " ").casefold().split()
    parts = unicodedata.normalize("NFKD", " ".join(words))
    return "".join(x for x in parts if not unicodedata.combining(x))


def place(key: str, typed: str) -> int:
    r"""Tells where a name holds what is typed: it is it, begins with it, or one of its words."""
    if key.startswith(typed):
        return 0 if key == typed else 1
    return 2 if f" {typed}" in key else 3
