"""What a row computes, in a few numbers: those of a tiny graph, for the code, and of its own graph,
for the data. A line that was made with other numbers is stale.

They are losses, gradients and ranks, and not the text of the code, so that renaming changes none.
Numbers are compared with a tolerance, as machines and numbers of threads differ in the last digits.
"""

import hashlib
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from experiment import built, found, prepare
from graphs import MODALITIES
from torch_geometric.data import Data

from torch_imf import evaluate, fit_view_weights
from torch_imf.data import modalities
from torch_imf.datasets import FakeMMKG
from torch_imf.training import make_loader, make_optimizers, train
from torch_imf.training.recipe import EPOCHS, NUM_CANDIDATES, NUM_FACTS, WEIGHTS

Numbers = dict[str, list[float]]
#: Sizes of a model for the tiny graph, where it has them.
SIZES = {
    "rel_channels": 8,
    "fusion.latent_channels": 8,
    "loss.num_candidates": 40,
    "loss.num_negatives": 4,
}
TOLERANCE = 2e-3


@cache
def tiny() -> Data:
    return FakeMMKG(num_nodes=60)[0]


def fingerprint(row: Mapping[str, Any], graph: str) -> Numbers:
    """The numbers of the model of each member of a row, and of its vote."""
    known = MODALITIES[row.get("graph", graph)]
    out: Numbers = {}
    if any(x.get("recipe") == "best" for x in row["members"]):  # What is tried.
        out["search"] = [*WEIGHTS, EPOCHS, NUM_FACTS, NUM_CANDIDATES]
    for number, member in enumerate(row["members"]):
        data = dict(member.get("data", {}))
        data["modalities"] = [x for x in known if x in data.get("modalities", known)]
        out[f"member {number}"] = _of_member(json.dumps({**member, "data": data}, sort_keys=True))
    if "vote" in row:
        vote = row["vote"]
        out["vote"] = _of_vote(None if vote is None else tuple(vote), len(row["members"]))
    return out


def of_command(models: Sequence[Mapping[str, Any]]) -> Numbers:
    """The numbers of the models that a script measures."""
    return fingerprint({"members": models}, "fb15k237")


@contextmanager
def _alone() -> Iterator[None]:
    # A seed and a thread of its own.
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
    torch.set_num_threads(threads)


@cache
def _of_member(text: str) -> list[float]:
    # Ranks and losses of two epochs of a step each, with the gradients of the first.
    member = json.loads(text)
    member = {k: SIZES.get(k, x) for k, x in member.items() if k != "structure"}
    member |= {"hidden_channels": 16, "batch_size": 10**6}
    with _alone():
        data = prepare(tiny(), member, 0)
        settings = found(member, data, 0, search=False)
        if "structure" in settings:  # Its encoder is one of the package, and trained for an epoch.
            settings["structure"] = {**settings["structure"], "fit": {"epochs": 1}}
        model = built(settings, data)
        rank = evaluate(model, data)
        out = [float(rank[x]) for x in ("mr", "mrr")]  # type: ignore[arg-type]
        kept = ("lr", "dense_lr", "optimizer", "weight_decay")
        rates = {key: x for key, x in settings.fit.items() if key in kept}
        optimizers = make_optimizers(model, rates.pop("lr", 1e-3), **rates)
        loader = make_loader(model, data, settings["batch_size"])
        out.append(train(model, loader, optimizers))
        grads = [x.grad for x in model.parameters() if x.grad is not None]
        out.append(math.sqrt(sum(float(x.to_dense().square().sum()) for x in grads)))
        out.append(train(model, loader, optimizers))
    return [float(f"{x:.5g}") for x in out]


@cache
def _of_vote(extra: tuple[str, ...] | None, num_members: int) -> list[float]:
    # What views count that vote with models of random embeddings, and what they reach.
    data = tiny()
    with _alone():
        settings = {"class": "kge", "hidden_channels": 16, "scorer": "distmult"}
        models = [built(found(settings, data, 0, False), data) for _ in range(num_members)]
        names = None if extra is None else list(extra)
        voting = fit_view_weights(models, data, names, num_facts=40, by="all")
        mrr = float(evaluate(voting, data)["mrr"])  # type: ignore[arg-type]
    return [float(f"{x:.4g}") for x in (voting.fitted["mrr"], mrr)]


def of_data(data: Data) -> dict[str, list[float | str]]:
    """The numbers of a graph: its sizes, with a hash of its facts, and those of its features."""
    facts = torch.stack([*data.edge_index, data.edge_type])
    out: dict[str, list[float | str]] = {}
    for name in ("train", "val", "test"):
        some = facts[:, data[f"{name}_mask"]].t().unique(dim=0)
        digest = hashlib.sha256(some.numpy().tobytes()).hexdigest()[:12]
        out[name] = [len(some), digest]
    for name, x in modalities(data)[0].items():
        size = float(x.float().norm() / math.sqrt(x.numel()))  # Whatever the signs of components.
        out[name] = [*x.shape, float(f"{size:.4g}")]
    return out


def difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    """Which numbers are others, or nothing."""
    for name in dict.fromkeys([*old, *new]):
        x, y = old.get(name), new.get(name)
        if x is None or y is None or len(x) != len(y) or not all(map(_alike, x, y)):
            return f"{name}: {x} is {y} now"
    return ""


def _alike(x: float | str, y: float | str) -> bool:
    if isinstance(x, str) or isinstance(y, str):
        return x == y
    return math.isclose(x, y, rel_tol=TOLERANCE, abs_tol=1e-6) or x != x and y != y
