from .checkpoint import CheckpointError, History, TrainingState
from .controls import controls
from .fit import TensorBoard, fit, make_loader, make_optimizers, train, validate
from .recipe import recipe
from .tune import best_settings, tune

__all__ = [
    "CheckpointError",
    "History",
    "TensorBoard",
    "TrainingState",
    "best_settings",
    "controls",
    "fit",
    "make_loader",
    "make_optimizers",
    "recipe",
    "train",
    "tune",
    "validate",
]
