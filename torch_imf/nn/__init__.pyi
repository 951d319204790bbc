from . import functional as functional
from . import fusion as fusion
from . import losses as losses
from . import models as models
from . import scorer as scorer
from . import structural as structural
from . import views as views
from .functional import *
from .fusion import *
from .losses import *
from .models import *
from .scorer import *
from .structural import *
from .views import *
