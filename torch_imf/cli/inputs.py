r"""What commands read: a graph with its features, or the run of a model; and where they compute."""

import dataclasses
import json
import os
import os.path as osp
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch_imf
from torch_imf import registry
from torch_imf.answers.results import table_suffix
from torch_imf.io import nearest, noted
from torch_imf.io.atomic import url_to_fs
from torch_imf.io.tables import suffix

if TYPE_CHECKING:
    import torch
    from torch.nn import Module
    from torch_geometric.data import Data

    from torch_imf.encoders.base import EncoderLike as Encoder

MAX_THREADS = 1024  # Of which no system has more for one process to compute with.
#: What `train` writes in the folder of a run.
MODEL, CHECKPOINT, HISTORY, RECIPE = "model", "checkpoint.pt", "history.json", "recipe.json"


@dataclasses.dataclass
class Features:
    r"""Features, each made once and kept in a cache, or read from a file."""

    _: dataclasses.KW_ONLY
    text_encoder: Annotated[
        str,
        "'tfidf', a model (all-MiniLM-L6-v2), a class (my_package:Encoder), a file, or 'none'; "
        "'auto' is 'tfidf', on a graph of your own with MiniLM beside it if that is installed",
    ] = "auto"
    visual_encoder: Annotated[str, "likewise; 'pixel', or a network of timm (vgg16)"] = "auto"
    numeric_encoder: Annotated[str, "likewise; 'numeric'"] = "auto"
    visual_weights: Annotated[str | None, "weights of the network, if not to be fetched"] = None

    def encoders(self) -> "dict[str, Encoder | str | None]":
        r"""Returns the encoder of each modality."""
        if self.visual_weights and self.visual_encoder.lower() in ("auto", "none", "pixel"):
            raise ValueError("'--visual-weights' needs the network as '--visual-encoder'")
        names = {x: getattr(self, f"{x}_encoder") for x in ("text", "visual", "numeric")}
        return {modality: self.find(modality, name) for modality, name in names.items()}

    def find(self, modality: str, name: str) -> "Encoder | str | None":
        r"""Returns an encoder by its name, or by that of its model."""
        if name.lower() == "none":
            return None
        if name == "auto" or osp.exists(name):
            return name
        kinds = {"tfidf": "text", "pixel": "visual", "numeric": "numeric"}
        kind = kinds.get(name.lower(), modality)
        if kind != modality:
            flags = f"'--{modality}-encoder' cannot be '{name}', as that is one of"
            raise ValueError(f"{flags} '--{kind}-encoder'")
        if modality == "numeric" or name.lower() in kinds or ":" in name:
            return registry.resolve("encoder", name)
        if hint := nearest(name.lower(), [x for x in kinds if kinds[x] == modality]):
            raise ValueError(f"There is no encoder '{name}'.{hint}")
        if modality == "text":
            return torch_imf.encoders.TextEncoder(name)
        return torch_imf.encoders.VisualEncoder(name, weights=self.visual_weights)


@dataclasses.dataclass
class NotEncoded:
    r"""In place of an encoder, to see who has a modality: of pictures, one that can be read."""

    def __call__(self, *content: Any) -> "torch.Tensor | tuple[torch.Tensor, torch.Tensor]":
        import torch

        x = torch.ones(content[-1] if len(content) > 1 else len(content[0]), 1)
        has_files = len(content) == 1 and any(isinstance(entry, list) for entry in content[0])
        return (x, torch_imf.encoders.PixelEncoder(1, 1)(content[0])[1]) if has_files else x


@dataclasses.dataclass
class Graph:
    r"""Graph."""

    graph: Annotated[
        str,
        "a dataset of 'torch-imf list datasets', a folder (facts.tsv, texts.tsv, images/, "
        "numbers.tsv, or train.tsv, valid.tsv and test.tsv for the facts), a file of facts, or a "
        "dataset of PyKEEN or OGB, as pykeen:codexsmall and ogbl-biokg",
    ]
    _: dataclasses.KW_ONLY
    root: Annotated[str | None, "folder to keep it in (default: data/<dataset>)"] = None
    version: Annotated[str | None, "the published version of a dataset, as in the list"] = None
    scheme: Annotated[
        Literal["original", "clean", "inductive"],
        "splits as published, without leaks, or by entities that training never sees:",
    ] = "original"
    shares: Annotated[
        tuple[float, float, float] | None,
        "of training, validation and test in a file of your own (default: 0.8 0.1 0.1)",
    ] = None
    split_entities: Annotated[
        float | None, "the share of your entities that are new in validation, and in testing"
    ] = None
    split_seed: Annotated[int | None, "seed of that division (default: 0)"] = None
    texts: Annotated[str | None, "file of texts, beside what your own folder holds"] = None
    images: Annotated[str | None, "images, <entity>.png or <entity>/<any>.jpg"] = None
    numbers: Annotated[str | None, "table of entity, attribute and value"] = None
    header: Annotated[bool | None, "whether your tables begin with a header"] = None
    columns: Annotated[
        str | None, "head, relation and tail in your facts, by names or places, as 1,3,2"
    ] = None
    strict: Annotated[bool, "whether texts and numbers of no entity are an error"] = True

    def read(self, features: Features | None = None) -> "torch_imf.datasets.KGDataset":
        r"""Returns the dataset. Without :obj:`features`, nothing is encoded: graphs of one's own
        tell who has what, and others leave it out.
        """
        from torch_imf.datasets.foreign import FOREIGN
        from torch_imf.datasets.own import CONTENT, find_content

        is_own = osp.exists(self.graph) or FOREIGN.fullmatch(self.graph) is not None
        kind = "published datasets" if is_own else "graphs of your own"
        own = ["shares", "split_entities", "split_seed", "texts", "numbers", "header", "columns"]
        others = ["version"] if is_own else own
        for name in (x for x in others if getattr(self, x) is not None):
            flag = name.replace("_", "-")
            raise ValueError(f"'--{flag}' is for {kind}, and '{self.graph}' is none")
        encoders: Any = features.encoders() if features else dict.fromkeys(CONTENT)
        if not is_own:
            try:
                cls: Any = registry.lookup("dataset", self.graph)
            except ValueError as error:
                raise ValueError(f"{error}, or a folder or a file") from error
            root = self.root or (osp.join("data", cls.__name__) if cls.files else None)
            return cls(root, self.version, self.scheme, images=self.images, **encoders)
        names = (*CONTENT.values(), "header", "columns", "strict", "scheme", "root", "shares")
        given = {name: getattr(self, name) for name in names}
        options: Any = {name: x for name, x in given.items() if x is not None}
        if (share := self.split_entities) is not None:
            if self.shares is not None or self.scheme == "clean" or not 0 < share < 0.5:
                raise ValueError(
                    f"'--split-entities' needs to be a share below a half (got {share}), in place "
                    f"of '--shares' and '--scheme clean'"
                )
            options |= {"scheme": "inductive", "shares": (1 - 2 * share, share, share)}
        with noted() as notes:
            if osp.isdir(self.graph):
                options = {**find_content(self.graph, options), **options}
            if features is None:
                encoders = {name: NotEncoded() for name, x in CONTENT.items() if x in options}
            options |= {"seed": self.split_seed or 0, "encoders": encoders}
            dataset = torch_imf.datasets.MultimodalKG(options.pop("triples", self.graph), **options)
        dataset.notes = notes
        return dataset


@dataclasses.dataclass
class Compute:
    r"""Where to compute."""

    _: dataclasses.KW_ONLY
    device: Annotated[str | None, "where to compute (default: a GPU, if there is one)"] = None
    threads: Annotated[int | None, "how many threads to compute with"] = None

    def prepare(self) -> "torch.device":
        r"""Sets the number of threads, and returns the device."""
        import torch

        if self.threads is not None:
            if not 1 <= self.threads <= MAX_THREADS:
                raise ValueError(f"'--threads' needs to be in [1, {MAX_THREADS}]")
            torch.set_num_threads(self.threads)
        rank = os.environ.get("LOCAL_RANK", "0")  # Of a process of 'torchrun'.
        name = self.device or (f"cuda:{rank}" if torch.cuda.is_available() else "cpu")
        try:
            found = torch.device(name)
            torch.zeros(1, device=found).item()  # Which 'meta' has none of.
        except Exception as error:
            raise ValueError(f"The device '{name}' cannot be used ({error})") from error
        return found


@dataclasses.dataclass
class Saved(Compute):
    r"""Saved model."""

    run: Annotated[str, "the folder that 'train' has written, or a saved model"]
    _: dataclasses.KW_ONLY
    classes: Annotated[Sequence[str], "classes of yours that it holds, as my_package:Twist"] = ()

    @property
    def folder(self) -> str:
        r"""The folder of the model, in that of the run or itself."""
        inner = osp.join(self.run, MODEL)
        if osp.isdir(inner):
            return inner
        if osp.isfile(osp.join(self.run, CHECKPOINT)):
            raise ValueError(f"The training in '{self.run}' has not ended. Run it again to go on")
        return self.run

    @property
    def training(self) -> Mapping[str, Any]:
        r"""What is said of the training, which is up to who saves a model."""
        from torch_imf.hub import read_config

        return read_config(self.folder).get("training") or {}

    def load(self, features: bool = True) -> "tuple[Module, Data]":
        r"""Returns the model and its graph, with the features that it keeps. These are projected:
        new entities are added to a graph without.
        """
        from torch.nn.functional import pad

        device, folder = self.prepare(), self.folder
        classes = list(map(registry.import_class, self.classes))
        model, data = torch_imf.from_pretrained(folder, classes), torch_imf.pretrained_graph(folder)
        kept: Any = getattr(model, "features", {}) if features else {}
        for name, module in kept.items():  # As the model has projected them.
            data[f"x_{name}"] = pad(module.x, (0, 0, 0, 1))[module.row]
            data[f"{name}_mask"] = module.mask
        return model.to(device), data.to(str(device))

    def predictor(self, features: bool = True) -> "torch_imf.Predictor":
        r"""Returns what answers questions by the model, with the calibration of `train`, if any."""
        values = self.training.get("calibration")
        calibration = torch_imf.Calibration(**values) if values else None
        return torch_imf.Predictor(*self.load(features), calibration, self.encoders())

    def encoders(self) -> "Mapping[str, Encoder]":
        r"""Returns the encoders of its features, to make those of new entities."""
        classes = list(map(registry.import_class, self.classes))
        return torch_imf.pretrained_encoders(self.folder, classes)

    def history(self) -> list[dict[str, float]]:
        r"""Returns the history of the training, of which `train` keeps a file."""
        path = Path(self.run, HISTORY)
        if not path.exists():
            raise ValueError(f"There is no '{path}', which 'torch-imf train' writes")
        return json.loads(path.read_bytes())


Overwrite = Annotated[bool, "replace the file to write if it is there"]


def empty_folder(path: str) -> Path:
    r"""Returns a folder to write into, which is not there yet, or empty. Raises if it is not."""
    folder = Path(path)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(f"'{path}' is not empty, name another folder")
    return folder


def check_out(path: str, overwrite: bool, others: Iterable[str] = ()) -> None:
    r"""Raises if a table cannot be written, before there is work to lose: it has no such format,
    nor one of others that are known, or its place is taken.
    """
    if suffix(path) not in others:
        table_suffix(path)
    filesystem, name = url_to_fs(path)
    if not overwrite and filesystem.isfile(name):
        raise ValueError(f"'{path}' is there already, '--overwrite' replaces it")


def test_fact(data: "Data") -> tuple[int, int, int]:
    r"""Returns the first test fact."""
    if not bool(data.test_mask.any()):
        raise ValueError("there is no test fact, give '--head', '--relation' and '--tail'")
    edge = int(data.test_mask.nonzero()[0])
    head, tail = data.edge_index[:, edge].tolist()
    return head, int(data.edge_type[edge]), tail
