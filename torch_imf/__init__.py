from . import data, datasets, encoders, nn, sampler, transforms
from .calibrate import calibrate
from .evaluate import evaluate
from .nn import *  # noqa: F403
from .nn import __all__ as _nn_all
from .predict import predict
from .train import fit, train
from .transforms import AddInverse, DropModality

__version__ = "0.1.0"

__all__ = [
    "AddInverse",
    "DropModality",
    "calibrate",
    "data",
    "datasets",
    "encoders",
    "evaluate",
    "fit",
    "nn",
    "predict",
    "sampler",
    "train",
    "transforms",
    *_nn_all,
    "__version__",
]
