r"""The run that a command reads."""

import dataclasses
import json
import os.path as osp
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from torch_imf.cli.graph import Compute

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from torch_imf.answers.predictor import Predictor
    from torch_imf.nn.models import MultimodalKGE

#: What `train` writes in the folder of a run.
MODEL, CHECKPOINT, HISTORY = "model", "checkpoint.pt", "history.json"


@dataclasses.dataclass
class Saved(Compute):
    r"""Saved model."""

    run: Annotated[str, "the folder that 'train' has written, or a saved model"]

    @property
    def folder(self) -> str:
        r"""The folder of the model, in that of the run or itself."""
        inner = osp.join(self.run, MODEL)
        if osp.isdir(inner):
            return inner
        if osp.isfile(osp.join(self.run, CHECKPOINT)):
            raise ValueError(
                f"The training in '{self.run}' has not ended. Run its 'torch-imf train' again to "
                f"go on"
            )
        if not osp.isdir(self.run):
            raise ValueError(f"There is no folder '{self.run}'. 'torch-imf train' makes one")
        return self.run

    @property
    def training(self) -> Mapping[str, Any]:
        r"""What is said of the training, which is up to who saves a model."""
        from torch_imf.hub import read_config

        return read_config(self.folder).get("training") or {}

    def load(self) -> "tuple[MultimodalKGE, Data]":
        r"""Returns the model and its graph, with the features that it keeps."""
        from torch.nn.functional import pad

        from torch_imf import from_pretrained, pretrained_graph

        device, folder = self.prepare(), self.folder
        model, data = from_pretrained(folder), pretrained_graph(folder)
        features: Any = getattr(model, "features", {})
        for name, module in features.items():  # As the model has projected them.
            data[f"x_{name}"] = pad(module.x, (0, 0, 0, 1))[module.row]
            data[f"{name}_mask"] = module.mask
        return model.to(device), data.to(str(device))

    def predictor(self) -> "Predictor":
        r"""Returns what answers questions by the model, with the calibration of `train`, if any."""
        from torch_imf import Calibration, Predictor

        values = self.training.get("calibration")
        return Predictor(*self.load(), calibration=Calibration(**values) if values else None)

    def history(self) -> list[dict[str, float]]:
        r"""Returns the history of the training, of which `train` keeps a file."""
        path = osp.join(self.run, HISTORY)
        if not osp.exists(path):
            raise ValueError(f"There is no '{path}', which 'torch-imf train' writes")
        return json.loads(Path(path).read_bytes())


def test_fact(data: "Data") -> tuple[int, int, int]:
    r"""Returns the first test fact."""
    if not bool(data.test_mask.any()):
        raise ValueError("there is no test fact, give '--head', '--relation' and '--tail'")
    edge = int(data.test_mask.nonzero()[0])
    head, tail = data.edge_index[:, edge].tolist()
    return head, int(data.edge_type[edge]), tail
