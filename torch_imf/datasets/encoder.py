import hashlib
import os
import re
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from torch_imf.data.graph import finite_rows, nonzero_rows
from torch_imf.encoders import FeatureFile
from torch_imf.encoders.base import EncoderLike as Encoder


def resolve(
    modality: str,
    encoder: Encoder | str | os.PathLike[str] | None,
    default: Callable[[str], Encoder | None],
) -> Encoder | None:
    r"""Returns an encoder as it is, that of :obj:`default(modality)` for :obj:`"auto"`, and one
    that reads features from a file for its path.
    """
    if not isinstance(encoder, str | os.PathLike):
        return encoder
    if encoder == "auto":
        return default(modality)
    try:
        return FeatureFile(encoder)
    except ValueError as e:
        raise ValueError(
            f"Invalid '{modality}' argument (got '{encoder}'), expected 'auto', None, an encoder "
            f"(for a model of this name, TextEncoder('{encoder}') or VisualEncoder('{encoder}')), "
            f"or a file of features: {e}"
        ) from e


def check_encoder(modality: str, encoder: Encoder | None) -> None:
    r"""Raises a :class:`ValueError` if an encoder cannot be called, or if its :obj:`repr` is an
    address in memory, which says nothing about its settings and may be another encoder's tomorrow.
    """
    if isinstance(encoder, type):
        raise ValueError(
            f"Invalid '{modality}' argument (got the class {encoder.__name__}), expected one of "
            f"its objects, as in '{encoder.__name__}()'"
        )
    if encoder is not None and not callable(encoder):
        raise ValueError(
            f"Invalid '{modality}' argument (got {encoder!r}), expected an encoder to call or None"
        )
    if re.search(r" at 0x[0-9a-fA-F]+", repr(encoder)):
        raise ValueError(
            f"The {modality} encoder {encoder!r} cannot be told from others. Give its class a "
            f"'__repr__' that names all settings: it becomes part of the processed file's name"
        )


def run_encoder(
    modality: str,
    encoder: Encoder,
    inputs: Sequence[object],
    mask: Sequence[bool],
) -> tuple[Tensor, Tensor]:
    r"""Runs an encoder and returns its features as floats, zero for entities without this modality,
    and which entities have it: those of :obj:`mask`, less those for which the encoder returns
    :obj:`False`.
    """
    out = encoder(*inputs)
    x, found = out if isinstance(out, tuple) else (out, None)
    keep = torch.tensor(mask, dtype=torch.bool)
    if not isinstance(x, Tensor) or x.dim() != 2 or x.size(0) != keep.numel():
        shape = list(x.size()) if isinstance(x, Tensor) else type(x).__name__
        raise ValueError(
            f"The {modality} encoder {encoder} needs to return a tensor of shape "
            f"[{keep.numel()}, *] (got {shape})"
        )
    x = x.detach().float().cpu()
    rows = (~finite_rows(x)).nonzero().view(-1).tolist()
    if len(rows) > 0:
        raise ValueError(
            f"The {modality} encoder {encoder} returned NaN or infinite features in "
            f"{len(rows)} rows (first: {rows[:5]})"
        )

    if found is not None:
        if found.dtype != torch.bool or found.size() != keep.size():
            raise ValueError(
                f"The {modality} encoder {encoder} needs to return a boolean mask of shape "
                f"[{keep.numel()}] (got {found.dtype} of shape {list(found.size())})"
            )
        keep &= found.cpu()
    if not keep.any():
        raise ValueError(
            f"The {modality} encoder {encoder} found nothing to encode in any of the "
            f"{keep.numel()} entities. Pass '{modality}=None' (to 'MultimodalKG', "
            f"'encoders={{\"{modality}\": None}}') to leave this modality out"
        )
    if nonzero_rows(x)[~keep].any():
        x = x.masked_fill(~keep.view(-1, 1), 0.0)
    return x, keep


def tag(encoder: Encoder | None) -> str:
    r"""Returns a name for the features of an encoder that is fit for a file: its class, and a hash
    of its :obj:`repr`. What does not shape the features, such as a device, has no place in a
    :obj:`repr`; nor have versions of packages, which are written down inside (:meth:`record_of`).
    """
    if encoder is None:
        return "none"
    name = re.sub(r"\W", "", encoder.__class__.__name__)
    return f"{name}-{hashlib.sha256(repr(encoder).encode()).hexdigest()[:8]}"
