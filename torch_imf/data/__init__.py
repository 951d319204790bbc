from .audit import audit, mean_rank_percentile
from .convert import to_graph
from .distributed import is_main
from .graph import modalities
from .index import TripletIndex
from .loader import NegativeLoader, QueryLoader
from .names import NameIndex
from .split import clean_split, inductive_split

__all__ = [
    "NameIndex",
    "NegativeLoader",
    "QueryLoader",
    "TripletIndex",
    "audit",
    "clean_split",
    "inductive_split",
    "is_main",
    "mean_rank_percentile",
    "modalities",
    "to_graph",
]
