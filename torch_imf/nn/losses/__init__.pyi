from .base import Loss as Loss
from .contrastive import Contrastive as Contrastive
from .one_to_n import DURA as DURA
from .one_to_n import OneToN as OneToN
from .one_to_n import Regularizer as Regularizer
from .sampled import Sampled as Sampled
