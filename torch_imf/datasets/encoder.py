import hashlib
import os
import re
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from torch_imf.data.graph import nonzero_rows
from torch_imf.encoders import FeatureFile
from torch_imf.encoders.base import EncoderLike as Encoder

# What may be given as the encoder of a modality:
Given = Encoder | str | os.PathLike[str] | None
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def resolve(
    modality: str, encoder: Given, default: Callable[[str], Encoder | None]
) -> Encoder | None:
    r"""Returns an encoder as it is, that of :obj:`default(modality)` for :obj:`"auto"`, and one
    that reads features from a file for its path.

    Raises:
        ValueError: If it cannot be called, or if its :obj:`repr` is an address in memory, which
            says nothing about its settings and may be another encoder's tomorrow.
    """
    if isinstance(encoder, str | os.PathLike):
        try:
            encoder = default(modality) if encoder == "auto" else FeatureFile(encoder)
        except ValueError as e:
            raise ValueError(
                f"Invalid '{modality}' argument (got '{encoder}'), expected 'auto', None, an "
                f"encoder (for a model of this name, TextEncoder('{encoder}') or "
                f"VisualEncoder('{encoder}')), or a file of features: {e}"
            ) from e
    if isinstance(encoder, type) or not (encoder is None or callable(encoder)):
        hint = f", as in '{encoder.__name__}()'" if isinstance(encoder, type) else ""
        raise ValueError(
            f"Invalid '{modality}' argument (got {encoder}), expected an encoder to call or "
            f"None{hint}"
        )
    if ADDRESS.search(repr(encoder)):
        raise ValueError(
            f"The {modality} encoder {encoder!r} cannot be told from others. Give its class a "
            f"'__repr__' that names all settings: it becomes part of the processed file's name"
        )
    return encoder


def run_encoder(
    modality: str, encoder: Encoder, inputs: Sequence[object], mask: Sequence[bool]
) -> tuple[Tensor, Tensor]:
    r"""Runs an encoder and returns its features as floats, zero for entities without this modality,
    and which entities have it: those of :obj:`mask`, less those for which the encoder returns
    :obj:`False`.
    """
    out = encoder(*inputs)
    x, found = out if isinstance(out, tuple) else (out, None)
    keep = torch.tensor(mask, dtype=torch.bool)
    found = keep if found is None else found
    size, is_mask = keep.numel(), isinstance(found, Tensor) and found.dtype == torch.bool
    if not isinstance(x, Tensor) or x.dim() != 2 or not is_mask or {len(x), len(found)} != {size}:
        got = [f"{y.dtype} {list(y.size())}" if isinstance(y, Tensor) else y for y in (x, found)]
        raise ValueError(
            f"The {modality} encoder {encoder} needs to return features of shape [{size}, *], and "
            f"perhaps a boolean mask of shape [{size}] (got {got})"
        )
    x, keep = x.detach().float().cpu(), keep & found.cpu()
    if not keep.any():
        raise ValueError(
            f"The {modality} encoder {encoder} found nothing to encode in any of the {size} "
            f"entities. Pass '{modality}=None' (to 'MultimodalKG', 'encoders={{\"{modality}\": "
            f"None}}') to leave this modality out"
        )
    return x.masked_fill(~keep.view(-1, 1), 0.0) if nonzero_rows(x)[~keep].any() else x, keep


def tag(encoder: Encoder | None) -> str:
    r"""Returns a name for the features of an encoder that is fit for a file: its class, and a hash
    of its :obj:`repr`. What does not shape the features, such as a device, has no place in a
    :obj:`repr`; nor have versions of packages, which are written down inside (:meth:`record_of`).
    """
    if encoder is None:
        return "none"
    name = re.sub(r"\W", "", encoder.__class__.__name__)
    return f"{name}-{hashlib.sha256(repr(encoder).encode()).hexdigest()[:8]}"
