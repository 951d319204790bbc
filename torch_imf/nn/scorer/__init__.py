from typing import Any

from torch_geometric.resolver import resolver

from .base import DistanceScorer, Scorer
from .complex import ComplEx
from .contextual import ContextualRelationalScorer
from .conve import ConvE
from .cross_modal import CrossModal
from .distmult import DistMult
from .rotate import RotatE
from .transe import TransE
from .tucker import TuckER

classes = [
    "ComplEx",
    "ContextualRelationalScorer",
    "ConvE",
    "DistMult",
    "RotatE",
    "TransE",
    "TuckER",
]

__all__ = [*classes, "CrossModal", "DistanceScorer", "Scorer", "scorer_resolver"]


def scorer_resolver(query: Scorer | str, *args: Any, **kwargs: Any) -> Scorer:
    r"""Returns the scorer named :obj:`query`, *e.g.*, :obj:`"contextual"`."""
    aliases = {"contextual": ContextualRelationalScorer}
    return resolver(
        [globals()[name] for name in classes], aliases, query, Scorer, None, *args, **kwargs
    )
