from .features import modalities
from .index import TripletIndex
from .loader import QueryLoader

__all__ = classes = ["QueryLoader", "TripletIndex", "modalities"]
