from .base import Evidence as Evidence
from .base import View as View
from .neighbors import FeatureView as FeatureView
from .neighbors import Similar as Similar
from .rules import Rule as Rule
from .rules import RuleView as RuleView
from .types import Seen as Seen
from .types import TypePrior as TypePrior
