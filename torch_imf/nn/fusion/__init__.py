from typing import Any

from torch_geometric.resolver import resolver

from .adamf import AdaMFFusion
from .base import Fusion
from .decision import DecisionFusion
from .imf import IMFFusion
from .mutan import MutanFusion
from .stack import StackFusion

classes = ["AdaMFFusion", "IMFFusion", "MutanFusion"]

__all__ = [*classes, "DecisionFusion", "Fusion", "StackFusion", "fusion_resolver"]


def fusion_resolver(query: Fusion | str, *args: Any, **kwargs: Any) -> Fusion:
    r"""Returns the fusion named :obj:`query`, *e.g.*, :obj:`"imf"`."""
    return resolver([globals()[name] for name in classes], {}, query, Fusion, None, *args, **kwargs)
