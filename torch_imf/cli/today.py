r"""Names of today until the rooms are merged. It goes then; see the report."""

import dataclasses
from typing import Any

from torch_imf.answers.complete import complete
from torch_imf.answers.explain import explain
from torch_imf.answers.predict import predict
from torch_imf.answers.predict_file import predict_file
from torch_imf.answers.probability import Temperature as Calibration
from torch_imf.answers.probability import fit_temperature as calibrate
from torch_imf.datasets import MultimodalKG
from torch_imf.datasets.encoder import Encoder as Encoder
from torch_imf.datasets.own_folder import find_content as find_content
from torch_imf.datasets.stats import read_stats as read_stats
from torch_imf.pretrained.files import read_config as read_config


def from_files(*args: Any, shares: Any, **kwargs: Any) -> MultimodalKG:
    return MultimodalKG.from_files(*args, split=shares, **kwargs)


@dataclasses.dataclass
class Predictor:
    model: Any
    data: Any
    calibration: Calibration | None = None

    def predict(self, **kwargs: Any) -> Any:
        return predict(self.model, self.data, temperature=self.calibration, **kwargs)

    def predict_file(self, *args: Any, **kwargs: Any) -> int:
        return predict_file(self.model, self.data, *args, temperature=self.calibration, **kwargs)

    def complete(self, **kwargs: Any) -> Any:
        return complete(self.model, self.data, temperature=self.calibration, **kwargs)

    def explain(self, *args: Any, **kwargs: Any) -> Any:
        return explain(self.model, self.data, *args, temperature=self.calibration, **kwargs)


try:
    from torch_imf.training.checkpoint import CheckpointError  # type: ignore[attr-defined]
except ImportError:

    class CheckpointError(ValueError):  # type: ignore[no-redef]
        def __init__(self, message: str, path: Any) -> None:
            super().__init__(message)
            self.path = path


__all__ = ["Calibration", "CheckpointError", "Encoder", "Predictor", "calibrate"]
from torch_imf import fit as _fit
from torch_imf.cli.recipe import recipe as recipe
from torch_imf.settings import Setting as Setting


def fit(*args: Any, checkpoint: Any, **kwargs: Any) -> Any:
    try:
        return _fit(*args, checkpoint=checkpoint, **kwargs)
    except ValueError as error:
        if str(checkpoint) not in str(error):
            raise
        raise CheckpointError(str(error), checkpoint) from error


def kinds() -> list[str]:  # `registry.KINDS`.
    return ["model", "scorer", "fusion", "sampler", "dataset"]


def classes(kind: str) -> dict[str, type]:  # `registry.classes`.
    from torch_imf import encoders, registry

    if kind == "loss":
        return {}
    if kind == "encoder":
        names = [x for x in encoders.__all__ if x.endswith(("Encoder", "File"))]
        return {name: getattr(encoders, name) for name in names}
    found = registry.classes(kind)
    return {x: cls for x, cls in found.items() if kind != "dataset" or read_stats(cls)}
