import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


class TfidfEncoder:
    r"""Encodes texts by latent semantic analysis: the TF-IDF weights of words
    and pairs of words with sublinear term frequency, projected by a truncated
    singular value decomposition and normalised to unit length.

    It needs no weights and no network, only scikit-learn, and its result is a
    function of the texts alone. It knows only what the given texts say
    together, so a row changes when other texts are added.

    Args:
        channels (int, optional): The size of a text vector. If the texts
            support fewer dimensions (fewer texts, or fewer distinct terms),
            the columns beyond those are zero. (default: :obj:`256`)
        ngrams (int, optional): The longest sequence of words that counts as a
            term. (default: :obj:`2`)
        max_terms (int, optional): The number of terms to keep, most frequent
            first. (default: :obj:`50000`)
        seed (int, optional): The seed of the randomised decomposition.
            (default: :obj:`0`)

    Shapes:
        - **input:** a list of :math:`N` texts or :obj:`None`
        - **output:** features :math:`(N, channels)` and mask :math:`(N)`; rows
          of :obj:`None` and of texts without a single term that is kept are
          zero and :obj:`False`
    """

    def __init__(
        self,
        channels: int = 256,
        ngrams: int = 2,
        max_terms: int = 50000,
        seed: int = 0,
    ) -> None:
        for name, value in {"channels": channels, "ngrams": ngrams, "max_terms": max_terms}.items():
            if value < 1:
                raise ValueError(f"'{name}' needs to be positive (got {value})")

        self.channels = channels
        self.ngrams = ngrams
        self.max_terms = max_terms
        self.seed = seed

    def __call__(self, texts: list[str | None]) -> tuple[Tensor, Tensor]:
        r"""Returns the features of a list of texts and which of them have any.

        Args:
            texts (list[str or None]): The texts, see above.
        """
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer
        from threadpoolctl import threadpool_limits

        out = torch.zeros(len(texts), self.channels)
        mask = torch.zeros(len(texts), dtype=torch.bool)
        tokenize = TfidfVectorizer(ngram_range=(1, self.ngrams)).build_analyzer()
        known = [i for i, text in enumerate(texts) if text is not None and tokenize(text)]
        if len(known) == 0:
            return out, mask

        vectorizer = TfidfVectorizer(
            ngram_range=(1, self.ngrams),
            sublinear_tf=True,
            max_features=self.max_terms,
            dtype=np.float32,
        )
        terms = vectorizer.fit_transform([texts[i] for i in known])

        rank = min(self.channels, *terms.shape)
        if rank < min(terms.shape):
            svd = TruncatedSVD(rank, random_state=self.seed)
            with threadpool_limits(1):  # The same bits on any number of cores.
                x = torch.from_numpy(svd.fit_transform(terms)).float()
        else:  # A full decomposition, which the randomised solver is not made for.
            u, s, _ = torch.linalg.svd(torch.from_numpy(terms.toarray()), full_matrices=False)
            x = u * s
        out[known, :rank] = F.normalize(x, dim=-1)
        mask[known] = torch.from_numpy(terms.getnnz(axis=1) > 0)
        return out.masked_fill(~mask.view(-1, 1), 0.0), mask

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}(channels={self.channels}, ngrams={self.ngrams}, "
            f"max_terms={self.max_terms}, seed={self.seed})"
        )
