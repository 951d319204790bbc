from .checkpoint import History, TrainingState
from .fit import fit, train
from .tensorboard import TensorBoard
from .tune import best_settings, tune

__all__ = ["History", "TensorBoard", "TrainingState", "best_settings", "fit", "train", "tune"]
