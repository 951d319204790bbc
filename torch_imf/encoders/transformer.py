from collections.abc import Callable

import torch
from torch import Tensor, nn

POOLINGS = ("pooler", "mean", "cls")


def load_transformer(
    path: str,
    pooling: str,
    device: torch.device,
) -> Callable[[list[str]], Tensor]:
    r"""Loads a plain transformer of :obj:`transformers` and returns a function
    from texts to pooled outputs.

    Args:
        path (str): A folder or a model name.
        pooling (str): :obj:`"pooler"`, :obj:`"mean"` or :obj:`"cls"`.
        device (torch.device): The device to run on.

    Raises:
        ValueError: If the weights are incomplete, so that some would be
            random, or the model has no pooling layer to take.
    """
    from transformers import AutoModel, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(path)
    model, info = AutoModel.from_pretrained(path, output_loading_info=True)
    absent = [name for name in info["missing_keys"] if pooling == "pooler" or "pooler" not in name]
    if len(absent) > 0:
        raise ValueError(
            f"The weights of '{path}' lack {len(absent)} parameters, which would be random "
            f"(first: {sorted(absent)[:5]})"
        )
    model = model.to(device, torch.float).eval()

    max_length = min(tokenizer.model_max_length, num_positions(model, tokenizer.model_max_length))

    @torch.no_grad()
    def encode(texts: list[str]) -> Tensor:
        inputs = tokenizer(
            texts,
            padding=True,
            truncation=True,
            max_length=max_length,
            return_tensors="pt",
        ).to(device)
        out = model(**inputs)
        if pooling == "pooler":
            if getattr(out, "pooler_output", None) is None:
                raise ValueError(f"The model '{path}' has no pooling layer, use 'mean' or 'cls'")
            return out.pooler_output
        if pooling == "cls":
            return out.last_hidden_state[:, 0]
        mask = inputs["attention_mask"].unsqueeze(-1)
        return (out.last_hidden_state * mask).sum(dim=1) / mask.sum(dim=1)

    return encode


def num_positions(model: nn.Module, default: int) -> int:
    r"""Returns the number of tokens a transformer has positions for. Models
    such as RoBERTa count them from behind the one of padding.
    """
    size: int = getattr(model.config, "max_position_embeddings", default)
    for name, module in model.named_modules():
        padding_idx = getattr(module, "padding_idx", None)
        if name.endswith("position_embeddings") and padding_idx is not None:
            return size - padding_idx - 1
    return size
