r"""Names of today until the rooms are merged. It goes then; see the report."""

# mypy: ignore-errors
import dataclasses
import os.path as osp
from typing import Any

from torch_imf import fit as _fit
from torch_imf.answers.complete import Fact as Fact
from torch_imf.answers.complete import complete
from torch_imf.answers.explain import explain
from torch_imf.answers.predict import predict
from torch_imf.answers.predict_file import predict_file
from torch_imf.answers.probability import Temperature as Calibration
from torch_imf.answers.probability import fit_temperature as calibrate
from torch_imf.cli.recipe import recipe as recipe
from torch_imf.datasets import MultimodalKG
from torch_imf.datasets.encoder import Encoder as Encoder
from torch_imf.datasets.own_folder import find_content as find_content
from torch_imf.datasets.stats import read_stats as read_stats
from torch_imf.pretrained.files import read_config as read_config
from torch_imf.settings import Setting as Setting


def read_own(path: str, *files: Any, **options: Any) -> MultimodalKG:
    # After: `read = MultimodalKG.from_folder if osp.isdir(path) else MultimodalKG.from_files`
    # and `return read(path, *files, **options)`.
    found: Any = find_content(path) if osp.isdir(path) else (path, None, None, None)
    if "shares" in options and not isinstance(found[0], str):
        raise ValueError(f"'--shares' divides one file of facts, not those of {found[0]}")
    files = tuple(a or b for a, b in zip(files, found[1:], strict=True))
    there = [x for x, file in zip(("text", "visual", "numeric"), files, strict=True) if file]
    options["clean"] = options.pop("scheme") == "clean"
    options["split"] = options.pop("shares", (0.8, 0.1, 0.1))
    if "not encoded" in map(repr, options["encoders"].values()):
        options["encoders"] = {x: options["encoders"][x] for x in there}
    return MultimodalKG.from_files(found[0], *files, **options)


@dataclasses.dataclass
class Predictor:
    model: Any
    data: Any
    calibration: Calibration | None = None

    def predict(self, *args: Any, **kwargs: Any) -> Any:
        return predict(self.model, self.data, *args, temperature=self.calibration, **kwargs)

    def predict_file(self, *args: Any, **kwargs: Any) -> int:
        return predict_file(self.model, self.data, *args, temperature=self.calibration, **kwargs)

    def complete(self, k: int, relation: Any, everyone: bool, progress: bool) -> Any:
        given = {"temperature": self.calibration, "progress": progress}
        return complete(self.model, self.data, k, relation, seen=not everyone, **given)

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
