from .checkpoint import CheckpointError, History, TrainingState
from .controls import controls
from .distributed import shard
from .fit import TensorBoard, fit, make_loader, make_optimizers, train, validate
from .recipe import Recipe, recipe
from .tune import best_settings, tune

__all__ = [
    "CheckpointError",
    "History",
    "Recipe",
    "TensorBoard",
    "TrainingState",
    "best_settings",
    "controls",
    "fit",
    "make_loader",
    "make_optimizers",
    "recipe",
    "shard",
    "train",
    "tune",
    "validate",
]
