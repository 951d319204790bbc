"""Trains the members of a row, lets them vote, and ranks the test facts once (see `tables.py`).

A member is trained once, whatever rows it is in: its checkpoint has a name by its settings, graph
and seed. Training that is interrupted goes on from there. The epoch is selected on validation.
"""

import base64
import copy
import hashlib
import inspect
import json
import os
import os.path as osp
import time
import zlib
from collections.abc import Callable
from functools import cache
from typing import Any

import measures
import numpy as np
import torch
from configs import Settings
from graphs import DATA, graph
from results import commit
from torch_geometric.data import Data

from torch_imf import KGE, Sampled, evaluate, fit, fit_view_weights, nn
from torch_imf.data import TripletIndex, mean_rank_percentile, modalities
from torch_imf.data.graph import prepare as to_device
from torch_imf.evaluation.evaluate import rank_facts
from torch_imf.registry import lookup, resolve
from torch_imf.sampler import CrossModalAttention, KBGANSampler, MANSSampler, MMRNSSampler
from torch_imf.training.controls import noise, replaced, shuffle, with_modalities
from torch_imf.training.recipe import Recipe, few, recipe
from torch_imf.transforms import AddInverse, DropModality

load = cache(graph)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
#: What says how a member is trained, and is no setting of its recipe.
OWN = ("class", "recipe", "plain", "data", "seed")
CHECKPOINTS = osp.join(DATA, "checkpoints")


class OutOfTime(Exception):
    """The time to run is over."""


class OutOfBudget(Exception):
    """The time of a member is over."""


def prepare(data: Data, member: Settings, seed: int) -> Data:
    """The graph of a member."""
    own = member.get("data", {})
    for name, ratio in own.get("drop", {}).items():
        data = DropModality(name, ratio)(data)
    if "modalities" in own:
        data = with_modalities(data, own["modalities"])
    if "names" in own:
        data = copy.copy(data)
        data.x_text, data.text_mask = resolve("encoder", own["names"])(data.node_names)
    if "replace" in own:
        data = replaced(data, {"noise": noise, "shuffled": shuffle}[own["replace"]], seed)
    return data


def found(member: Settings, data: Data, seed: int, search: bool = True) -> Recipe:
    """The settings of a member, completed by its recipe."""
    given = {key: x for key, x in member.items() if key not in OWN}
    name, kind = member["class"], member.get("recipe")
    if kind is None:  # All epochs count, unless it says when to stop.
        out = Recipe(name, {"patience": None, **given})
    else:
        out = recipe(name, data, given, kind, search, seed)
        out.setdefault("hidden_channels", 128)
    if member.get("plain", False):
        defaults = inspect.signature(lookup("model", name)).parameters
        parts = {key: defaults[key].default for key in ("scorer", "loss") if key in defaults}
        kept = ("scorer", "loss", "hidden_channels", *out.fit)
        settings = {key: x for key, x in out.items() if key.split(".")[0] in kept}
        out = Recipe("kge", {**parts, **settings})
    return out


def built(settings: Recipe, data: Data) -> Any:
    """The model of settings, with what cannot be given by name."""
    settings = Recipe(settings.name, settings)
    x_dict, mask_dict = modalities(data)
    if "gate" in settings:  # The share of relations that RSME keeps.
        (head, tail), rel = data.edge_index[:, data.train_mask], data.edge_type[data.train_mask]
        name = next(iter(x_dict))
        features = (x_dict[name], mask_dict[name], data.num_relations)
        percentile = mean_rank_percentile(head, rel, tail, *features)
        settings["gate"] = (percentile <= percentile.quantile(settings["gate"])).float()
    if settings.get("loss.sampler") in ("kbgan", "mans", "mmrns"):
        size = settings.pop("loss.num_negatives")
        sampler = _sampler(settings.pop("loss.sampler"), size, settings["hidden_channels"], data)
        settings["loss"] = Sampled(temperature=0.0, sampler=sampler)
    return settings.build(data)


def _sampler(name: str, num_negatives: int, channels: int, data: Data) -> Any:
    # A sampler that learns or adapts.
    both = AddInverse()(data)
    head_index, tail_index = both.edge_index[:, both.train_mask]
    index = TripletIndex(head_index, both.edge_type[both.train_mask], tail_index)
    args: Any = {"index": index, "num_negatives": num_negatives}
    x_dict, mask_dict = modalities(data)
    if name == "kbgan":
        generator = KGE(data.num_nodes, data.num_relations, channels, scorer="distmult")
        return KBGANSampler(data.num_nodes, generator, num_candidates=64, **args)
    if name == "mans":
        return MANSSampler(data.num_nodes, modalities=list(x_dict), mask_dict=mask_dict, **args)
    return MMRNSSampler(
        data.num_nodes, CrossModalAttention(data.num_relations, x_dict, mask_dict), **args
    )


def seeded(member: Settings, seed: int) -> tuple[Settings, int]:
    """The settings of a member without its seed, which counts from that of the row, and that seed,
    so that the same model in two rows is trained once.
    """
    return {key: x for key, x in member.items() if key != "seed"}, seed + member.get("seed", 0)


def checkpoint(
    member: Settings, graph: str, seed: int, few_facts: int | None, minutes: float
) -> str:
    """The file of a member, by all that it depends on but the code: of features, a KGE does not."""
    own, seed = seeded(member, seed)
    own = {key: x for key, x in own.items() if key != "data" or member["class"] != "kge"}
    text = json.dumps([own, graph, seed, few_facts, minutes], sort_keys=True)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return osp.join(CHECKPOINTS, f"{graph}-{member['class']}-{digest}.pt")


def checkpoints(row: Settings, graph: str, seed: int, minutes: float) -> list[str]:
    """The files of the members of a row."""
    graph, few_facts = row.get("graph", graph), row.get("few")
    return [checkpoint(x, graph, seed, few_facts, minutes) for x in row["members"]]


class Notes(dict[str, Any]):
    """What is kept beside a checkpoint, so that interrupted training counts as a whole."""

    def __init__(self, path: str) -> None:
        super().__init__({"seconds": 0.0, "code": []})
        self.path = f"{path}.json"
        if osp.exists(self.path):
            with open(self.path) as f:
                self.update(json.load(f))

    def save(self, **values: Any) -> None:
        self.update(values)
        os.makedirs(CHECKPOINTS, exist_ok=True)
        with open(f"{self.path}.tmp", "w") as f:
            json.dump(self, f)
        os.replace(f"{self.path}.tmp", self.path)


def clock() -> float:
    """Seconds of one core, which other work disturbs less, or of the clock beside a GPU."""
    if DEVICE == "cuda":
        return time.perf_counter()
    return time.process_time() / torch.get_num_threads()


def trained(
    model: Any,
    data: Data,
    path: str,
    notes: Notes,
    budget: float,
    left: Callable[[], float],
    **kwargs: Any,
) -> list[dict[str, float]]:
    """Trains a model for so many seconds at most, and returns its history."""
    start, before, entries = clock(), notes["seconds"], []

    def after(entry: dict[str, float]) -> None:
        entries.append(entry)
        seconds, kept = before + clock() - start, notes["seconds"]
        notes.save(seconds=seconds)
        print(
            f"  epoch {entry['epoch']:3.0f}, loss {entry['loss']:.4f}, val MRR {entry['mrr']:.4f}, "
            f"{seconds / 60:.1f} min",
            flush=True,
        )
        if seconds > budget and osp.exists(path):  # To go on from, for this epoch.
            raise OutOfBudget
        if left() < 0:  # This epoch is not kept yet.
            notes.save(seconds=kept)
            raise OutOfTime

    # Once its time is over, training is not gone on with:
    epochs = min(kwargs.pop("epochs"), notes.get("last_epoch", 10**9))
    try:
        history = fit(
            model.to(DEVICE),
            data,
            epochs,
            checkpoint=path,
            callback=after,
            progress=False,
            **kwargs,
        )
    except OutOfBudget:
        notes.save(last_epoch=int(entries[-1]["epoch"]))
        # That epoch was not kept, so it is trained again, for a checkpoint that is whole:
        epochs = notes["last_epoch"]
        history = fit(model, data, epochs, checkpoint=path, progress=False, **kwargs)
    return history


def trained_member(
    member: Settings, data: Data, path: str, seed: int, budget: float, left: Callable[[], float]
) -> tuple[Any, Notes]:
    """Returns a member, trained and on the CPU or GPU, with its notes."""
    notes, start = Notes(path), clock()
    code = list(dict.fromkeys([*notes["code"], commit()]))
    if "settings" not in notes:
        settings = found(member, data, seed)
        notes.save(settings=[settings.name, settings], seconds=clock() - start)
    settings = Recipe(*notes["settings"])
    settings.setdefault("epochs", 100)
    notes.save(code=code)
    torch.manual_seed(seed)
    if "structure" in settings:
        settings["struct"] = _structure(
            settings.pop("structure"), settings, data, path, budget, left
        )
        if "curve" not in notes and notes["seconds"] < Notes(f"{path}.structure")["seconds"]:
            notes["seconds"] += Notes(f"{path}.structure")["seconds"]
        torch.manual_seed(seed)  # As if the encoder had been there before.
    model = built(settings, data)
    history = trained(model, data, path, notes, budget, left, **settings.fit)
    best = max(history, key=lambda entry: entry["mrr"])
    curve = [[int(entry["epoch"]), round(entry["mrr"], 4)] for entry in history]
    notes.save(val_mrr=best["mrr"], epoch=int(best["epoch"]), curve=curve)
    return model, notes


def _structure(
    own: Settings,
    settings: Settings,
    data: Data,
    path: str,
    budget: float,
    left: Callable[[], float],
) -> Any:
    # The structural view: embeddings by an encoder that is trained first, for half of the time at
    # most, `frozen` as in the paper or to start from (`init`), or the encoder itself (`joint`).
    own, path = dict(own), f"{path}.structure"
    kwargs, use = {"patience": None, "epochs": 100, **own.pop("fit")}, own.pop("use")
    sizes = data.num_nodes, data.num_relations, settings["hidden_channels"]
    encoder = getattr(nn, own.pop("encoder", "StructuralEncoder"))(*sizes, **own)
    trained(encoder, data, path, Notes(path), budget / 2, left, **kwargs)
    if use == "joint":
        return encoder.cpu().register_graph(data)
    rel_emb = encoder.rel_embedding().cpu() if isinstance(encoder, nn.TripleEncoder) else None
    return nn.StructuralEmbedding(encoder.encode(data).cpu(), rel_emb, use == "frozen")


def run(
    row: Settings, graph: str, seed: int, minutes: float, left: Callable[[], float] = lambda: 1.0
) -> Settings:
    """Trains what is not trained yet, and returns what the line of a row holds.

    Args:
        row: What `tables.py` says.
        graph: The graph of its table.
        seed: The seed of parameters and batches.
        minutes: The most for each member.
        left: How many seconds there are left; `OutOfTime` is raised after that.
    """
    whole = load(row.get("graph", graph))
    paths = checkpoints(row, graph, seed, minutes)
    members, notes, seen = [], [], []
    for member, path in zip(row["members"], paths, strict=True):
        member, own_seed = seeded(member, seed)
        data = prepare(whole, member, own_seed)
        seen.append(data)
        part = few(data, 0, row["few"]) if "few" in row else data
        model, note = trained_member(member, part, path, own_seed, 60 * minutes, left)
        members.append(model)
        notes.append(note)
    start = clock()
    model, val = members[0] if members else None, [x["val_mrr"] for x in notes][:1]
    fitted = {}
    if "vote" in row:
        model = fit_view_weights(members, seen[0] if seen else whole, row["vote"])
        val, fitted = [model.fitted["mrr"]], {"fitted": model.fitted}  # By cross-validation.
    out = evaluate(model, whole, by=row.get("by", ()))
    metrics = {k: round(v, 5) for k, v in out.items() if not isinstance(v, dict)}
    metrics["val_mrr"] = round(val[0], 5)
    groups = {
        name: {key: round(x["mrr"], 5) for key, x in out[name].items()}
        for name in ([row["by"]] if "by" in row else [])
    }
    more = {}
    if "measure" in row:
        more = getattr(measures, row["measure"])(model, to_device(model, whole))
    if row.get("ranks", False):
        more["ranks"] = pack(rank_facts(model, to_device(model, whole), "test").cpu())
    size = sum(p.numel() for x in members for p in x.parameters() if p.requires_grad)
    rising = [x["curve"][-1][0] == x["epoch"] for x in notes]
    return {
        "seconds": sum(x["seconds"] for x in notes) + clock() - start,
        "metrics": metrics,
        "code": list(dict.fromkeys(y for x in notes for y in x["code"])),
        "found": [x["settings"] for x in notes],
        "curve": [x["curve"] for x in notes],
        "epoch": [x["epoch"] for x in notes],
        "ended": [_end(x) for x in notes],
        "rising": any(rising),
        "seconds_per_epoch": [round(x["seconds"] / x["curve"][-1][0], 2) for x in notes],
        "num_parameters": size,
        "weights": {k: round(v, 4) for k, v in model.view_weights().items()},
        "modalities": {k: int(x.sum()) for k, x in modalities((seen or [whole])[0])[1].items()},
        **fitted,
        **groups,
        **more,
    }


def _end(notes: Notes) -> str:
    # Why training ended.
    if "last_epoch" in notes:
        return "budget"
    return (
        "patience" if notes["curve"][-1][0] < notes["settings"][1].get("epochs", 100) else "epochs"
    )


def pack(rank: torch.Tensor) -> str:
    """The ranks of facts as text, small."""
    return base64.b85encode(zlib.compress((2 * rank).round().int().numpy().tobytes(), 9)).decode()


def unpack(text: str) -> np.ndarray:
    """What `pack` was given, of shape `[2, M]`."""
    found = np.frombuffer(zlib.decompress(base64.b85decode(text)), dtype=np.int32)
    return found.reshape(2, -1) / 2
