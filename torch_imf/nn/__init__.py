from .functional import contrastive_loss, info_nce_loss, linear_bce_loss, linear_ce_loss
from .fusion import DecisionFusion, IMFFusion
from .models import IMF, KGE, MultimodalKGE
from .scorer import ComplEx, ContextualRelationalScorer, DistMult, RotatE, Scorer, TransE

__all__ = classes = [
    "ComplEx",
    "ContextualRelationalScorer",
    "DecisionFusion",
    "DistMult",
    "IMF",
    "IMFFusion",
    "KGE",
    "MultimodalKGE",
    "RotatE",
    "Scorer",
    "TransE",
    "contrastive_loss",
    "info_nce_loss",
    "linear_bce_loss",
    "linear_ce_loss",
]
