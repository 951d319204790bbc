import hashlib
import re
from collections.abc import Callable

from torch import Tensor

Encoder = Callable[..., Tensor]


def resolve(
    modality: str,
    encoder: Encoder | str | None,
    default: Callable[[], Encoder | None],
) -> Encoder | None:
    r"""Returns an encoder as it is, and that of :obj:`default` for
    :obj:`"auto"`.
    """
    if not isinstance(encoder, str):
        return encoder
    if encoder == "auto":
        return default()
    raise ValueError(
        f"Invalid '{modality}' argument (got '{encoder}'), expected 'auto', None or an encoder"
    )


def check_encoder(modality: str, encoder: Encoder | None) -> None:
    r"""Raises a :class:`ValueError` if an encoder cannot be called, or if its
    :obj:`repr` is an address in memory, which says nothing about its settings
    and may be another encoder's tomorrow.
    """
    if encoder is not None and not callable(encoder):
        raise ValueError(
            f"Invalid '{modality}' argument (got {encoder!r}), expected an encoder to call or None"
        )
    if re.search(r" at 0x[0-9a-fA-F]+", repr(encoder)):
        raise ValueError(
            f"The {modality} encoder {encoder!r} cannot be told from others. Give its class a "
            f"'__repr__' that names all settings: it becomes part of the processed file's name"
        )


def tag(encoder: Encoder | None) -> str:
    r"""Returns a name for the features of an encoder that is fit for a file:
    its class, and a hash of its :obj:`repr`.
    """
    if encoder is None:
        return "none"
    name = re.sub(r"\W", "", encoder.__class__.__name__)
    return f"{name}-{hashlib.sha256(repr(encoder).encode()).hexdigest()[:8]}"
