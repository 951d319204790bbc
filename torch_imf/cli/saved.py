import argparse
import json
import os.path as osp
from pathlib import Path
from typing import Any

import torch.nn.functional as F
from torch_geometric.data import Data

from torch_imf.answers.probability import Calibration
from torch_imf.cli.compute import add_device, choose_device
from torch_imf.io.atomic import replacing
from torch_imf.nn.models import MultimodalKGE
from torch_imf.pretrained import from_pretrained, pretrained_graph
from torch_imf.pretrained.files import read_config

#: What `train` writes in the folder of a run.
MODEL, CHECKPOINT, HISTORY = "model", "checkpoint.pt", "history.json"


def add_saved(parser: argparse.ArgumentParser) -> None:
    r"""Adds the arguments that say which model to load."""
    parser.add_argument("run", help="the folder that 'train' has written, or a saved model")
    add_device(parser)


def model_folder(run: str) -> str:
    r"""Returns the folder of the model in that of a run.

    Raises:
        ValueError: If there is none.
    """
    inner = osp.join(run, MODEL)
    if osp.isdir(inner):
        return inner
    if osp.isfile(osp.join(run, CHECKPOINT)):
        raise ValueError(
            f"The training in '{run}' has not ended. Run its 'torch-imf train' again to go on"
        )
    if not osp.isdir(run):
        raise ValueError(f"There is no folder '{run}'. 'torch-imf train' makes one")
    return run


def load(options: argparse.Namespace) -> tuple[MultimodalKGE, Data]:
    r"""Returns a saved model and its graph, with the features that it keeps."""
    folder = model_folder(options.run)
    device = choose_device(options.device)
    model, data = from_pretrained(folder), pretrained_graph(folder)
    features: Any = getattr(model, "features", {})
    for name, module in features.items():  # As the model has projected them.
        data[f"x_{name}"] = F.pad(module.x, (0, 0, 0, 1))[module.row]
        data[f"{name}_mask"] = module.mask
    return model.to(device), data.to(str(device))


def saved_training(run: str) -> dict[str, Any]:
    r"""Returns what is said of the training of a saved model, which is up to
    who saves it.
    """
    training = read_config(model_folder(run)).get("training")
    return training if isinstance(training, dict) else {}


def saved_temperature(run: str) -> Calibration | None:
    r"""Returns the temperature that was fitted when a model was trained, if
    any.

    Raises:
        ValueError: If it is none.
    """
    values = saved_training(run).get("temperature")
    if values is None:
        return None
    try:
        return Calibration(**values)
    except TypeError as error:
        raise ValueError(
            f"The 'temperature' of the training in '{run}' is none (got {values})"
        ) from error


def test_fact(data: Data) -> tuple[int, int, int]:
    r"""Returns the first test fact.

    Raises:
        ValueError: If there is none.
    """
    if not bool(data.test_mask.any()):
        raise ValueError("there is no test fact, give '--head', '--relation' and '--tail'")
    edge = int(data.test_mask.nonzero()[0])
    head, tail = data.edge_index[:, edge].tolist()
    return head, int(data.edge_type[edge]), tail


def write_json(path: Path, values: Any) -> None:
    r"""Writes a file of JSON in one step."""
    with replacing(path) as file:
        file.write((json.dumps(values, indent=2) + "\n").encode())
