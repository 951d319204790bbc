from torch_imf.io.mapped import map_features

from .audit import audit, mean_rank_percentile
from .convert import to_graph
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
    "map_features",
    "mean_rank_percentile",
    "modalities",
    "to_graph",
]
