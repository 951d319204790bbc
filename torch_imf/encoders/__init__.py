r"""Encoders turn raw modalities into one vector per entity, once."""

from .numeric import NumericEncoder
from .textual import TextEncoder, TfidfEncoder
from .visual import PixelEncoder

__all__ = classes = [
    "TextEncoder",
    "TfidfEncoder",
    "PixelEncoder",
    "NumericEncoder",
]
