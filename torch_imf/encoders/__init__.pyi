from .feature_file import FeatureFile as FeatureFile
from .numeric import NumericEncoder as NumericEncoder
from .pixel import PixelEncoder as PixelEncoder
from .textual import TextEncoder as TextEncoder
from .tfidf import TfidfEncoder as TfidfEncoder
from .visual import VisualEncoder as VisualEncoder
