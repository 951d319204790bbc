from .complete import complete
from .explain import explain
from .predict import predict
from .predict_file import predict_file
from .probability import Temperature, calibration_error, fit_temperature
from .weights import calibrate

__all__ = [
    "Temperature",
    "calibrate",
    "calibration_error",
    "complete",
    "explain",
    "fit_temperature",
    "predict",
    "predict_file",
]
