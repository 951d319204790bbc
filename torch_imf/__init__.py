import warnings

with warnings.catch_warnings():
    # PyG uses what PyTorch has deprecated, about which its users can do nothing:
    warnings.filterwarnings("ignore", ".*torch.jit", FutureWarning)
    import torch_geometric.nn

from . import data, datasets, encoders, nn, sampler, transforms, visualize
from .build import build_model
from .calibrate import calibrate
from .complete import complete
from .evaluate import evaluate
from .explain import explain
from .nn import *  # noqa: F403
from .nn import __all__ as _nn_all
from .predict import predict
from .predict_file import predict_file
from .pretrained import from_pretrained, pretrained_graph, save_pretrained
from .settings import describe_settings
from .temperature import Temperature, calibration_error, fit_temperature
from .tensorboard import TensorBoard
from .train import fit, train
from .transforms import AddInverse, DropModality
from .tune import best_settings, tune

__version__ = "0.1.0"

__all__ = [
    "AddInverse",
    "DropModality",
    "Temperature",
    "TensorBoard",
    "best_settings",
    "build_model",
    "calibrate",
    "calibration_error",
    "complete",
    "describe_settings",
    "evaluate",
    "explain",
    "fit",
    "fit_temperature",
    "from_pretrained",
    "predict",
    "predict_file",
    "pretrained_graph",
    "save_pretrained",
    "train",
    "tune",
    *_nn_all,
    "__version__",
]
