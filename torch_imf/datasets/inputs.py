import os.path as osp
import warnings
from collections.abc import Callable, Sequence
from functools import cache
from http.client import HTTPException
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch_geometric.data import Data

from torch_imf.data.names import NameIndex
from torch_imf.datasets.download import mirror, retrieve
from torch_imf.datasets.encoder import Encoder, run_encoder
from torch_imf.datasets.io import read_text, split_rows
from torch_imf.datasets.raw import RawFolder
from torch_imf.encoders import FeatureFile
from torch_imf.encoders.base import record_of
from torch_imf.io.atomic import read_bytes, replacing
from torch_imf.io.images import find_images

if TYPE_CHECKING:
    from torch_imf.datasets.content import Content


def add_features(dataset: "Content", data: Data) -> None:
    r"""Runs the encoders of a dataset and adds :obj:`x_<modality>`,
    :obj:`<modality>_mask` and :obj:`encoders[<modality>]` to its graph.

    Raises:
        ValueError: If features do not have one finite row per entity, or no
            entity is left that has a modality.
    """
    # What is missing is found before encoders spend their time, and the largest features come
    # last, when the others have given back what they needed on the way:
    encoders = {
        modality: encoder
        for modality in ("text", "numeric", "visual")
        if (encoder := dataset.encoders[modality]) is not None
    }
    names = cache(lambda: dataset.names(data))  # Read once, and only if entities go by names.
    inputs = {modality: read_inputs(dataset, modality, data, names) for modality in encoders}
    for modality, encoder in encoders.items():
        x, keep = run_encoder(modality, encoder, *inputs[modality])
        data[f"x_{modality}"] = x
        data[f"{modality}_mask"] = keep
        data.encoders = {**data.get("encoders", {}), modality: record_of(encoder)}


def read_inputs(
    dataset: "Content",
    modality: str,
    data: Data,
    names: Callable[[], NameIndex],
) -> tuple[Sequence[object], list[bool]]:
    r"""Returns what the encoder of a modality is called with, and which
    entities have this modality.
    """
    num_nodes = len(data.node_ids)
    if isinstance(dataset.encoders[modality], FeatureFile):
        return [names()], [True] * num_nodes
    if modality == "numeric":
        index, attributes, values = find_literals(dataset, names())
        mask = torch.zeros(num_nodes, dtype=torch.bool)
        mask[index] = True
        return [index, attributes, values, num_nodes], mask.tolist()
    entries: Sequence[object] = (
        dataset.read_texts(data) if modality == "text" else dataset.read_images(names())
    )
    return [entries], [entry is not None for entry in entries]


def find_literals(dataset: "Content", names: NameIndex) -> tuple[Tensor, list[str], Tensor]:
    r"""Returns the numeric literals of those entities that are in the graph:
    rows, attributes and values.
    """
    nodes, attributes, values = dataset.read_literals()
    index = names(nodes)
    known = (index >= 0).nonzero().view(-1)
    attributes = [attributes[i] for i in known.tolist()]
    return index[known], attributes, torch.tensor(values, dtype=torch.double)[known]


def default_images(dataset: "Content", names: NameIndex) -> list[list[str] | None]:
    r"""Returns the image files of each entity, in :obj:`raw/images` or in a
    mirror.

    Raises:
        ValueError: If there are none.
    """
    folder = dataset.raw.path("images")
    if osp.isdir(folder):
        return find_images(folder, names)
    if dataset.raw.has("images") or ("images" in dataset.raw.groups and mirror("") is not None):
        return fetch_images(dataset.raw, names)
    on_disk = dataset.raw.disk_path("images") == folder
    other = f", or move them to '{folder}'" if on_disk else ""
    raise ValueError(
        f"There are no images of '{dataset.__class__.__name__}'. Please pass the folder that holds "
        f"them as 'images'{other}, named by entity (as in '{names.example()}.jpg')"
    )


def fetch_images(raw: RawFolder, names: NameIndex) -> list[list[str] | None]:
    r"""Brings the images that a mirror lists into the folder of raw files.

    Raises:
        RuntimeError: If the mirror lacks one of them.
    """
    (index,) = raw.fetch("images")
    base = raw.disk_path("mirror")
    files = [file for _, file in split_rows(read_text(index), index, columns=2, header=True)]
    if not all(osp.exists(osp.join(base, file)) for file in files):
        with raw.lock():
            _fetch_missing(files, base)
    if not osp.exists(index):  # On another file system.
        content, index = read_bytes(index), osp.join(base, osp.basename(index))
        with replacing(index) as out:
            out.write(content)
    return find_images(index, names, base)


def _fetch_missing(files: list[str], base: str) -> None:
    for file in files:
        path, source = osp.join(base, file), mirror(file)
        if osp.exists(path):
            continue
        if source is None:
            raise RuntimeError(
                f"The image '{file}' is not in '{base}', and TORCH_IMF_MIRROR, which names the "
                f"mirror that has it, is not set"
            )
        try:
            content = retrieve(source, digest=None)
        except (OSError, HTTPException, ValueError) as e:
            raise RuntimeError(
                f"The image '{file}' could not be fetched from the mirror that TORCH_IMF_MIRROR "
                f"names ({e})"
            ) from e
        with replacing(path) as out:
            out.write(content)


def find_features(raw: RawFolder) -> FeatureFile | None:
    r"""Returns the ready visual features in a folder of raw files, or in the
    mirror, if there are any.
    """
    if not (raw.has("visual") or ("visual" in raw.groups and mirror("") is not None)):
        return None
    try:
        return FeatureFile(*raw.fetch("visual"), strict=False)
    except RuntimeError as e:
        warnings.warn(f"The dataset is used without images: {e}", stacklevel=5)
        return None


def group_of(modality: str, encoder: Encoder) -> str:
    r"""Returns the group of raw files that an encoder needs."""
    return "names" if modality == "visual" or isinstance(encoder, FeatureFile) else modality


def check_modality(dataset: "Content", modality: str) -> None:
    r"""Raises a :class:`ValueError` if a dataset has nothing of a modality."""
    if modality not in dataset.modalities:
        content = {"text": "texts", "visual": "images", "numeric": "numeric literals"}[modality]
        raise ValueError(
            f"'{dataset.__class__.__name__}' has no {content}. Pass '{modality}=None', or a file "
            f"of features"
        )
