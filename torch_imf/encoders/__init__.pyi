from .base import Encoder as Encoder
from .numeric import NumericEncoder as NumericEncoder
from .ready import FeatureFile as FeatureFile
from .text import TextEncoder as TextEncoder
from .tfidf import TfidfEncoder as TfidfEncoder
from .visual import PixelEncoder as PixelEncoder
from .visual import VisualEncoder as VisualEncoder
