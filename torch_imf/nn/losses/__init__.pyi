from .base import Loss as Loss
from .contrastive import Contrastive as Contrastive
from .one_to_n import OneToN as OneToN
from .regularizer import DURA as DURA
from .regularizer import Regularizer as Regularizer
from .sampled import Sampled as Sampled
