from .audit import audit
from .clean import clean_split
from .features import modalities
from .index import TripletIndex
from .loader import QueryLoader
from .names import NameIndex
from .percentile import mean_rank_percentile

__all__ = [
    "NameIndex",
    "QueryLoader",
    "TripletIndex",
    "audit",
    "clean_split",
    "mean_rank_percentile",
    "modalities",
]
