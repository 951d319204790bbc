from .contrastive import contrastive_loss as contrastive_loss
from .contrastive import info_nce_loss as info_nce_loss
from .contrastive import self_adversarial_loss as self_adversarial_loss
from .gather import gather_similarity as gather_similarity
from .gather import grouped_mm as grouped_mm
from .linear import dura_loss as dura_loss
from .linear import linear_bce_loss as linear_bce_loss
from .linear import linear_ce_loss as linear_ce_loss
