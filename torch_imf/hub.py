r"""Models that are kept in a folder, or shared on the Hugging Face Hub.

:class:`huggingface_hub.PyTorchModelHubMixin` does not serve here: it keeps the arguments that are
JSON only, so that :obj:`IMF(..., x_dict)` comes back without its modalities, and no digests.
"""

import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from itertools import chain
from operator import methodcaller
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor
from torch.nn import Identity
from torch.nn.functional import linear
from torch_geometric.data import Data

from torch_imf.data.distributed import Shard, barrier, gathered, is_main, summed
from torch_imf.data.graph import MASKS, NAMES, TYPES, check_graph, digest_names, names_of, prepare
from torch_imf.encoders import FeatureFile
from torch_imf.encoders.base import Encoder, EncoderLike, record_of
from torch_imf.evaluation.ranking import check_finite, inference
from torch_imf.io import require, warn
from torch_imf.io.atomic import locked, read_bytes, replacing, url_to_fs
from torch_imf.io.hash import hash_content
from torch_imf.io.sealed import EARLIER
from torch_imf.nn.models import Ensemble, MultimodalKGE
from torch_imf.nn.models.features import FrozenFeatures
from torch_imf.nn.views import View
from torch_imf.registry import checked, describe, make

#: The version of the layout of a folder.
FORMAT = 4
#: What new features are projected by.
PROJECTION = ("weight", "bias", "center", "scale")
MANIFEST, CARD = "config.json", "README.md"
Part = MultimodalKGE | Ensemble | View
FILE = re.compile(r"(?:model|rows_\d+|graph|names|encoders)-[0-9a-f]{12}\.(?:safetensors|json)")


def save_pretrained(
    model: MultimodalKGE | Ensemble,
    folder: str | os.PathLike[str],
    data: Data | None = None,
    metrics: dict[str, Any] | None = None,
    training: dict[str, Any] | None = None,
    encoders: Mapping[str, EncoderLike | None] | None = None,
) -> None:
    r"""Saves all that a model needs to predict in a folder, to be loaded by :meth:`from_pretrained`
    where neither features nor dataset are at hand: its settings, its parameters, and its features
    as it has projected them; of an ensemble, those of its members. A card (:obj:`README.md`) says
    what it is, and is yours once you edit it. What only training needs, such as a sampler, is left
    out.

    .. code-block:: python

        save_pretrained(model, "countries", data, metrics=evaluate(model, data))

        model = from_pretrained("countries")
        data = pretrained_graph("countries")

    Before anything is written, a model is made from what will be, and needs to predict the same.
    :obj:`config.json`, which names all other files by their content, is replaced in one step:
    whatever happens, the folder holds the one model or the other. Of two processes that save there,
    one waits for the other.

    Args:
        model (MultimodalKGE or Ensemble): The model.
        folder (str): The folder, on disk or any file system of :obj:`fsspec`.
        data (Data, optional): The graph, to save its facts and names, too. (default: :obj:`None`)
        metrics (dict, optional): Its metrics, as of :meth:`~torch_imf.evaluate`, for the card.
            (default: :obj:`None`)
        training (dict, optional): How it was trained, such as the arguments of
            :meth:`~torch_imf.fit`, for the card. (default: :obj:`None`)
        encoders (dict, optional): What made its features of texts, images and numbers, by modality,
            as :obj:`dataset.encoders`, to make those of new entities (:meth:`pretrained_encoders`):
            what they have learned or, of networks, their names and versions. Encoders that are not
            of a class of this package, or derived from one, are left out. (default: :obj:`None`)

    Raises:
        ValueError: If the model cannot be made again or its scores are not finite, the graph does
            not fit it, metrics are not finite, or the folder holds something else.
        OSError: If a file cannot be written, of which nothing is left then.
    """
    import torch_imf

    if not isinstance(model, MultimodalKGE | Ensemble):
        kind = type(model).__name__
        raise ValueError(f"The first argument needs to be a model of this package (got a '{kind}')")
    root = _root(folder)
    if os.path.isfile(root):
        raise NotADirectoryError(f"'{root}' is a file, choose a folder")
    if b'"format":' not in _content(root, MANIFEST, b'"format":'):
        raise ValueError(f"'{root}' holds another '{MANIFEST}', choose another folder")
    state = _prediction_state(model)
    shard: Shard | None = getattr(model, "shard", None)
    made: Any = model
    if shard is None:
        made = _rebuild(_description(model), state, [type(module) for module in model.modules()])
        _check_same(model, made)
    _recall(made, vars(model))
    rows = {} if shard is None else _taken_rows(state)
    contents, facts = {"model.safetensors": save(state)}, None
    if data is not None:
        prepare(model, data)  # Raises, if it does not fit.
        made.known_names = {**made.known_names, **digest_names(data)}
        base = data.edge_type < data.num_relations
        facts = {name.removesuffix("_mask"): int((data[name] & base).sum()) for name in MASKS}
        tensors = {"edge_index": data.edge_index.int(), "edge_type": data.edge_type.int()}
        tensors |= {name: data[name] for name in MASKS}
        tensors |= {"refused": data.refused.int()} if data.get("refused") is not None else {}
        tensors = {name: x.cpu().contiguous() for name, x in tensors.items()}
        contents |= {"graph.safetensors": save(tensors), "names.json": _to_json(names_of(data))}
    contents |= _encoder_files(encoders or {})
    files = {name: _entry(name, content) for name, content in contents.items()}
    num_parameters = sum(x.numel() for x in made.parameters())
    coverage = {name: int(x.mask.sum()) for name, x in made.features.items()}
    if shard is not None:
        own = made.node_emb.weight
        num_parameters += own.size(1) * (shard.num_nodes - len(own))
        num_parameters -= sum(p.numel() for x in made.features.values() for p in x.lin.parameters())
        coverage = {name: int(summed(torch.tensor(x))) for name, x in coverage.items()}
        files |= _write_rows(root, shard, rows)
        if not is_main():
            barrier()
            return
    packages = ("torch", "torch-geometric", "safetensors")
    description = _description(made)  # With defaults in place of tensors.
    config = {
        "format": FORMAT,
        "model": description,
        "model_sha256": _digest(description),
        "known_names": made.known_names,
        "fitted": getattr(model, "fitted", {}),
        "num_parameters": num_parameters,
        "coverage": coverage,
        "view_weights": model.view_weights() if len(model.views) > 1 else {},
        "facts": facts,
        "metrics": json.loads(_to_json(metrics or {}, "metrics")),
        "training": json.loads(_to_json(training or {}, "training")),
        "versions": {"torch_imf": torch_imf.__version__, **{x: version(x) for x in packages}},
        "files": files,
    }
    config |= {} if shard is None else {"shards": shard.size}
    contents = {files[name]["file"]: content for name, content in contents.items()}
    contents[MANIFEST] = _to_json(config)
    with locked(root):
        try:
            for name, content in contents.items():
                _write(root, name, content)
        finally:  # Files of the model before, or of this one if it could not be written.
            _remove_unnamed(root)
        _write_card(root, _card(config))
    if shard is not None:
        barrier()


@checked
def from_pretrained(
    folder: str | os.PathLike[str], classes: Sequence[type] = (), revision: str | None = None
) -> MultimodalKGE | Ensemble:
    r"""Loads a model that :meth:`save_pretrained` has saved, in evaluation mode. Its features stay
    as they were projected. Nothing that a file may ask for is run, and only known classes are made.

    Args:
        folder (str): The folder, on disk or any file system of :obj:`fsspec`. Where there is none
            of this name, *e.g.*, :obj:`"user/name"`, it is a model on the Hugging Face Hub.
        classes (list[type], optional): The classes of modules of the model that are neither part of
            the package nor registered. (default: :obj:`()`)
        revision (str, optional): The branch, tag or commit on the Hub. (default: :obj:`None`)

    Raises:
        ValueError: If a file is missing, damaged or of another version, or a class is unknown. The
            message names it.
    """
    root = _found(folder, revision)
    config = read_config(root)
    state = _tensors(root, config, "model.safetensors")
    shards = [
        _tensors(root, config, f"rows_{i}.safetensors") for i in range(config.get("shards", 0))
    ]
    for name in shards[0] if shards else []:
        state[name] = torch.cat([shard[name] for shard in shards])
    try:
        model = _rebuild(config["model"], state, classes)
        if config["model_sha256"] != _digest(config["model"]):
            raise ValueError("its settings are not those that were saved")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        writer = config["versions"].get("torch_imf")
        raise ValueError(
            f"The model in '{root}/{MANIFEST}', written by torch_imf {writer}, cannot be made "
            f"({error})"
        ) from error
    return _recall(model, config)


@checked
def pretrained_graph(folder: str | os.PathLike[str], revision: str | None = None) -> Data:
    r"""Loads the graph that :meth:`save_pretrained` has saved with a model: its facts, splits and
    names, without features. Arguments and errors are those of :meth:`from_pretrained`, and the
    graph is checked as that of a dataset is.
    """
    root = _found(folder, revision)
    config = read_config(root)
    if "graph.safetensors" not in config["files"]:
        raise ValueError(f"'{root}' holds no graph. Pass 'data' to 'save_pretrained'")
    facts, content = _tensors(root, config, "graph.safetensors"), _read(root, config, "names.json")
    try:
        names = json.loads(content)
        sizes = {name: config["model"][name] for name in ("num_nodes", "num_relations")}
        if not all(type(x) is int and 0 < x < 2**31 for x in sizes.values()):
            raise ValueError(f"sizes need to be whole numbers from 1 to 2^31 (got {sizes})")
        is_known = set(names) <= {*NAMES, TYPES}
        if set(facts) - {"refused"} != {"edge_index", "edge_type", *MASKS} or not is_known:
            raise ValueError(f"it holds {sorted(facts)} and {sorted(names)}")
        tensors = {k: x.long() if x.dtype == torch.int else x for k, x in facts.items()}
        data = Data(**sizes, **tensors, **names)
        check_graph(data)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"The graph in '{root}' is damaged ({error})") from error
    return data


@checked
def pretrained_encoders(
    folder: str | os.PathLike[str], classes: Sequence[type] = (), revision: str | None = None
) -> Mapping[str, Encoder]:
    r"""Loads the encoders that :meth:`save_pretrained` has saved with a model, by modality, each
    once it is asked for. Arguments are those of :meth:`from_pretrained`.

    Raises:
        ValueError: If a file is missing or damaged; and once one is asked for, if a package that it
            needs is missing, or its network is another one on this machine. Other versions of the
            same network are warned of.
    """
    root = _found(folder, revision)
    config = read_config(root)
    if "encoders.json" not in config["files"]:
        return {}
    about = json.loads(_read(root, config, "encoders.json"))
    return SavedEncoders(about, _tensors(root, config, "encoders.safetensors"), classes)


class SavedEncoders(Mapping[str, Encoder]):
    r"""The encoders of a saved model, made once they are asked for."""

    def __init__(
        self, about: dict[str, Any], tensors: dict[str, Tensor], classes: Sequence[type]
    ) -> None:
        self.about, self.tensors, self.classes = about, tensors, classes
        self.made: dict[str, Encoder] = {}

    def __getitem__(self, modality: str) -> Encoder:
        if modality not in self.made:
            self.made[modality] = self._make(modality)
        return self.made[modality]

    def __iter__(self) -> Iterator[str]:
        return iter(self.about)

    def __len__(self) -> int:
        return len(self.about)

    def _make(self, modality: str) -> Encoder:
        about = self.about[modality]
        name = about["name"]
        try:
            out: Encoder = make(about["encoder"], self.classes)
            prefix = f"{modality}."
            arrays = {k: x for k, x in self.tensors.items() if k.startswith(prefix)}
            arrays = {k.removeprefix(prefix): x for k, x in arrays.items()}
            out.load_state_dict({**arrays, **about["texts"]})
        except (ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"The encoder of '{modality}' of this model, {name}, cannot be made here ({error})"
            ) from error
        if repr(out) != name:
            raise ValueError(
                f"The encoder of '{modality}' of this model is {name}, and here it is {out!r}, "
                f"which makes other features. Give features 'x_{modality}' that {name} made"
            )
        if record_of(out) != about["record"]:
            warn(
                f"The encoder of '{modality}' was {about['record']}, and here it is "
                f"{record_of(out)}: features may differ a little"
            )
        return out


@checked
def push_to_hub(
    folder: str | os.PathLike[str],
    repo_id: str,
    private: bool | None = None,
    token: str | None = None,
    message: str = "Upload a model of torch_imf",
) -> str:
    r"""Shares a model that :meth:`save_pretrained` has saved on disk on the `Hugging Face Hub
    <https://huggingface.co>`_, in one commit, to be loaded by :obj:`from_pretrained("user/name")`.
    Needs :obj:`huggingface_hub` (:obj:`pip install "torch_imf[hub]"`).

    Args:
        folder (str): The folder.
        repo_id (str): The name to share it by, :obj:`"user/name"`. What is there already becomes an
            earlier revision.
        private (bool, optional): If set to :obj:`True`, a new repository can be seen by its owner
            only. (default: :obj:`None`)
        token (str, optional): The token of the user, by default of the one who is logged in.
            (default: :obj:`None`)
        message (str, optional): The message of the commit.

    Returns:
        The address of the commit.

    Raises:
        ValueError: If the folder holds no whole model, or the Hub cannot be reached or refuses it.
    """
    require("huggingface_hub", "Models on the Hub", "hub")
    from huggingface_hub import HfApi

    root = _root(folder)
    with locked(root):
        config = read_config(root)
        for name in config["files"]:
            _read(root, config, name)  # Raises, if it is damaged.
        try:
            api = HfApi(token=token)
            api.create_repo(repo_id, private=private, exist_ok=True)
            commit = api.upload_folder(
                repo_id=repo_id,
                folder_path=root,
                commit_message=message,
                allow_patterns=[*(x["file"] for x in config["files"].values()), MANIFEST, CARD],
                # Of the model before:
                delete_patterns=["model-*", "rows_*", "graph-*", "names-*", "encoders-*"],
            )
        except Exception as error:  # Those of its client for the network share no class.
            raise ValueError(
                f"The model could not be shared as '{repo_id}' on the Hugging Face Hub ({error})"
            ) from error
    return str(commit.commit_url)


# What a model needs to predict ##################################################################


class ProjectedFeatures(FrozenFeatures):
    r"""What a model needs of the features of a modality: the projections, of shape :obj:`[M, C]`,
    of the entities that have it, by a mask of shape :obj:`[N]`, which stay as they are, the vector
    for those without, and what projects the features of new entities.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, x: Tensor, mask: Tensor, projection: Mapping[str, Tensor]) -> None:
        super().__init__(mask.new_zeros(mask.size(0), 1), mask, x.size(1))
        del self.x, self.center, self.scale
        self.register_buffer("x", x)
        for name in PROJECTION:
            self.register_buffer(name, projection[name])
        self.lin = Identity()  # type: ignore[assignment]

    def projected(self) -> Tensor:
        return self.x

    def projection(self) -> dict[str, Tensor]:
        return {name: getattr(self, name) for name in PROJECTION}

    def extend(self, x: Tensor, mask: Tensor) -> None:
        self._append(linear(self.standardized(x[mask]), self.weight, self.bias), mask)

    def reset_parameters(self) -> None:
        torch.nn.init.normal_(self.missing, std=1 / self.missing.numel() ** 0.5)

    def __repr__(self) -> str:
        size, coverage = self.x.size(1), f"{self.x.size(0)}/{self.row.numel()}"
        return f"{self.__class__.__name__}({size}, coverage={coverage})"


def _encoder_files(encoders: Mapping[str, EncoderLike | None]) -> dict[str, bytes]:
    # What is saved of encoders, of which those that read features from files know no others.
    about: dict[str, Any] = {}
    tensors: dict[str, Tensor] = {}
    for modality, encoder in encoders.items():
        if not isinstance(encoder, Encoder) or isinstance(encoder, FeatureFile):
            continue
        if set(encoder._state) != set(encoder.state):
            warn(
                f"The encoder of '{modality}' is not saved, as it has not seen anything, so that "
                f"the model takes no new entities by it. Perhaps {EARLIER}"
            )
            continue
        description = describe(encoder)
        settings = {k: x for k, x in description.items() if k not in encoder.run_args}
        state = encoder.plain_state()
        tensors |= {f"{modality}.{k}": x for k, x in state.items() if isinstance(x, Tensor)}
        texts = {k: x for k, x in state.items() if not isinstance(x, Tensor)}
        words = {"name": repr(encoder), "record": record_of(encoder)}
        about[modality] = {"encoder": settings, **words, "texts": texts}
    if not about:
        return {}
    return {"encoders.json": _to_json(about), "encoders.safetensors": save(tensors)}


def _taken_rows(state: dict[str, Tensor]) -> dict[str, Tensor]:
    # Takes what holds rows of entities, of which a process may hold some, out of a state.
    names = [x for x in state if re.fullmatch(r"node_emb\.weight|features\..*\.(x|mask)", x)]
    rows = {name: state.pop(name) for name in names}
    for name in (x for x in names if x.endswith(".mask")):
        x = f"{name.removesuffix('mask')}x"
        rows[x] = rows[x][: int(rows[name].sum())]  # Without a row that stands in for none.
    return rows


def _write_rows(root: str, shard: Shard, rows: dict[str, Tensor]) -> dict[str, dict[str, str]]:
    # Writes the rows that this process holds, and returns the files of all of them.
    name, content = f"rows_{shard.rank}.safetensors", save(rows)
    entry = _entry(name, content)
    _write(root, entry["file"], content)
    digests = gathered(torch.tensor([list(entry["sha256"].encode())], dtype=torch.uint8))
    out = {}
    for i, letters in enumerate(digests.tolist()):
        digest = bytes(letters).decode()
        file = f"rows_{i}-{digest[:12]}.safetensors"
        out[f"rows_{i}.safetensors"] = {"file": file, "sha256": digest}
    return out


def _description(model: Part) -> dict[str, Any]:
    # What `describe` says, with names in place of tensors, and of a sampler, which holds facts.
    out = describe(model)
    if isinstance(model, View):
        return out
    if isinstance(model, Ensemble):
        sizes = {"num_nodes": model.num_nodes, "num_relations": model.num_relations}
        parts: Any = model.members
        return {**sizes, **out, "members": [_description(x) for x in parts]}
    if model.sampler is not None:
        sampler = out["loss"]["sampler"]
        sizes = {k: sampler[k] for k in ("num_negatives",) if k in sampler and k in out["loss"]}
        out["loss"] = {**out["loss"], "sampler": sampler["class"], **sizes}
    return out | {k: list(model.features) for k in ("x_dict", "mask_dict") if k in out}


def _prediction_state(model: Part) -> dict[str, Tensor]:
    # All tensors that predictions need, on the CPU: in place of features, their projections and
    # masks, and in place of a module that gives structural embeddings, these.
    if isinstance(model, View | Ensemble):
        parts: Any = enumerate(getattr(model, "members", ()))
        own = {k: x for k, x in model.state_dict().items() if not k.startswith("members.")}
        members = {f"members.{i}.{k}": x for i, y in parts for k, x in _prediction_state(y).items()}
        return {k: x.cpu().contiguous() for k, x in own.items()} | members
    left_out = ("features.", "struct.", "loss_fn.sampler.")
    state = {k: x for k, x in model.state_dict().items() if not k.startswith(left_out)}
    with inference(model) as scored:
        if getattr(scored.struct, "module", None) is not None:
            state["node_emb.weight"] = scored.embed()["struct"]
        for name, module in scored.features.items():
            found = {"x": module.projected(), "missing": module.missing, "mask": module.mask}
            found |= module.projection()
            state |= {f"features.{name}.{key}": x for key, x in found.items()}
    state |= {name: getattr(model, name) for name in model.prediction_buffers}
    return {name: x.detach().cpu().contiguous() for name, x in state.items()}


def _rebuild(
    description: dict[str, Any], state: dict[str, Tensor], classes: Sequence[type] = ()
) -> MultimodalKGE | Ensemble:
    # Makes a model of its settings and tensors. Nothing random is drawn from the generator of the
    # process. Raises a `ValueError` if the two do not fit each other.
    is_own = not re.search(r'"class": "[^"]*:', json.dumps(description))
    with torch.random.fork_rng(devices=[]):
        try:  # Without memory, of which settings that do not fit the tensors may ask for any.
            with torch.device("meta"):
                _made(description, state, classes)
        except ValueError:
            if is_own:  # Classes of others may compute with numbers, of which there are none.
                raise
        model = _made(description, state, classes).eval()
    if not isinstance(model, MultimodalKGE | Ensemble):
        raise ValueError(f"A '{type(model).__name__}' is no model")
    return model


def _made(description: dict[str, Any], state: dict[str, Tensor], classes: Sequence[type]) -> Part:
    state = dict(state)
    if description["class"] == "Ensemble":
        parts = []
        for i, part in enumerate(description["members"]):
            prefix = f"members.{i}."
            names = [name for name in state if name.startswith(prefix)]
            own = {name.removeprefix(prefix): state.pop(name) for name in names}
            parts.append(_made(part, own, classes))
        model: Part = Ensemble(parts)
        sizes = {"num_nodes": model.num_nodes, "num_relations": model.num_relations}
        if not sizes.items() <= description.items():
            raise ValueError(f"its members are of {sizes}")
        return _loaded(model, {**model.state_dict(), **state})
    names = description.get("x_dict") or []
    masks = {name: state.pop(f"features.{name}.mask") for name in names}
    tensors: dict[str, Any] = {}
    if "x_dict" in description:  # The modules that are made of them are replaced below.
        zeros = {name: torch.zeros(len(mask), 1, device="cpu") for name, mask in masks.items()}
        tensors = {"x_dict": zeros, "mask_dict": masks}
    struct = description.get("struct")
    if isinstance(struct, dict) and struct.get("freeze"):
        tensors["struct"] = make(struct, classes, init=state["node_emb.weight"])
    model = make(description, classes, **tensors)
    if isinstance(model, View):
        return _loaded(model, state)
    if not isinstance(model, MultimodalKGE):
        raise ValueError(f"A '{type(model).__name__}' is no model")
    for name in names:
        kept = {key: state[f"features.{name}.{key}"] for key in ("x", *PROJECTION)}
        model.features[name] = ProjectedFeatures(kept.pop("x"), masks[name], kept)
    for name in model.prediction_buffers:
        model.register_buffer(name, state.pop(name), persistent=False)
    model.blocks = state.get("blocks")
    return _loaded(model, state)


def _loaded(model: Part, state: dict[str, Tensor]) -> Part:
    types = {x.dtype for x in state.values() if x.dtype not in (torch.bool, torch.long)}
    members = isinstance(model, Ensemble)  # Each of which has been loaded.
    known = {torch.half, torch.bfloat16, torch.float, torch.double}
    if not types <= known or (len(types) > 1 and not members):
        raise ValueError(f"The parameters need to be floats of one type (got {types})")
    try:
        model.load_state_dict(state, assign=True)
    except RuntimeError as error:
        raise ValueError(f"The parameters do not fit the settings ({error})") from error
    return model


def _recall(model: MultimodalKGE | Ensemble, about: Mapping[str, Any]) -> MultimodalKGE | Ensemble:
    # Lets a model know what another one did.
    model.known_names = about.get("known_names", {})
    if isinstance(model, Ensemble):
        model.fitted = about.get("fitted", {})
    return model


def _check_same(model: MultimodalKGE | Ensemble, other: MultimodalKGE | Ensemble) -> None:
    # Raises, if a model does not predict as another one does.
    head_index = torch.arange(min(model.num_nodes, 8))
    rel_type = head_index % (2 * model.num_relations)
    scores = []
    for x in (model, other):
        device = next(chain(x.parameters(), x.buffers())).device  # Views have no parameters.
        with inference(x) as scored:
            score: Any = scored.predict(head_index.to(device), rel_type.to(device))
        scores.append(check_finite(score).cpu().double())
    tolerance = 1e-4 * float(scores[0].abs().max())
    if not torch.allclose(scores[0], scores[1], rtol=1e-4, atol=tolerance):
        raise ValueError(
            f"A '{type(model).__name__}' that is made again predicts otherwise. Does it hold "
            f"buffers that are not persistent, or take what is neither a plain value nor a part?"
        )


# Files of a folder ##############################################################################


def read_config(folder: str | os.PathLike[str]) -> dict[str, Any]:
    r"""Reads what is known of the model in a folder. Raises a :class:`ValueError` if it holds none,
    or not one that we can read.
    """
    root = _root(folder)
    path = f"{root}/{MANIFEST}"
    try:
        config = json.loads(read_bytes(path))
        if config["format"] != FORMAT:
            raise ValueError(f"it is of format {config['format']}, by {config.get('versions')}")
        files = {name: entry["file"] for name, entry in config["files"].items()}
        dicts = [config[x] for x in ("model", "versions", "known_names", "fitted")]
        is_whole = all(isinstance(x, dict) for x in dicts) and "model.safetensors" in files
        is_whole &= ("graph.safetensors" in files) == ("names.json" in files)
        is_whole &= ("encoders.safetensors" in files) == ("encoders.json" in files)
        if not is_whole or not all(map(FILE.fullmatch, files.values())):
            raise ValueError(f"it lacks a model, or names files that are not its own: {files}")
    except (FileNotFoundError, NotADirectoryError) as error:
        raise ValueError(f"'{root}' holds no saved model: there is no '{path}'") from error
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(
            f"'{path}' is damaged, or not what 'save_pretrained' of this version of torch_imf "
            f"writes, which is of format {FORMAT} ({error})"
        ) from error
    return config


def _root(folder: str | os.PathLike[str]) -> str:
    if not isinstance(folder, str | os.PathLike):
        raise ValueError(f"'folder' needs to be a path (got a '{type(folder).__name__}')")
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

        return snapshot_download(root, revision=revision, allow_patterns=[MANIFEST, "*-*.*"])
    except (ImportError, OSError, ValueError) as error:
        raise ValueError(
            f"There is no folder '{root}', and no model of this name could be had from the Hugging "
            f"Face Hub, which takes 'pip install \"torch_imf[hub]\"' ({str(error).splitlines()[0]})"
        ) from error


def _content(root: str, name: str, default: bytes = b"") -> bytes:
    # Of a file that may not be there.
    try:
        return read_bytes(f"{root}/{name}")
    except (FileNotFoundError, NotADirectoryError):
        return default


def _write(root: str, name: str, content: bytes) -> None:
    with replacing(f"{root}/{name}") as file:
        file.write(content)


def _entry(name: str, content: bytes) -> dict[str, str]:
    digest, (stem, suffix) = hash_content(content), name.split(".")
    return {"file": f"{stem}-{digest[:12]}.{suffix}", "sha256": digest}


def _read(root: str, config: dict[str, Any], name: str) -> bytes:
    entry = config["files"][name]
    path = f"{root}/{entry['file']}"
    try:
        content = read_bytes(path)
    except FileNotFoundError as error:
        raise ValueError(f"'{path}' is missing, which '{MANIFEST}' names") from error
    if _entry(name, content) != entry:
        raise ValueError(f"'{path}' is damaged: it is not what '{MANIFEST}' says. Copy it again")
    return content


def _tensors(root: str, config: dict[str, Any], name: str) -> dict[str, Tensor]:
    try:
        return load(_read(root, config, name))
    except (SafetensorError, RuntimeError, TypeError, KeyError) as error:
        path = f"{root}/{config['files'][name]['file']}"
        raise ValueError(f"'{path}' is no safetensors file that can be read ({error})") from error


def _digest(settings: dict[str, Any]) -> str:
    # Whatever the modules of classes of others are called, as these may move.
    return hash_content(re.sub(r'"[\w.]+:(?=\w)', '"', json.dumps(settings, sort_keys=True)))


def _remove_unnamed(root: str) -> None:
    # Removes the files of models that the manifest, of whatever version it is, does not name.
    filesystem, path = url_to_fs(root)
    filesystem.invalidate_cache(path)
    named = FILE.findall(_content(root, MANIFEST).decode(errors="replace"))
    for other in filesystem.ls(path, detail=False) if filesystem.isdir(path) else []:
        name = other.rpartition("/")[2]
        if FILE.fullmatch(name) and name not in named:
            filesystem.rm(other)


def _to_json(value: Any, name: str = "data") -> bytes:
    # Tensors and arrays become numbers, or lists of these.
    default = methodcaller("tolist")
    try:
        text = json.dumps(value, indent=1, ensure_ascii=False, allow_nan=False, default=default)
        return f"{text}\n".encode()
    except (TypeError, ValueError, AttributeError) as error:  # Such as numbers that are not finite.
        raise ValueError(f"'{name}' cannot be kept as JSON ({error})") from error


# The card of a model ############################################################################


def _card(config: dict[str, Any]) -> str:
    # Says nothing that is not in the configuration.
    from pandas import json_normalize

    model, has_graph = config["model"], config["facts"] is not None
    kinds = [x["class"] for x in model.get("members", [])]
    members = f" of {', '.join(kinds)}" if kinds else ""
    features = "It takes no features."
    if config["coverage"]:
        features = "It predicts without the features that it was trained on, which are not here."
    if "encoders.json" in config["files"]:
        features += " What made them of texts, images or numbers is, for new entities."
    folder = '("path/to/this/folder")'
    text = f"""---
library_name: torch_imf
tags: [knowledge-graph-completion, torch_imf]
---

# {model["class"]}

A model of the class `{model["class"]}`{members} of torch_imf {config["versions"]["torch_imf"]} \
for the completion of a knowledge graph of {model["num_nodes"]:,} entities and \
{model["num_relations"]:,} relations, with {config["num_parameters"]:,} parameters as saved.
{features}

```python
import torch_imf

model = torch_imf.from_pretrained{folder}
{f"data = torch_imf.pretrained_graph{folder}" if has_graph else ""}
```
"""
    groups = {
        "facts of": config["facts"] or {},
        "entities with": config["coverage"],
        "weight of": config["view_weights"],
        "weights by": config["fitted"],
        "metric": config["metrics"],
        "training": config["training"],
        "version of": config["versions"],
    }
    # Metrics by side or relation are under the name of the group:
    flat = json_normalize(groups, sep=" ").to_dict("records")[0]
    text += "\n| | |\n|---|---|\n"
    text += "".join(f"| {_cell(key)} | {_cell(x)} |\n" for key, x in flat.items() if x != {})
    return f"{text}\n## Settings\n\n```json\n{json.dumps(model, indent=1)}\n```\n"


def _cell(value: Any) -> str:
    text = f"{value:.5g}" if isinstance(value, float) and value < 1e5 else str(value)
    return " ".join(text.replace("|", r"\|").split())


def _write_card(root: str, card: str) -> None:
    # Writes it, unless there is one that we have not written, or that has been edited since.
    def signed(body: str) -> bytes:
        return f"{body}<!-- torch_imf card {hash_content(body)[:12]} -->\n".encode()

    old = _content(root, CARD)
    if old and old != signed(old.decode(errors="replace").rpartition("<!--")[0]):
        warn(f"'{root}/{CARD}' stays as it is, as it has been edited. Delete it for a new one")
    else:
        _write(root, CARD, signed(card))
