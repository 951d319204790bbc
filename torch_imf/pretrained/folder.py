import json
import os
from collections.abc import Sequence
from importlib.metadata import version
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data

from torch_imf.data.graph import check_graph, prepare
from torch_imf.evaluation.ranking import check_finite, inference
from torch_imf.io.atomic import locked
from torch_imf.nn.models import MultimodalKGE
from torch_imf.pretrained.card import model_card
from torch_imf.pretrained.features import prediction_state, rebuild
from torch_imf.pretrained.files import (
    FORMAT,
    MANIFEST,
    check_folder,
    entry_of,
    read,
    read_config,
    read_tensors,
    remove_unnamed,
    root_of,
    safetensors_torch,
    write,
    write_card,
)
from torch_imf.pretrained.graph import graph_facts, graph_names, graph_sizes, make_graph, to_json
from torch_imf.pretrained.settings import describe


def save_pretrained(
    model: MultimodalKGE,
    folder: str | os.PathLike[str],
    data: Data | None = None,
    metrics: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
    classes: Sequence[type[Module]] = (),
) -> None:
    r"""Saves all that a model needs to predict in a folder, to be loaded by
    :meth:`from_pretrained` where neither features nor dataset are at hand:
    its settings, its parameters, and its features as it has projected them.
    A card (:obj:`README.md`) says what it is, and is yours once you edit it.

    .. code-block:: python

        save_pretrained(model, "countries", data, metrics=evaluate(model, data))

        model = from_pretrained("countries")
        data = pretrained_graph("countries")
        predict(model, data, head_index, rel_type)

    Before anything is written, a model is made from what will be, and needs to
    predict the same. Files are named after their content, and
    :obj:`config.json`, which names them, is replaced in one step: whatever
    happens meanwhile, the folder holds the one model or the other. Of two
    processes that save there, one waits for the other (:obj:`.lock`). What
    only training needs, such as a sampler or a structural encoder, is left
    out.

    Args:
        model (MultimodalKGE): The model.
        folder (str): The folder, on disk or any file system of
            :obj:`fsspec`.
        data (Data, optional): The graph, to save its facts and names, too.
            (default: :obj:`None`)
        metrics (dict, optional): The metrics of the model, such as those of
            :meth:`~torch_imf.evaluate`. Tensors become numbers.
            (default: :obj:`None`)
        training (dict, optional): How it was trained, such as the arguments of
            :meth:`~torch_imf.fit`. (default: :obj:`None`)
        classes (list[type], optional): The classes of modules of the model
            that are not part of the package. Each of their arguments needs to
            be an attribute. (default: :obj:`()`)

    Raises:
        ValueError: If the model cannot be made again or its scores are not
            finite, the graph does not fit it, metrics are no plain and finite
            numbers, or the folder is a file or holds something else.
        OSError: If a file cannot be written, of which nothing is left then.
        ImportError: If :obj:`safetensors` is not installed.
    """
    save = safetensors_torch().save
    root = root_of(folder)
    check_folder(root)
    description, state = describe(model, classes), prediction_state(model)
    made = rebuild(description, state, classes)
    _check(model, made)
    contents: dict[str, bytes] = {"model.safetensors": save(state)}
    if data is not None:
        prepare(model, data)  # Raises, if it does not fit.
        contents["graph.safetensors"] = save(graph_facts(data))
        contents["names.json"] = to_json(graph_names(data), "data")
    files = {name: entry_of(name, content) for name, content in contents.items()}
    masks = {name: state[f"features.{name}.mask"] for name in description.get("x_dict", [])}
    import torch_imf

    packages = {name: version(name) for name in ("torch", "torch-geometric", "safetensors")}
    config = {
        "format": FORMAT,
        "model": description,
        "num_parameters": sum(x.numel() for x in made.parameters()),
        "coverage": {name: int(mask.sum()) for name, mask in masks.items()},
        "view_weights": model.view_weights() if model.decision is not None else {},
        "facts": None if data is None else graph_sizes(data),
        "metrics": json.loads(to_json(metrics or {}, "metrics")),
        "training": json.loads(to_json(training or {}, "training")),
        "versions": {"torch_imf": torch_imf.__version__, **packages},
        "files": files,
    }
    manifest, card = to_json(config, "config"), model_card(config, data is not None)
    with locked(root):
        check_folder(root)  # It may have been filled in the meantime.
        try:
            for name, content in contents.items():
                write(f"{root}/{files[name]['file']}", content)
            write(f"{root}/{MANIFEST}", manifest)
        finally:  # Those of the model before, or of this one if it could not be written.
            remove_unnamed(root)
        write_card(root, card)


def from_pretrained(
    folder: str | os.PathLike[str], classes: Sequence[type[Module]] = ()
) -> MultimodalKGE:
    r"""Loads a model that :meth:`save_pretrained` has saved, in evaluation
    mode. Its features stay as they were projected. Nothing that a file may ask
    for is run, and only known classes are made.

    Args:
        folder (str): The folder, on disk or any file system of
            :obj:`fsspec`.
        classes (list[type], optional): The classes of modules of the model
            that are not part of the package. (default: :obj:`()`)

    Raises:
        ValueError: If a file is missing, damaged or of another version. The
            message names it.
        ImportError: If :obj:`safetensors` is not installed.
    """
    root = root_of(folder)
    config = read_config(root)
    state = read_tensors(root, config, "model.safetensors")
    try:
        return rebuild(config["model"], state, classes)
    except (ValueError, KeyError, TypeError) as error:
        writer = config.get("versions", {}).get("torch_imf")
        raise ValueError(
            f"The model in '{root}/{MANIFEST}', written by torch_imf {writer}, cannot be made "
            f"({error})"
        ) from error


def pretrained_graph(folder: str | os.PathLike[str]) -> Data:
    r"""Loads the graph that :meth:`save_pretrained` has saved with a model:
    its facts, splits and names, without features.

    Args:
        folder (str): The folder, on disk or any file system of
            :obj:`fsspec`.

    Raises:
        ValueError: If the model was saved without a graph, or a file is
            missing, damaged or of another version. The message names it.
        ImportError: If :obj:`safetensors` is not installed.
    """
    root = root_of(folder)
    config = read_config(root)
    if "graph.safetensors" not in config["files"]:
        raise ValueError(f"'{root}' holds no graph. Pass 'data' to 'save_pretrained'")
    facts = read_tensors(root, config, "graph.safetensors")
    names = read(root, config, "names.json")
    try:
        sizes = config["model"]["num_nodes"], config["model"]["num_relations"]
        data = make_graph(*sizes, facts, json.loads(names))
        check_graph(data)
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"The graph in '{root}' is damaged ({error})") from error
    return data


def _check(model: MultimodalKGE, other: MultimodalKGE) -> None:
    # Raises, if a model does not predict as another one does.
    device = next(model.parameters()).device
    head_index = torch.arange(min(model.num_nodes, 8))
    rel_type = head_index % (2 * model.num_relations)
    scores = []
    for x, place in ((model, device), (other, torch.device("cpu"))):
        with inference(x):
            score = x.predict(head_index.to(place), rel_type.to(place))
        assert isinstance(score, Tensor)
        scores.append(check_finite(score).cpu().double())
    tolerance = 1e-4 * float(scores[0].abs().max())
    if not torch.allclose(scores[0], scores[1], rtol=1e-4, atol=tolerance):
        raise ValueError(
            f"A '{type(model).__name__}' with these settings and parameters predicts otherwise "
            f"than the model. Does it hold buffers that are not persistent?"
        )
