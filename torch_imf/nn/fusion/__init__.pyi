from .adamf import AdaMFFusion as AdaMFFusion
from .adamf import SideBySide as SideBySide
from .adamf import StackFusion as StackFusion
from .autoencoder import AutoencoderFusion as AutoencoderFusion
from .base import Fusion as Fusion
from .decision import DecisionFusion as DecisionFusion
from .imf import IMFFusion as IMFFusion
from .imf import MutanFusion as MutanFusion
