from .functional import (
    contrastive_loss,
    dura_loss,
    info_nce_loss,
    linear_bce_loss,
    linear_ce_loss,
    self_adversarial_loss,
)
from .fusion import AdaMFFusion, DecisionFusion, IMFFusion, MutanFusion
from .generator import ModalityGenerator
from .models import IMF, KGE, MultimodalKGE
from .scorer import (
    ComplEx,
    ContextualRelationalScorer,
    ConvE,
    DistMult,
    RotatE,
    Scorer,
    TransE,
    TuckER,
)

__all__ = classes = [
    "AdaMFFusion",
    "ComplEx",
    "ContextualRelationalScorer",
    "ConvE",
    "DecisionFusion",
    "DistMult",
    "IMF",
    "IMFFusion",
    "KGE",
    "ModalityGenerator",
    "MultimodalKGE",
    "MutanFusion",
    "RotatE",
    "Scorer",
    "TransE",
    "TuckER",
    "contrastive_loss",
    "dura_loss",
    "info_nce_loss",
    "linear_bce_loss",
    "linear_ce_loss",
    "self_adversarial_loss",
]
