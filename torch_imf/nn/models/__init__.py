from typing import Any

from torch_geometric.resolver import resolver

from .base import MultimodalKGE
from .imf import IMF
from .kge import KGE

classes = ["IMF", "KGE"]

__all__ = [*classes, "MultimodalKGE", "model_resolver"]


def model_resolver(query: MultimodalKGE | str, *args: Any, **kwargs: Any) -> MultimodalKGE:
    r"""Returns the model named :obj:`query`, *e.g.*, :obj:`"imf"`."""
    return resolver(
        [globals()[name] for name in classes], {}, query, MultimodalKGE, "", *args, **kwargs
    )
