r"""The graph that a command reads, and the commands that need no model."""

import dataclasses
import os.path as osp
import re
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from torch_imf import registry
from torch_imf.cli.output import Output, Stopped, typed

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from torch_imf.datasets import KGDataset, MultimodalKG
    from torch_imf.encoders.base import EncoderLike as Encoder


@dataclasses.dataclass
class Features:
    r"""Features, each made once and kept in a cache, or read from a file."""

    _: dataclasses.KW_ONLY
    text_encoder: Annotated[
        str,
        "'tfidf', a sentence transformer (all-MiniLM-L6-v2), a class (my_package:Encoder), a file "
        "of features, or 'none'; images and numbers likewise",
    ] = "auto"
    visual_encoder: Annotated[str, "'pixel' (flags and icons), or a network of timm (vgg16)"] = (
        "auto"
    )
    numeric_encoder: Annotated[str, "'numeric'"] = "auto"
    visual_weights: Annotated[str | None, "weights of the network, if not to be fetched"] = None

    def encoders(self) -> "dict[str, Encoder | str | None]":
        r"""Returns the encoder of each modality."""
        if self.visual_weights and self.visual_encoder.lower() in ("auto", "none", "pixel"):
            raise ValueError("'--visual-weights' needs the network as '--visual-encoder'")
        names = {x: getattr(self, f"{x}_encoder") for x in ("text", "visual", "numeric")}
        return {modality: self.find(modality, name) for modality, name in names.items()}

    def find(self, modality: str, name: str) -> "Encoder | str | None":
        r"""Returns an encoder by its name, or by that of its model."""
        from torch_imf.encoders import TextEncoder, VisualEncoder

        if name.lower() == "none":
            return None
        if name == "auto" or osp.exists(name):
            return name
        short = {"text": "tfidf", "visual": "pixel", "numeric": "numeric"}
        if name.lower() == short[modality] or re.fullmatch(r"[\w.]+:\w+", name):
            return registry.resolve("encoder", name)
        if modality == "numeric":
            raise ValueError(f"'--numeric-encoder' needs to be a file of features (got '{name}')")
        is_text = modality == "text"
        return TextEncoder(name) if is_text else VisualEncoder(name, weights=self.visual_weights)


@dataclasses.dataclass
class Graph:
    r"""Graph."""

    graph: Annotated[
        str,
        "a dataset of 'torch-imf list datasets', a folder (facts.tsv, texts.tsv, images/, "
        "numbers.tsv, or train.tsv, valid.tsv and test.tsv for the facts), or a file of facts",
    ]
    _: dataclasses.KW_ONLY
    root: Annotated[str | None, "folder to keep it in (default: data/<dataset>)"] = None
    version: Annotated[str | None, "the published version of a dataset, as in the list"] = None
    scheme: Annotated[Literal["original", "clean"], "splits with or without leaks:"] = "original"
    shares: Annotated[
        tuple[float, float, float] | None,
        "of training, validation and test in a file of your own (default: 0.8 0.1 0.1)",
    ] = None
    split_seed: Annotated[int | None, "seed of that division (default: 0)"] = None
    texts: Annotated[str | None, "file of texts, beside what your own folder holds"] = None
    images: Annotated[str | None, "images, <entity>.png or <entity>/<any>.jpg"] = None
    numbers: Annotated[str | None, "table of entity, attribute and value"] = None
    header: Annotated[bool | None, "whether your tables begin with a header"] = None
    strict: Annotated[bool, "whether texts and numbers of no entity are an error"] = True

    def read(self, features: Features | None = None) -> "KGDataset":
        r"""Returns the dataset. Without :obj:`features`, nothing is encoded: graphs of one's own
        tell who has what, and others leave it out.
        """
        if osp.exists(self.graph):
            return self._read_own(features)
        try:
            cls = registry.lookup("dataset", self.graph)
        except ValueError as error:
            raise ValueError(f"{error}, or a folder or a file") from error
        for name in ("shares", "split_seed", "texts", "numbers", "header"):
            if getattr(self, name) is not None:
                flag = f"--{name.replace('_', '-')}"
                raise ValueError(f"'{flag}' is for graphs of your own, and {cls.__name__} is none")
        has_files: Any = getattr(cls, "files", None)
        root = self.root or (osp.join("data", cls.__name__) if has_files else None)
        encoders: Any = dict.fromkeys(["text", "visual", "numeric"])
        encoders = encoders if features is None else features.encoders()
        return cls(root, self.version, self.scheme, images=self.images, **encoders)

    def _read_own(self, features: Features | None) -> "MultimodalKG":
        from torch_imf.datasets import MultimodalKG
        from torch_imf.datasets.own import CONTENT, find_content

        if self.version is not None:
            raise ValueError(f"'--version' is for published datasets, and '{self.graph}' is none")
        given = {name: getattr(self, name) for name in CONTENT.values()}
        files: Any = {name: path for name, path in given.items() if path is not None}
        if osp.isdir(self.graph):
            files = {**find_content(self.graph, list(files)), **files}
        facts = files.pop("triples", self.graph)
        if self.shares is not None and not isinstance(facts, str):
            raise ValueError(f"'--shares' divides one file of facts, not those of {facts}")
        if features is None:
            encoders: Any = {name: NotEncoded() for name, x in CONTENT.items() if x in files}
        else:
            encoders = {name: x for name, x in features.encoders().items() if x != "auto"}
        options: dict[str, Any] = {"scheme": self.scheme, "encoders": encoders, "root": self.root}
        options |= {"header": self.header, "strict": self.strict, "seed": self.split_seed or 0}
        if self.shares is not None:
            options["shares"] = self.shares
        return MultimodalKG(facts, **files, **options)


class NotEncoded:
    r"""In place of an encoder, to see who has a modality."""

    def __call__(self, *content: Any) -> "Tensor":
        import torch

        return torch.ones(content[-1] if len(content) > 1 else len(content[0]), 1)

    def __repr__(self) -> str:
        return "not encoded"


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
            torch.set_num_threads(self.threads)
        try:
            found = torch.device(self.device or ("cuda" if torch.cuda.is_available() else "cpu"))
            torch.zeros(1, device=found).item()  # Which 'meta' has none of.
        except Exception as error:
            raise ValueError(f"The device '{self.device}' cannot be used ({error})") from error
        return found


def audit(
    graph: Graph,
    *,
    check: Annotated[bool, "exit with status 1 if facts repeat or leak"] = False,
) -> Output:
    r"""Looks for what makes numbers wrong before a model is trained.

    That is repeated facts, held-out facts in training, relations that give answers away, entities
    that training lacks.

    Examples:
      torch-imf audit DB15K --version mmrns
      torch-imf audit facts.nt.gz --shares 0.9 0.05 0.05
      torch-imf audit my_graph/ --check       exit status 1 if there are leaks
    """
    from torch_imf.data import audit
    from torch_imf.datasets import MultimodalKG

    dataset = graph.read()
    found = audit(dataset[0])
    text = f"{dataset}\n{found}"
    values = {"dataset": repr(dataset), "audit": found, "problems": found.problems}
    if isinstance(dataset, MultimodalKG):
        own = dataset.report()
        text = str(own).replace(f", 1 channels, {NotEncoded()}", "")
        text = text.replace("Pass 'scheme=\"clean\"'", "Pass '--scheme clean'")
        values |= {"summary": own.summary, "sources": own.sources, "findings": own.findings()}
    return Output(text, values, status=int(check and not found.is_clean))


def encode(
    graph: Graph, features: Features, *, out: Annotated[str, "the folder"] = "features"
) -> Output:
    r"""Turns texts, images and numbers into files of features.

    'train' reads them. What is interrupted goes on where it was.

    Examples:
      torch-imf encode my_graph/ --text-encoder all-MiniLM-L6-v2 --visual-encoder vgg16
      torch-imf train my_graph/ --text-encoder features/text.npz
    """
    import numpy as np

    from torch_imf.answers.tables import format_table
    from torch_imf.data import modalities
    from torch_imf.io.atomic import replacing

    try:
        dataset = graph.read(features)
    except KeyboardInterrupt as error:
        raise Stopped(f"what was encoded is kept. To go on:\n  {typed()}") from error
    data: Any = dataset[0]
    x_dict, mask_dict = modalities(data)
    if not x_dict:
        raise ValueError(f"{dataset} has no texts, images or numbers to encode")
    rows, values = [["modality", "entities", "values", "encoder", "file"]], {}
    for name, x in x_dict.items():
        path, mask = Path(out) / f"{name}.npz", mask_dict[name]
        ids = [data.node_ids[row] for row in mask.nonzero().view(-1).tolist()]
        with replacing(path) as file:
            np.savez(file, entity=np.array(ids), feature=x[mask].numpy())
        about = {"encoder": str(data.encoders.get(name, "")), "file": str(path)}
        values[name] = {"entities": len(ids), "channels": x.size(1), **about}
        rows.append([name, f"{len(ids):,} of {x.size(0):,}", str(x.size(1)), *about.values()])
    return Output(format_table(rows, left=(0, 3, 4)), values)
