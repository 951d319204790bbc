r"""Multimodal knowledge graphs, each one :class:`~torch_geometric.data.Data`
with all facts and a mask per split.
"""

from .base import KGDataset
from .countries import Countries
from .db15k import DB15K
from .fake import FakeMMKG
from .fb15k import FB15K
from .fb15k237 import FB15K237
from .mkgw import MKGW
from .mkgy import MKGY
from .own import MultimodalKG
from .wn9img import WN9IMG
from .yago15k import YAGO15K

classes = [
    "Countries",
    "DB15K",
    "FB15K",
    "FB15K237",
    "FakeMMKG",
    "MKGW",
    "MKGY",
    "WN9IMG",
    "YAGO15K",
]

__all__ = [*classes, "KGDataset", "MultimodalKG"]
