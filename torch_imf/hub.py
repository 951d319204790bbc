r"""Models that are kept in a folder, or shared on the Hugging Face Hub.

:class:`huggingface_hub.PyTorchModelHubMixin` does not serve here: of the
arguments of a constructor it keeps those that are JSON, so that :obj:`IMF(...,
x_dict)` comes back without its modalities, and without a word; and it has
neither digests nor a graph.
"""

import hashlib
import json
import os
import re
import tempfile
import warnings
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from typing import Any

import fsspec
import numpy as np
import torch
from torch import Tensor
from torch.nn import Identity, Module, Parameter
from torch_geometric.data import Data

from torch_imf.data.graph import MASKS, check_graph, prepare
from torch_imf.evaluation.ranking import check_finite, inference
from torch_imf.io.atomic import locked, read_bytes, replacing
from torch_imf.nn.models import MultimodalKGE
from torch_imf.nn.models.features import FrozenFeatures
from torch_imf.registry import class_name, describe, make
from torch_imf.sampler import Sampler

#: The version of the layout of a folder.
FORMAT = 2
MANIFEST, CARD = "config.json", "README.md"
FILE = re.compile(r"(?:model|graph|names)-[0-9a-f]{12}\.(?:safetensors|json)")
NAMES = ("node_ids", "node_names", "rel_ids", "rel_names")


def save_pretrained(
    model: MultimodalKGE,
    folder: str | os.PathLike[str],
    data: Data | None = None,
    metrics: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
) -> None:
    r"""Saves all that a model needs to predict in a folder, to be loaded by
    :meth:`from_pretrained` where neither features nor dataset are at hand:
    its settings, its parameters, and its features as it has projected them.
    A card (:obj:`README.md`) says what it is, and is yours once you edit it.

    .. code-block:: python

        save_pretrained(model, "countries", data, metrics=evaluate(model, data))

        model = from_pretrained("countries")
        data = pretrained_graph("countries")

    Before anything is written, a model is made from what will be, and needs to
    predict the same. Files are named after their content, and
    :obj:`config.json`, which names them, is replaced in one step: whatever
    happens meanwhile, the folder holds the one model or the other. Of two
    processes that save there, one waits for the other (:obj:`.lock`). What
    only training needs, such as a sampler, is left out.

    Args:
        model (MultimodalKGE): The model.
        folder (str): The folder, on disk or any file system of
            :obj:`fsspec`.
        data (Data, optional): The graph, to save its facts and names, too.
            (default: :obj:`None`)
        metrics (dict, optional): The metrics of the model, such as those of
            :meth:`~torch_imf.evaluate`. (default: :obj:`None`)
        training (dict, optional): How it was trained, such as the arguments of
            :meth:`~torch_imf.fit`. (default: :obj:`None`)

    Raises:
        ValueError: If the model cannot be made again or its scores are not
            finite, the graph does not fit it, metrics are not finite, or the
            folder is a file or holds something else.
        OSError: If a file cannot be written, of which nothing is left then.
    """
    import safetensors.torch

    import torch_imf

    root = _root(folder)
    _check_folder(root)
    state = _prediction_state(model)
    made = _rebuild(_description(model), state, [type(module) for module in model.modules()])
    _check_same(model, made)
    description = _description(made)  # With defaults in place of tensors.
    contents = {"model.safetensors": safetensors.torch.save(state)}
    if data is not None:
        prepare(model, data)  # Raises, if it does not fit.
        contents["graph.safetensors"] = safetensors.torch.save(_facts(data))
        contents["names.json"] = _to_json(_names(data), "data")
    packages = {name: version(name) for name in ("torch", "torch-geometric", "safetensors")}
    coverage = {k: int(state[f"features.{k}.mask"].sum()) for k in description.get("x_dict") or []}
    files = {name: _entry(name, content) for name, content in contents.items()}
    config = {
        "format": FORMAT,
        "model": description,
        "num_parameters": sum(x.numel() for x in made.parameters()),
        "coverage": coverage,
        "view_weights": model.view_weights() if model.decision is not None else {},
        "facts": None if data is None else _num_facts(data),
        "metrics": json.loads(_to_json(metrics or {}, "metrics")),
        "training": json.loads(_to_json(training or {}, "training")),
        "versions": {"torch_imf": torch_imf.__version__, **packages},
        "files": files,
    }
    manifest = _to_json(config, "config")
    with locked(root):
        _check_folder(root)  # It may have been filled in the meantime.
        try:
            for name, content in contents.items():
                _write(f"{root}/{files[name]['file']}", content)
            _write(f"{root}/{MANIFEST}", manifest)
        finally:  # Those of the model before, or of this one if it could not be written.
            _remove_unnamed(root)
        _write_card(root, _card(config))


def from_pretrained(
    folder: str | os.PathLike[str], classes: Sequence[type] = (), revision: str | None = None
) -> MultimodalKGE:
    r"""Loads a model that :meth:`save_pretrained` has saved, in evaluation
    mode. Its features stay as they were projected. Nothing that a file may ask
    for is run, and only known classes are made.

    Args:
        folder (str): The folder, on disk or any file system of
            :obj:`fsspec`. Where there is none of this name, *e.g.*,
            :obj:`"user/name"`, it is a model on the Hugging Face Hub.
        classes (list[type], optional): The classes of modules of the model
            that are neither part of the package nor registered.
            (default: :obj:`()`)
        revision (str, optional): The branch, tag or commit of a model on the
            Hub. (default: :obj:`None`)

    Raises:
        ValueError: If a file is missing, damaged or of another version, or a
            class is unknown. The message names it.
    """
    root = _found(folder, revision)
    config = read_config(root)
    state = _read_tensors(root, config, "model.safetensors")
    try:
        return _rebuild(config["model"], state, classes)
    except (ValueError, KeyError, TypeError) as error:
        writer = config.get("versions", {}).get("torch_imf")
        raise ValueError(
            f"The model in '{root}/{MANIFEST}', written by torch_imf {writer}, cannot be made "
            f"({error})"
        ) from error


def pretrained_graph(folder: str | os.PathLike[str], revision: str | None = None) -> Data:
    r"""Loads the graph that :meth:`save_pretrained` has saved with a model:
    its facts, splits and names, without features. Arguments are those of
    :meth:`from_pretrained`.

    Raises:
        ValueError: If the model was saved without a graph, or a file is
            missing, damaged or of another version. The message names it.
    """
    root = _found(folder, revision)
    config = read_config(root)
    if "graph.safetensors" not in config["files"]:
        raise ValueError(f"'{root}' holds no graph. Pass 'data' to 'save_pretrained'")
    facts = _read_tensors(root, config, "graph.safetensors")
    names = _read(root, config, "names.json")
    try:
        sizes = {name: config["model"][name] for name in ("num_nodes", "num_relations")}
        tensors = {k: x if x.dtype == torch.bool else x.long() for k, x in facts.items()}
        data = Data(**sizes, **tensors, **json.loads(names))
        check_graph(data)
        _names(data)  # Raises, if they do not fit.
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(f"The graph in '{root}' is damaged ({error})") from error
    return data


def push_to_hub(
    model: MultimodalKGE | str | os.PathLike[str],
    repo_id: str,
    data: Data | None = None,
    metrics: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
    private: bool | None = None,
    token: str | None = None,
    message: str = "Upload a model of torch_imf",
) -> str:
    r"""Shares a model on the `Hugging Face Hub <https://huggingface.co>`_, to
    be loaded by :obj:`from_pretrained("user/name")`, in one commit
    (:obj:`pip install "torch_imf[hub]"`).

    Args:
        model (MultimodalKGE or str): The model, or the folder on disk that it
            was saved in.
        repo_id (str): The name to share it by, :obj:`"user/name"`. What is
            there already becomes an earlier revision.
        data (Data, optional): The graph, as in :meth:`save_pretrained`.
            (default: :obj:`None`)
        metrics (dict, optional): As in :meth:`save_pretrained`.
            (default: :obj:`None`)
        training (dict, optional): As in :meth:`save_pretrained`.
            (default: :obj:`None`)
        private (bool, optional): If set to :obj:`True`, a new repository can
            be seen by its owner only. (default: :obj:`None`)
        token (str, optional): The token of the user, who is the one that is
            logged in if it is :obj:`None`. (default: :obj:`None`)
        message (str, optional): The message of the commit.

    Returns:
        The address of the commit.

    Raises:
        ValueError: If the folder holds no whole model.
        ImportError: If :obj:`huggingface_hub` is not installed.
    """
    try:
        from huggingface_hub import HfApi
    except ImportError as error:
        raise ImportError(
            "'push_to_hub' requires 'huggingface_hub', run 'pip install torch_imf[hub]'"
        ) from error
    if isinstance(model, Module):
        with tempfile.TemporaryDirectory() as folder:
            save_pretrained(model, folder, data, metrics, training)
            return push_to_hub(folder, repo_id, private=private, token=token, message=message)
    if not (data is metrics is training is None):
        raise ValueError("'data', 'metrics' and 'training' are in the folder already")
    root = _root(model)
    with locked(root):
        config = read_config(root)
        for name in config["files"]:
            _read(root, config, name)  # Raises, if it is damaged.
        api = HfApi(token=token)
        api.create_repo(repo_id, private=private, exist_ok=True)
        commit = api.upload_folder(
            repo_id=repo_id,
            folder_path=root,
            commit_message=message,
            allow_patterns=[*(x["file"] for x in config["files"].values()), MANIFEST, CARD],
            delete_patterns=["model-*", "graph-*", "names-*"],  # Of the model before.
        )
    return str(commit.commit_url)


def read_config(folder: str | os.PathLike[str]) -> dict[str, Any]:
    r"""Reads what a folder holds: what is known of a model, as JSON.

    Raises:
        ValueError: If it holds no model, or not one that we can read.
    """
    root = _root(folder)
    path = f"{root}/{MANIFEST}"
    try:
        config = json.loads(read_bytes(path))
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ValueError(f"'{root}' holds no saved model: there is no '{path}'") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"'{path}' is damaged: it is no JSON ({error})") from error
    if not isinstance(config, dict) or not isinstance(config.get("format"), int):
        raise ValueError(f"'{path}' is not by 'save_pretrained': it has no 'format'")
    if config["format"] != FORMAT:
        raise ValueError(
            f"'{path}' is of format {config['format']}, and this version of torch_imf reads "
            f"format {FORMAT}. It was written by {config.get('versions')}"
        )
    model, files = config.get("model"), config.get("files")
    if not isinstance(model, dict) or not isinstance(files, dict):
        raise ValueError(f"'{path}' is damaged: it lacks 'model' or 'files'")
    names = [x.get("file") if isinstance(x, dict) else x for x in files.values()]
    if not all(isinstance(x, str) and FILE.fullmatch(x) for x in names):
        raise ValueError(f"'{path}' is damaged: it names files that are not its own {names}")
    return config


# What a model needs to predict ##################################################################


class ProjectedFeatures(FrozenFeatures):
    r"""What a model needs of the features of a modality to predict: their
    projections, which stay as they are, and the vector for entities without.

    Args:
        x (torch.Tensor): The projections of the :math:`M` entities that have
            the modality, of shape :obj:`[M, C]`.
        mask (torch.Tensor): Which entities these are, of shape :obj:`[N]`.
    """

    def __init__(self, x: Tensor, mask: Tensor) -> None:
        if x.dim() != 2 or mask.dtype != torch.bool or x.size(0) != int(mask.sum()):
            raise ValueError(
                f"Projections need to be of {int(mask.sum())} entities (got {list(x.size())})"
            )
        super().__init__(mask.new_zeros(mask.size(0), 1), mask, x.size(1))
        del self.x
        self.register_buffer("x", x)
        self.lin = Identity()  # type: ignore[assignment]
        self.missing = Parameter(x.new_empty(x.size(1)))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        torch.nn.init.normal_(self.missing, std=1 / self.missing.numel() ** 0.5)

    def __repr__(self) -> str:
        size, coverage = self.x.size(1), f"{self.x.size(0)}/{self.row.numel()}"
        return f"{self.__class__.__name__}({size}, coverage={coverage})"


def _description(model: MultimodalKGE) -> dict[str, Any]:
    # What `describe` says, without the samplers, which hold facts and have no part in predictions:
    # what is kept is their name.
    samplers = {class_name(type(x)) for x in model.modules() if isinstance(x, Sampler)}

    def strip(description: dict[str, Any]) -> dict[str, Any]:
        out = dict(description)
        for name, value in description.items():
            if isinstance(value, dict) and value.get("class") in samplers:
                out[name] = value["class"]
                out |= {k: value[k] for k in ("num_negatives",) if k in out and k in value}
            elif isinstance(value, dict):
                out[name] = strip(value)
        return out

    out = strip(describe(model))
    modalities = list(getattr(model, "features", {}))
    return out | {name: modalities for name in ("x_dict", "mask_dict") if name in out}


def _prediction_state(model: MultimodalKGE) -> dict[str, Tensor]:
    # All tensors that predictions need, on the CPU: in place of features, their projections and
    # masks, and in place of a module that gives structural embeddings, these.
    samplers = [f"{name}." for name, x in model.named_modules() if isinstance(x, Sampler)]
    left_out = ("features.", "struct.", *samplers)
    state = {k: x for k, x in model.state_dict().items() if not k.startswith(left_out)}
    features: Any = getattr(model, "features", {})
    with inference(model):
        if getattr(getattr(model, "struct", None), "module", None) is not None:
            state["node_emb.weight"] = model.embed()["struct"]
        for name, module in features.items():
            state[f"features.{name}.x"] = module.lin(module.x)
            state[f"features.{name}.missing"] = module.missing
            state[f"features.{name}.mask"] = module.mask
    state.update({name: getattr(model, name) for name in model.prediction_buffers})
    return {name: x.detach().cpu().contiguous() for name, x in state.items()}


def _rebuild(
    description: dict[str, Any], state: dict[str, Tensor], classes: Sequence[type] = ()
) -> MultimodalKGE:
    # Makes a model of its settings and tensors. Nothing random is drawn from the generator of the
    # process. Raises a `ValueError` if the two do not fit each other.
    state, names = dict(state), description.get("x_dict") or []
    masks = {name: state.pop(f"features.{name}.mask") for name in names}
    num_nodes, table = description["num_nodes"], state.get("node_emb.weight", torch.empty(0))
    size = [num_nodes, description["hidden_channels"]]
    if list(table.size()) != size:
        raise ValueError(
            f"The embeddings of entities are of shape {list(table.size())} (expected {size})"
        )
    tensors: dict[str, Any] = {}
    if names:  # The modules that are made of them are replaced below.
        zeros = {name: torch.zeros(num_nodes, 1) for name in names}
        tensors = {"x_dict": zeros, "mask_dict": masks}
    struct = description.get("struct")
    if isinstance(struct, dict) and struct.get("freeze"):
        tensors["struct"] = make(struct, classes, init=table)
    with torch.random.fork_rng(devices=[]):
        model = make(description, classes, **tensors)
        for name in names:
            x = state.get(f"features.{name}.x", torch.empty(0))
            model.features[name] = ProjectedFeatures(x, masks[name])
    for name in model.prediction_buffers:
        old, x = getattr(model, name), state.pop(name, torch.empty(0))
        if x.dim() != old.dim() or x.size(0) != old.size(0):
            raise ValueError(f"'{name}' is of shape {list(x.size())} (expected {list(old.size())})")
        model.register_buffer(name, x, persistent=False)
    try:
        model.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise ValueError(f"The parameters do not fit the settings ({error})") from error
    return model.eval()


def _check_same(model: MultimodalKGE, other: MultimodalKGE) -> None:
    # Raises, if a model does not predict as another one does.
    head_index = torch.arange(min(model.num_nodes, 8))
    rel_type = head_index % (2 * model.num_relations)
    scores = []
    for x in (model, other):
        device = next(x.parameters()).device
        with inference(x):
            score: Any = x.predict(head_index.to(device), rel_type.to(device))
        scores.append(check_finite(score).cpu().double())
    tolerance = 1e-4 * float(scores[0].abs().max())
    if not torch.allclose(scores[0], scores[1], rtol=1e-4, atol=tolerance):
        raise ValueError(
            f"A '{type(model).__name__}' with these settings and parameters predicts otherwise "
            f"than the model. Does it hold buffers that are not persistent, or is an argument of a "
            f"constructor neither a plain value nor a part?"
        )


# Files of a folder ##############################################################################


def _root(folder: str | os.PathLike[str]) -> str:
    root = os.fspath(folder)
    if root == "":  # Which would be the root of the disk.
        raise ValueError("Invalid 'folder' argument (got ''), the current folder is '.'")
    return root if root.endswith("://") else root.rstrip("/")


def _found(folder: str | os.PathLike[str], revision: str | None) -> str:
    # The folder itself, or that of a model on the Hub once it is downloaded.
    root = _root(folder)
    if os.path.exists(root) or not re.fullmatch(r"[\w-][\w.-]*/[\w.-]+", root):
        return root
    try:
        from huggingface_hub import snapshot_download
    except ImportError as error:
        raise ValueError(
            f"There is no folder '{root}'. If it is a model on the Hugging Face Hub, run 'pip "
            f"install torch_imf[hub]'"
        ) from error
    try:
        return snapshot_download(root, revision=revision, allow_patterns=[MANIFEST, "*-*.*"])
    except (OSError, ValueError) as error:
        first = str(error).partition("\n")[0]
        raise ValueError(
            f"There is no folder '{root}', and no model of this name was found on the Hugging Face "
            f"Hub ({first})"
        ) from error


def _entry(name: str, content: bytes) -> dict[str, str]:
    digest = hashlib.sha256(content).hexdigest()
    stem, _, suffix = name.partition(".")
    return {"file": f"{stem}-{digest[:12]}.{suffix}", "sha256": digest}


def _check_folder(root: str) -> None:
    # Raises, if a folder is a file, or holds something else by the name of our manifest.
    filesystem, path = fsspec.core.url_to_fs(root)
    if filesystem.isfile(path):
        raise ValueError(f"'{root}' is a file. Choose another folder")
    try:
        config = json.loads(read_bytes(f"{root}/{MANIFEST}"))
    except FileNotFoundError:
        return
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict) or not {"format", "files"} <= set(config):
        raise ValueError(
            f"'{root}' holds another '{MANIFEST}', which is not by 'save_pretrained'. Choose "
            f"another folder"
        )


def _write(path: str, content: bytes) -> None:
    with replacing(path) as file:
        file.write(content)


def _remove_unnamed(root: str) -> None:
    # Removes the files of models that the manifest does not name.
    filesystem, path = fsspec.core.url_to_fs(root)
    filesystem.invalidate_cache(path)
    try:  # Of whatever version it is.
        named = set(FILE.findall(read_bytes(f"{root}/{MANIFEST}").decode(errors="replace")))
    except FileNotFoundError:
        named = set()
    for other in filesystem.ls(path, detail=False) if filesystem.isdir(path) else []:
        name = other.rpartition("/")[2]
        if FILE.fullmatch(name) and name not in named:
            filesystem.rm(other)


def _read(root: str, config: dict[str, Any], name: str) -> bytes:
    entry = config["files"].get(name)
    if not isinstance(entry, dict):
        raise ValueError(f"'{root}/{MANIFEST}' is damaged: it names no '{name}'")
    path = f"{root}/{entry['file']}"
    try:
        content = read_bytes(path)
    except FileNotFoundError as error:
        raise ValueError(f"'{path}' is missing, which '{MANIFEST}' names") from error
    if hashlib.sha256(content).hexdigest() != entry.get("sha256"):
        raise ValueError(f"'{path}' is damaged: it is not what '{MANIFEST}' says. Copy it again")
    return content


def _read_tensors(root: str, config: dict[str, Any], name: str) -> dict[str, Tensor]:
    import safetensors.torch

    content = _read(root, config, name)
    try:
        return safetensors.torch.load(content)
    except Exception as error:
        path = f"{root}/{config['files'][name]['file']}"
        raise ValueError(f"'{path}' is no file of tensors ({error})") from error


def _names(data: Data) -> dict[str, list[str]]:
    out = {name: list(data[name]) for name in NAMES if name in data}
    for name, values in out.items():
        size = data.num_nodes if name.startswith("node") else data.num_relations
        if len(values) != size or not all(isinstance(x, str) for x in values):
            raise ValueError(f"'{name}' needs to hold {size} strings (got {len(values)} values)")
    return out


def _facts(data: Data) -> dict[str, Tensor]:
    out = {"edge_index": data.edge_index.int(), "edge_type": data.edge_type.int()}
    out |= {name: data[name] for name in MASKS}
    return {name: x.cpu().contiguous() for name, x in out.items()}


def _num_facts(data: Data) -> dict[str, int]:
    # Of each split, without inverse triples.
    base = data.edge_type < data.num_relations
    return {name.removesuffix("_mask"): int((data[name] & base).sum()) for name in MASKS}


def _to_json(value: Any, name: str) -> bytes:
    # Tensors and arrays become numbers, or lists of these.
    try:
        text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False, default=_numbers)
        return f"{text}\n".encode()
    except (TypeError, ValueError) as error:  # Such as numbers that are not finite.
        raise ValueError(f"'{name}' cannot be kept as JSON ({error})") from error


def _numbers(value: Any) -> Any:
    if isinstance(value, np.generic | np.ndarray | Tensor):
        return value.tolist()
    raise TypeError(f"it holds a {type(value)}")


# The card of a model ############################################################################


def _card(config: dict[str, Any]) -> str:
    # Says nothing that is not in the configuration.
    model, has_graph = config["model"], config["facts"] is not None
    sizes = f"{model['num_nodes']:,} entities and {model['num_relations']:,} relations"
    features = (
        "It predicts without the features that it was trained on; these are not part of it."
        if config["coverage"]
        else "It takes no features."
    )
    graph = '\ndata = pretrained_graph("path/to/this/folder")' if has_graph else ""
    text = f"""---
library_name: torch_imf
tags:
- knowledge-graph-completion
- torch_imf
---

# {model["class"]}

A model of the class `{model["class"]}` of torch_imf {config["versions"]["torch_imf"]} for the
completion of a knowledge graph of {sizes}, with {config["num_parameters"]:,} parameters as saved.
{features}

```python
from torch_imf import from_pretrained{", pretrained_graph" if has_graph else ""}

model = from_pretrained("path/to/this/folder"){graph}
```
"""
    for title, column, rows in (
        ("Graph", "facts", config["facts"]),
        ("Modalities", "entities that have it", config["coverage"]),
        ("Weights of views in predictions", "weight", config["view_weights"]),
        ("Metrics", "as reported when it was saved", config["metrics"]),
        ("Training", "as reported when it was saved", config["training"]),
        ("Versions", "version", config["versions"]),
    ):
        lines = [f"| {_cell(key)} | {_cell(value)} |\n" for key, value in _flat(rows or {})]
        text += f"\n## {title}\n\n| | {column} |\n|---|---|\n{''.join(lines)}" if rows else ""
    return f"{text}\n## Settings\n\n```json\n{json.dumps(model, indent=1)}\n```\n"


def _flat(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    # Metrics by side or relation, under the name of the group.
    for key, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{key} ")
        else:
            yield f"{prefix}{key}", value


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}" if abs(value) < 1e4 else f"{value:,.0f}"
    text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
    return " ".join(text.replace("|", r"\|").split())


def _write_card(root: str, card: str) -> None:
    # Writes it, unless there is one that we have not written, or that has been edited since.
    path, end = f"{root}/{CARD}", "<!-- torch_imf card {} -->\n"
    try:
        old = read_bytes(path).decode(errors="replace")
    except FileNotFoundError:
        old = ""
    body = old[: old.rfind(end[:10])]
    if old and old != body + end.format(hashlib.sha256(body.encode()).hexdigest()[:12]):
        warnings.warn(
            f"'{path}' stays as it is, as it is not by 'save_pretrained' or has been edited since. "
            f"Delete it to have a card written",
            stacklevel=3,
        )
        return
    _write(path, (card + end.format(hashlib.sha256(card.encode()).hexdigest()[:12])).encode())
