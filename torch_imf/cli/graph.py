import argparse
import os.path as osp
from typing import Any

import torch
from torch import Tensor

from torch_imf import registry
from torch_imf.datasets import KGDataset, MultimodalKG
from torch_imf.datasets.encoder import Encoder
from torch_imf.datasets.own import find_content
from torch_imf.encoders import (
    NumericEncoder,
    PixelEncoder,
    TextEncoder,
    TfidfEncoder,
    VisualEncoder,
)

HELP = """a dataset of 'torch-imf list datasets', a folder (facts.tsv, texts.tsv, images/,
numbers.tsv, or train.tsv, valid.tsv and test.tsv for the facts), or a file of facts"""
ENCODERS: dict[str, tuple[type, type]] = {
    # What is meant by a short name, and what reads the name of a model:
    "text": (TfidfEncoder, TextEncoder),
    "visual": (PixelEncoder, VisualEncoder),
}


def add_graph(parser: argparse.ArgumentParser) -> None:
    r"""Adds the arguments that say which graph to read, and how."""
    group = parser.add_argument_group("graph")
    group.add_argument("graph", help=HELP)
    group.add_argument("--root", help="folder to keep it in (default: data/<dataset>)")
    group.add_argument("--version", help="the published version of a dataset, as in the list")
    group.add_argument(
        *("--split",),
        nargs="+",
        metavar="SPLIT",
        help="'original' (default) or 'clean', without the leaks of the published splits; for a "
        "single file of facts of your own, the shares of training, validation and test facts "
        "(default: 0.8 0.1 0.1)",
    )
    group.add_argument("--split-seed", type=int, help="seed of that division (default: 0)")
    own = parser.add_argument_group("graph of your own, beside what its folder holds")
    own.add_argument("--texts", metavar="FILE", help="texts by entity: TSV, CSV, JSON or JSONL")
    own.add_argument(
        "--images", metavar="FOLDER", help="images, <entity>.png or <entity>/<any>.jpg"
    )
    own.add_argument("--numbers", metavar="FILE", help="table of entity, attribute and value")
    own.add_argument(
        "--header", action=argparse.BooleanOptionalAction, help="whether tables begin with a header"
    )
    own.add_argument(
        *("--strict",),
        action=argparse.BooleanOptionalAction,
        default=True,
        help="whether texts and numbers of entities that are in no fact are an error "
        "(default: True)",
    )


def add_encoders(parser: argparse.ArgumentParser) -> None:
    r"""Adds the arguments that say how modalities become features."""
    group = parser.add_argument_group(
        "features", "Each is made once and kept in a cache, or read from a file of features."
    )
    group.add_argument(
        *("--text-encoder",),
        metavar="ENCODER",
        help="'tfidf' (default), a sentence transformer (all-MiniLM-L6-v2), a file of features, "
        "or 'none'",
    )
    group.add_argument(
        *("--visual-encoder",),
        metavar="ENCODER",
        help="a network of timm (vgg16), 'pixel' (colours and layout, for flags and icons), a "
        "file of features, or 'none'",
    )
    group.add_argument(
        *("--numeric-encoder",), metavar="ENCODER", help="a file of features, or 'none'"
    )
    group.add_argument(
        "--visual-weights", metavar="FILE", help="weights of the network, if not to be fetched"
    )


class NotEncoded:
    r"""In place of an encoder, to see who has a modality."""

    def __call__(self, *content: Any) -> Tensor:
        num_nodes = content[-1] if len(content) > 1 else len(content[0])
        return torch.ones(num_nodes, 1)

    def __repr__(self) -> str:
        return "not encoded"


def read_graph(options: argparse.Namespace, features: bool = True) -> KGDataset:
    r"""Returns the dataset that the arguments ask for.

    Args:
        options (argparse.Namespace): The arguments.
        features (bool, optional): If set to :obj:`False`, encodes nothing:
            graphs of one's own tell who has what, and others leave it out.
            (default: :obj:`True`)

    Raises:
        ValueError: If there is no such graph, or an argument does not fit it.
    """
    encoders: dict[str, Encoder | str | None] = dict.fromkeys(["text", "visual", "numeric"])
    if features:
        encoders = {name: find_encoder(name, options) for name in encoders}
    if osp.exists(options.graph):
        return read_own(options, encoders if features else None)
    cls = find_dataset(options.graph)
    names = ("texts", "numbers", "header", "split_seed")
    own = [name.replace("_", "-") for name in names if getattr(options, name) is not None]
    if own:
        raise ValueError(f"'--{own[0]}' is for graphs of your own, and {cls.__name__} is none")
    root = options.root or (osp.join("data", cls.__name__) if cls.files else None)
    split = "original" if options.split is None else " ".join(options.split)
    arguments: dict[str, Any] = {"images": options.images, **encoders}
    return cls(root, options.version, split, **arguments)


def read_own(
    options: argparse.Namespace, encoders: dict[str, Encoder | str | None] | None
) -> MultimodalKG:
    r"""Returns the dataset that a folder or a file of facts makes."""
    if options.version is not None:
        raise ValueError(f"'--version' is for published datasets, and '{options.graph}' is none")
    texts, images, numbers = options.texts, options.images, options.numbers
    triples: Any = options.graph
    if osp.isdir(options.graph):
        found: Any = find_content(options.graph)
        triples = found["triples"]
        texts, images, numbers = (
            path or found.get(name)
            for name, path in (("texts", texts), ("images", images), ("numbers", numbers))
        )
    if encoders is None:
        content = {"text": texts, "visual": images, "numeric": numbers}
        encoders = {name: NotEncoded() for name, path in content.items() if path is not None}
    words = options.split or ["0.8", "0.1", "0.1"]
    clean = words == ["clean"]
    if options.split not in (None, ["original"], ["clean"]) and not isinstance(triples, str):
        raise ValueError(
            f"'--split' divides a single file of facts, and those of '{options.graph}' are divided "
            f"already: {triples}"
        )
    try:
        shares = [0.8, 0.1, 0.1] if clean or words == ["original"] else [float(x) for x in words]
        train, val, test = shares
    except ValueError as error:
        raise ValueError(
            f"'--split' needs to be 'original', 'clean', or three shares (got {' '.join(words)})"
        ) from error
    return MultimodalKG.from_files(
        triples,
        texts,
        images,
        numbers,
        shares=(train, val, test),
        seed=options.split_seed or 0,
        header=options.header,
        strict=options.strict,
        scheme="clean" if clean else "original",
        encoders={
            name: encoder
            for name, encoder in encoders.items()
            if encoder is None or encoder != "auto"
        },
        root=options.root,
    )


def find_dataset(name: str) -> type[KGDataset]:
    r"""Returns the dataset of a name.

    Raises:
        ValueError: If there is none.
    """
    known = {x: cls for x, cls in registry.classes("dataset").items() if cls.stats}  # type: ignore[attr-defined]
    classes = {x.lower(): cls for x, cls in known.items()}
    cls = classes.get(name.lower().replace("-", "").replace("_", ""))
    if cls is None:
        raise ValueError(
            f"There is no dataset '{name}', expected one of {list(known)}, nor a folder or a file "
            f"of this name"
        )
    return cls


def find_encoder(modality: str, options: argparse.Namespace) -> Encoder | str | None:
    r"""Returns the encoder of a modality that the arguments name."""
    name = getattr(options, f"{modality}_encoder")
    weights = options.visual_weights if modality == "visual" else None
    if weights is not None and (name is None or name.lower() in ("none", "pixel")):
        raise ValueError("'--visual-weights' needs the network as '--visual-encoder'")
    if name is None or name.lower() == "none":
        return None if name else "auto"
    if osp.exists(name):
        return name
    if modality == "numeric":
        if name.lower() == "numeric":
            return NumericEncoder()
        raise ValueError(f"'--numeric-encoder' needs to be a file of features (got '{name}')")
    simple, by_name = ENCODERS[modality]
    if name.lower() == simple.__name__.lower().removesuffix("encoder"):
        return simple()
    return by_name(name) if weights is None else by_name(name, weights=weights)
