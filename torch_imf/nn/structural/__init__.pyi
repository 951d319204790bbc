from . import graph_attention as graph_attention
from .encoder import StructuralEncoder as StructuralEncoder
from .triple_attention import TripleEncoder as TripleEncoder
