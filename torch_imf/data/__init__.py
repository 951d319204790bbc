from .audit import audit
from .clean import clean_split
from .features import modalities
from .index import TripletIndex
from .loader import NegativeLoader, QueryLoader
from .names import NameIndex
from .percentile import mean_rank_percentile

__all__ = classes = [
    "NameIndex",
    "NegativeLoader",
    "QueryLoader",
    "TripletIndex",
    "audit",
    "clean_split",
    "mean_rank_percentile",
    "modalities",
]
