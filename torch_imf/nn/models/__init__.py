from typing import Any

from torch_geometric.resolver import resolver

from .adamf import AdaMF
from .adversary import Adversary
from .base import MultimodalKGE
from .ikrl import IKRL
from .imf import IMF
from .joint import JointKGE
from .kge import KGE
from .rsme import RSME
from .sampled import SampledLoss
from .tbkgc import TBKGC

classes = ["AdaMF", "IKRL", "IMF", "KGE", "RSME", "TBKGC"]

__all__ = [*classes, "Adversary", "JointKGE", "MultimodalKGE", "SampledLoss", "model_resolver"]


def model_resolver(query: MultimodalKGE | str, *args: Any, **kwargs: Any) -> MultimodalKGE:
    r"""Returns the model named :obj:`query`, *e.g.*, :obj:`"imf"`."""
    return resolver(
        [globals()[name] for name in classes], {}, query, MultimodalKGE, "", *args, **kwargs
    )
