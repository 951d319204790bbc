from .adamf import AdaMFFusion as AdaMFFusion
from .adamf import StackFusion as StackFusion
from .base import Fusion as Fusion
from .decision import DecisionFusion as DecisionFusion
from .imf import IMFFusion as IMFFusion
from .imf import MutanFusion as MutanFusion
