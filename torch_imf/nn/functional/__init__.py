from .contrastive import contrastive_loss, info_nce_loss
from .dura import dura_loss
from .gather import gather_similarity
from .grouped_mm import grouped_mm
from .linear_bce import linear_bce_loss
from .linear_ce import linear_ce_loss
from .self_adversarial import self_adversarial_loss

__all__ = classes = [
    "contrastive_loss",
    "dura_loss",
    "gather_similarity",
    "grouped_mm",
    "info_nce_loss",
    "linear_bce_loss",
    "linear_ce_loss",
    "self_adversarial_loss",
]
