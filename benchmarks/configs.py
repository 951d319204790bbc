"""Tuned settings, chosen on validation: what `tables.py` makes rows of.

Settings are those of a `Recipe`: the `class` of a model, and arguments of it and of its training.
"""

import json
import os.path as osp
from typing import Any

Settings = dict[str, Any]

#: What papers print, with its sources.
with open(osp.join(osp.dirname(osp.realpath(__file__)), "published.json")) as f:
    PUBLISHED: dict[str, Any] = json.load(f)


def changed(base: Settings, **settings: Any) -> Settings:
    """The same settings with some changed, and without the arguments of a part that is replaced."""
    kept = {
        key: x
        for key, x in base.items()
        if not any(key.startswith(f"{part}.") for part in settings)
    }
    return {**kept, **settings}


def alone(base: Settings) -> Settings:
    """The scorer on plain embeddings, trained in the same way."""
    others = ("class", "views", "fusion", "contrastive", "adversary", "structure", "data")
    kept = {key: x for key, x in base.items() if key.split(".")[0] not in others}
    return {**kept, "class": "kge"}


def part(name: str, **arguments: Any) -> Settings:
    """The arguments of a part of a model."""
    return {f"{name}.{key}": x for key, x in arguments.items()}


def n3(weight: float) -> Settings:
    return {"loss.regularizer": "n3", "loss.regularizer.weight": weight}


def dura(weight: float) -> Settings:
    return {"loss.regularizer": "dura", "loss.regularizer.weight": weight}


IMF: dict[str, Settings] = {
    "countries": {
        "class": "imf",
        "hidden_channels": 64,
        "rel_channels": 16,
        # Texts and flags (of 197 entities) are in the fused view, and have no vote of their own.
        "views": ["struct", "fused"],
        "scorer": "contextual",
        **part("scorer", similarity="dot", dropout=0.5, batch_norm=True),
        "loss": "ce",
        "contrastive.weight": 0.1,
        "epochs": 60,
        "batch_size": 128,
        "lr": 0.003,
        "lr_decay": 0.97,
        "eval_every": 5,
        "structure": {
            "use": "init",
            "fit": {"epochs": 60, "batch_size": 512, "lr": 0.01, "eval_every": 5},
        },
    },
    # The 280 images that a mirror may have are left out.
    "fb15k237": {
        "class": "imf",
        "data": {"modalities": ["text", "numeric"]},
        "hidden_channels": 512,
        "views": ["struct", "text", "fused"],
        "scorer": "complex",
        "fusion": "imf",
        **part("fusion", rank=1, latent_channels=128),
        "loss": "ce",
        **dura(0.05),
        "contrastive.weight": 0.1,
        "epochs": 16,
        "batch_size": 2048,
        "lr": 0.1,
        "optimizer": "adagrad",
        "dense_lr": 0.015,
        "precision": "bf16",
        "eval_every": 2,
    },
}
# The same facts among fewer entities, where seeds are affordable:
FEWER: Settings = {"hidden_channels": 256, "epochs": 12, "batch_size": 256, "dense_lr": 0.03}
IMF["fb15k237-4k"] = {**IMF["fb15k237"], **FEWER, "eval_every": 3}
IMF["mkgy"] = {**IMF["fb15k237"], "data": {}, "epochs": 12, "batch_size": 1024}
# For a GPU: more of everything, in single precision.
LARGE = {"hidden_channels": 1024, **part("fusion", rank=2, latent_channels=512)}
FULL = {**IMF["fb15k237"], **LARGE, "epochs": 60, "batch_size": 1024, "precision": "fp32"}

# Name -> what differs in the model and in training, chosen on the validation facts of Countries
# with the scorer alone.
ADAGRAD: Settings = {"optimizer": "adagrad", "lr": 0.1, "dense_lr": 0.02, "lr_decay": 1.0}
SCORERS: dict[str, Settings] = {
    "contextual": part("scorer", similarity="dot", dropout=0.5, batch_norm=True),
    "tucker": {"lr": 0.01},
    "conve": {},
    "distmult": {**dura(0.05), **ADAGRAD},
    "complex": {**dura(0.1), **ADAGRAD},
    "transe": {},
    "rotate": {"lr": 0.01},
}

# AdaMF on the graphs of its paper, chosen on validation facts of MKG-Y: ComplEx on joint vectors,
# against all entities. The RotatE of the paper, against sampled negatives, has a row of its own.
ADAMF: Settings = {
    "class": "adamf",
    "hidden_channels": 400,
    "scorer": "complex",
    "loss": "ce",
    **dura(0.1),
    "batch_size": 1024,
    "lr": 0.1,
    "optimizer": "adagrad",
    "dense_lr": 0.015,
    "precision": "bf16",
    "eval_every": 2,
}
TUCKER: Settings = {
    "hidden_channels": 200,
    "rel_channels": 50,
    "scorer": "tucker",
    "loss.regularizer": None,
    "lr": 0.003,
    "optimizer": "adamw",
    "dense_lr": 0.003,
    "lr_decay": 0.95,
}
# Distance scorers against sampled negatives:
SAMPLED: Settings = {
    "hidden_channels": 200,
    "loss": "sampled",
    **part("loss", num_negatives=64, sampler="shared"),
    "batch_size": 1024,
    "lr": 0.003,
    "precision": "bf16",
}


def mat(base: Settings, **adversary: Any) -> Settings:
    """The same settings with an adversary, whose generators learn at a rate of their own."""
    rate = base.get("dense_lr", 0.001)
    rates: Settings = {"lr": {"model": base["lr"], "generator": rate}}
    if "dense_lr" in base:
        rates["dense_lr"] = {"model": rate}
    return {**base, **rates, **part("adversary", **{"weight": 0.01, **adversary})}


def adamf_rows(graph: str) -> dict[str, Settings]:
    """The rows of Tables 2-3 and Figure 4 of the AdaMF-MAT paper, by label."""
    # About as many steps on all large graphs, of which DB15K has most facts:
    adamf = {**ADAMF, "epochs": 8 if graph == "db15k" else 12}
    epochs, eval_every = {"mkgy": (16, 4), "mkgw": (10, 5)}.get(graph, (4, 2))
    sampled = {**SAMPLED, "epochs": epochs, "eval_every": eval_every}
    has_images = graph in ("countries", "openmoji")
    if graph == "countries":
        small = {"hidden_channels": 64, "epochs": 30, "batch_size": 128, "eval_every": 5}
        adamf, sampled = ({**x, **small, "precision": "fp32"} for x in (adamf, sampled))
    rotate = {**sampled, "class": "adamf", "scorer": "rotate"}
    rotate["hidden_channels"] = adamf["hidden_channels"]
    structure = alone(adamf)
    # A small share of each product is left to structure, which needs less regularisation:
    rsme = {**adamf, "class": "rsme", "gate": 0.2, "beta": 0.95, **dura(0.02)}
    rsme["epochs"] = 4 if graph == "db15k" else rsme["epochs"]
    del rsme["scorer"]
    ikrl, tbkgc = {**sampled, "class": "ikrl"}, {**sampled, "class": "tbkgc"}
    fusion = {**adamf, "fusion": "adamf"}
    kinds = {"(h*, r, t)": "head", "(h, r, t*)": "tail", "(h*, r, t*)": "both"}
    return {
        "TransE": {**sampled, "class": "kge", "scorer": "transe"},
        "DistMult": {**structure, "scorer": "distmult"},
        "ComplEx": structure,
        "RotatE": alone(rotate),
        "TuckER": changed(structure, **TUCKER),
        "IKRL": ikrl,
        "TBKGC": tbkgc,
        "RSME": rsme,
        "IKRL-MAT": mat(ikrl),
        "TBKGC-MAT": mat(tbkgc),
        "AdaMF": adamf,
        "AdaMF-MAT": mat(adamf),
        "AdaMF, RotatE": rotate,
        "AdaMF-MAT, RotatE": mat(rotate),
        "mean": {**fusion, "fusion.adaptive": False},
        "element-wise": {**fusion, "fusion.elementwise": True},
        "shared vector": {**fusion, "fusion.shared": True},
        "w/o T": {**adamf, "data": {"modalities": ["visual"] if has_images else []}},
        **({"w/o V": {**adamf, "data": {"modalities": ["text"]}}} if has_images else {}),
        "w/o S": {**adamf, "struct": False},
        **{
            f"w/o {label}": mat(adamf, kinds=[k for k in kinds.values() if k != kind])
            for label, kind in kinds.items()
        },
        **{f"L = {size}": mat(adamf, num_groups=size) for size in (2, 4, 8)},
        "weight 0.1": mat(adamf, weight=0.1),
    }


# The members that vote on each graph: what the recipe finds or, of more than 10,000 entities,
# settings by which a member takes minutes.
TRANSE: Settings = {
    **SAMPLED,
    "class": "kge",
    "scorer": "transe",
    "precision": "fp32",
    "epochs": 16,
    "eval_every": 4,
    "patience": 1,
}


def complex_n3(weight: float, epochs: int) -> Settings:
    """ComplEx which is compared with 3,000 candidates."""
    return {
        "hidden_channels": 512,
        "scorer": "complex",
        "loss": "ce",
        "loss.num_candidates": 3000,
        **n3(weight),
        "batch_size": 1024,
        "optimizer": "adagrad",
        "lr": 0.1,
        "dense_lr": 0.015,
        "epochs": epochs,
        "eval_every": 2,
        "patience": 2,
    }


#: The settings of a model of many entities, by graph.
COMPLEX: dict[str, Settings] = {
    "mkgy": complex_n3(0.1, 14),
    "mkgw": complex_n3(0.1, 10),
    "db15k": complex_n3(0.05, 12),
    "db15k-original": complex_n3(0.05, 12),
    "fb15k237": complex_n3(0.05, 8),
    "fb15k": complex_n3(0.01, 8),
    "yago15k": complex_n3(0.05, 12),
}
#: The models of an ensemble where an hour is worth it. The second one knows texts alone: further
#: seeds of the first are nearly the same, and RotatE adds nothing.
MEMBERS: dict[str, list[Settings]] = {
    "fb15k237": [
        {
            **complex_n3(0.05, 30),
            "class": "kge",
            "lr_decay": 0.94,
            "hidden_channels": 1024,
            "precision": "bf16",
            "loss.auxiliary": "relation-prediction",
            "loss.auxiliary.weight": 2.0,
        },
        {
            **{**complex_n3(0.01, 8), "loss.num_candidates": 2000, "batch_size": 512},
            **{"class": "adamf", "struct": False, "data": {"modalities": ["text"]}},
            **{"dense_lr": 0.06, "lr_decay": 0.85, "precision": "bf16"},
        },
    ]
}
COMPLEX |= {f"{graph}-minilm": COMPLEX[graph] for graph in ("mkgy", "mkgw", "db15k")}

# What training never saw. All have structure, hidden for half of the entities at a time, unless
# said.
UNSEEN: dict[str, Settings] = {
    "openmoji-inductive": {
        "class": "adamf",
        "scorer": "complex",
        "hidden_channels": 200,
        "loss": "ce",
        "loss.seen_only": True,
        **n3(0.02),
        "struct.dropout": 0.5,
        "optimizer": "adagrad",
        "lr": 0.1,
        "dense_lr": 0.06,
        "batch_size": 256,
        "epochs": 20,
        "eval_every": 4,
    },
}
FEW: Settings = {"hidden_channels": 400, "loss.num_candidates": 1000, "batch_size": 384}
UNSEEN["fb15k237-inductive"] = {
    **UNSEEN["openmoji-inductive"],
    **FEW,
    "epochs": 5,
    "eval_every": 1,
    "lr_decay": 0.75,
}

# All systems by name: scorers and encoders of structure, and models of features.
OF_STRUCTURE = (
    *("complex", "transe", "rotate", "quate", "bique", "transd", "pairre", "hake", "ote"),
    *("convkb", "capse", "gcote", "kbat"),
)
OF_FEATURES = (
    *("otkge", "lbmkgc", "mhyper", "mose", "momok", "mkbe", "transae", "mmkrl", "vbkgc"),
    *("imf", "adamf"),
)
