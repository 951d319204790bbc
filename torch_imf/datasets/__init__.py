r"""Multimodal knowledge graphs, each one :class:`~torch_geometric.data.Data`
with all facts and a mask per split.
"""

from .base import KGDataset
from .countries import Countries
from .fake import FakeMMKG
from .fb15k237 import FB15K237

classes = ["Countries", "FB15K237", "FakeMMKG"]

__all__ = [*classes, "KGDataset"]
