import os
import os.path as osp
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor, nn

from torch_imf.encoders.base import Encoder, default_device, hash_weights, require
from torch_imf.encoders.cache import Encode, FeatureCache, encode_rows, hash_content

POOLINGS = ("pooler", "mean", "cls")


class TextEncoder(Encoder):
    r"""Encodes texts by a pretrained transformer, run once.

    By default, this is a sentence transformer and does as its authors say.
    With :obj:`pooling`, the model is a plain transformer, and its output is
    pooled here:
    :obj:`TextEncoder("bert-base-uncased", pooling="pooler")` is the encoder of
    the `"IMF: Interactive Multimodal Fusion Model for Link Prediction"
    <https://arxiv.org/abs/2303.10816>`_ paper, with 768 values.
    Texts beyond the length of the model are cut.

    Needs :obj:`sentence-transformers`
    (:obj:`pip install "torch_imf[textual]"`). Weights that are on this machine
    are used without a look at the network; others are downloaded.

    Args:
        model (str, optional): A model name of the Hugging Face Hub, or a
            folder. (default: :obj:`"all-MiniLM-L6-v2"`)
        pooling (str, optional): :obj:`"pooler"` for the output of the pooling
            layer, :obj:`"mean"` for the mean of all tokens, :obj:`"cls"` for
            the first token, or :obj:`None` for a sentence transformer.
            (default: :obj:`None`)
        batch_size (int, optional): The number of texts per batch.
            (default: :obj:`256`)
        device (str, optional): The device to run on, an accelerator if there
            is one by default. (default: :obj:`None`)
        cache (bool or str, optional): The folder to keep features in, see
            :class:`ImageEncoder`. (default: :obj:`True`)

    Shapes:
        - **input:** a list of :math:`N` texts or :obj:`None`
        - **output:** features :math:`(N, D)` with :math:`D` as the model has
          it (384 for :obj:`"all-MiniLM-L6-v2"`, 0 if there is not one text),
          and mask :math:`(N)`; rows of :obj:`None` are zero and :obj:`False`
    """

    packages = ("sentence-transformers", "transformers")

    def __init__(
        self,
        model: str | os.PathLike[str] = "all-MiniLM-L6-v2",
        pooling: str | None = None,
        batch_size: int = 256,
        device: str | None = None,
        cache: bool | str | os.PathLike[str] = True,
    ) -> None:
        if pooling not in (None, *POOLINGS):
            raise ValueError(f"Invalid 'pooling' argument (got '{pooling}')")
        if batch_size < 1:
            raise ValueError(f"'batch_size' needs to be positive (got {batch_size})")
        require("sentence-transformers", self.__class__.__name__, "TfidfEncoder")

        self.model = os.fspath(model)
        self.pooling = pooling
        self.batch_size = batch_size
        self.device = device
        self.cache = cache

    def transform(self, texts: Sequence[str | None]) -> tuple[Tensor, Tensor]:
        r"""Returns the features of texts and which of them are there.

        Args:
            texts (list[str or None]): The texts, see above.

        Raises:
            RuntimeError: If the weights cannot be had.
        """
        entries = [(i, hash_content(x), x) for i, x in enumerate(texts) if x is not None]
        entries.sort(key=lambda entry: -len(entry[2]))  # Little padding, and the worst first.

        def load() -> Encode[str]:
            run = self.load()
            return lambda batch: (list(batch), run(list(batch.values())))

        cache = FeatureCache.open(self, self.cache)
        return encode_rows(len(texts), entries, load, self.batch_size, cache)

    def load(self) -> Callable[[list[str]], Tensor]:
        r"""Loads the model, as a function from texts to features."""
        from sentence_transformers import SentenceTransformer

        device = str(default_device(self.device))
        try:
            try:
                model = SentenceTransformer(self.model, device=device, local_files_only=True)
            except OSError:
                model = SentenceTransformer(self.model, device=device)
        except OSError as e:
            raise RuntimeError(
                f"The weights of '{self.model}' are not on this machine and could not be fetched. "
                f"Please run once with a network, pass a folder that holds them as 'model', or use "
                f"'TfidfEncoder' ({e})"
            ) from e
        if self.pooling is not None:
            model = SentenceTransformer(modules=self._pool(model[0]), device=device)
        elif not _is_sentence_transformer(self.model):
            # Of which sentence-transformers takes a mean of the tokens, without a word:
            raise ValueError(
                f"'{self.model}' is no sentence transformer, as it has no 'modules.json'. If it is "
                f"a plain transformer, pass 'pooling'"
            )

        def run(texts: list[str]) -> Tensor:
            out: Any = model.encode(
                texts, batch_size=len(texts), show_progress_bar=False, convert_to_tensor=True
            )
            return out.clone()  # Inference tensors cannot be written to.

        return run

    def _pool(self, transformer: Any) -> list[nn.Module]:
        # A plain transformer, and the layer that pools its output.
        from transformers import AutoModel

        try:
            from sentence_transformers.sentence_transformer.modules import Pooling
        except ImportError:  # Older releases.
            from sentence_transformers.models import Pooling  # type: ignore[no-redef]

        model, name = transformer.auto_model, transformer.auto_model.config._name_or_path
        _, info = AutoModel.from_pretrained(name, output_loading_info=True, local_files_only=True)
        with_pooler = self.pooling == "pooler"
        absent = [x for x in info["missing_keys"] if with_pooler or "pooler" not in x]
        if len(absent) > 0:
            raise ValueError(
                f"The weights of '{self.model}' lack {len(absent)} parameters, which would be "
                f"random (first: {sorted(absent)[:5]})"
            )
        for name, module in model.named_modules():
            padding_idx = getattr(module, "padding_idx", None)
            if name.endswith("position_embeddings") and padding_idx is not None:
                # Models such as RoBERTa count positions from behind the one of padding:
                room = module.num_embeddings - padding_idx - 1
                transformer.max_seq_length = min(transformer.max_seq_length, room)
        if not with_pooler:
            return [transformer, Pooling(model.config.hidden_size, pooling_mode=self.pooling)]
        if getattr(model, "pooler", None) is None:
            raise ValueError(f"The model '{self.model}' has no pooling layer, use 'mean' or 'cls'")
        return [transformer, _Pooler(model.pooler)]

    def settings(self) -> dict[str, object]:
        if not osp.isdir(self.model):
            return super().settings()
        folder = {"model": osp.basename(osp.abspath(self.model))}
        return {**folder, "weights": hash_weights(self.model), "pooling": self.pooling}


class _Pooler(nn.Module):
    # The pooling layer of a transformer, as a module of sentence-transformers.
    def __init__(self, pooler: nn.Module) -> None:
        super().__init__()
        self.pooler = pooler

    def forward(self, features: dict[str, Tensor]) -> dict[str, Tensor]:
        features["sentence_embedding"] = self.pooler(features["token_embeddings"])
        return features


def _is_sentence_transformer(model: str) -> bool:
    from sentence_transformers.util import is_sentence_transformer_model

    names = [model] if "/" in model else [model, f"sentence-transformers/{model}"]
    return any(is_sentence_transformer_model(name, local_files_only=True) for name in names)
