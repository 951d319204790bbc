from typing import Any

from torch_geometric.resolver import resolver

from .base import DistanceScorer, Scorer
from .complex import ComplEx
from .contextual import ContextualRelationalScorer
from .distmult import DistMult
from .rotate import RotatE
from .transe import TransE

classes = [
    "ComplEx",
    "ContextualRelationalScorer",
    "DistMult",
    "RotatE",
    "TransE",
]

__all__ = [*classes, "DistanceScorer", "Scorer", "scorer_resolver"]


def scorer_resolver(query: Scorer | str, *args: Any, **kwargs: Any) -> Scorer:
    r"""Returns the scorer named :obj:`query`, *e.g.*, :obj:`"contextual"`."""
    aliases = {"contextual": ContextualRelationalScorer}
    return resolver(
        [globals()[name] for name in classes], aliases, query, Scorer, None, *args, **kwargs
    )
