from .functional import (
    contrastive_loss,
    dura_loss,
    info_nce_loss,
    linear_bce_loss,
    linear_ce_loss,
    self_adversarial_loss,
)
from .fusion import AdaMFFusion, DecisionFusion, IMFFusion, MutanFusion, StackFusion
from .generator import ModalityGenerator
from .models import IKRL, IMF, KGE, TBKGC, AdaMF, Adversary, MultimodalKGE, SampledLoss
from .scorer import (
    ComplEx,
    ContextualRelationalScorer,
    ConvE,
    CrossModal,
    DistMult,
    RotatE,
    Scorer,
    TransE,
    TuckER,
)

__all__ = classes = [
    "AdaMF",
    "AdaMFFusion",
    "Adversary",
    "ComplEx",
    "ContextualRelationalScorer",
    "ConvE",
    "CrossModal",
    "DecisionFusion",
    "DistMult",
    "IKRL",
    "IMF",
    "IMFFusion",
    "KGE",
    "ModalityGenerator",
    "MultimodalKGE",
    "MutanFusion",
    "RotatE",
    "SampledLoss",
    "Scorer",
    "StackFusion",
    "TBKGC",
    "TransE",
    "TuckER",
    "contrastive_loss",
    "dura_loss",
    "info_nce_loss",
    "linear_bce_loss",
    "linear_ce_loss",
    "self_adversarial_loss",
]
