r"""Encoders turn raw modalities into one vector per entity, once."""

from .feature_file import FeatureFile
from .numeric import NumericEncoder
from .pixel import PixelEncoder
from .structural import StructuralEncoder
from .textual import TextEncoder
from .tfidf import TfidfEncoder
from .visual import VisualEncoder

__all__ = classes = [
    "StructuralEncoder",
    "TextEncoder",
    "TfidfEncoder",
    "VisualEncoder",
    "PixelEncoder",
    "NumericEncoder",
    "FeatureFile",
]
