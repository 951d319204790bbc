from torch_imf.io.mapped import map_features

from .audit import audit, mean_rank_percentile
from .convert import to_graph
from .decisions import add_decisions
from .distributed import is_main
from .graph import modalities
from .index import TripletIndex
from .interop import to_frame, to_hetero, to_networkx, write_neo4j, write_triples
from .loader import NegativeLoader, QueryLoader
from .names import NameIndex
from .split import clean_split, inductive_split

__all__ = [
    "NameIndex",
    "NegativeLoader",
    "QueryLoader",
    "TripletIndex",
    "add_decisions",
    "audit",
    "clean_split",
    "inductive_split",
    "is_main",
    "map_features",
    "mean_rank_percentile",
    "modalities",
    "to_frame",
    "to_graph",
    "to_hetero",
    "to_networkx",
    "write_neo4j",
    "write_triples",
]
