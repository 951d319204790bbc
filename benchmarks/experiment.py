"""Trains one model as its settings say, and appends a line to `benchmarks/results/`.

An experiment is a benchmark, a label, settings and a seed. One that has a line already is not run
again, and one that was interrupted goes on from its checkpoint: a benchmark is resumed by its own
command. The epoch is selected on validation, and the test facts are ranked once.
"""

import argparse
import copy
import hashlib
import json
import os
import os.path as osp
import time
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from configs import CONFIGS
from graphs import DATA, graph
from results import RESULTS, append, commit

from torch_imf import MultimodalKGE, build_model, evaluate, fit, fit_view_weights
from torch_imf.data import mean_rank_percentile, modalities
from torch_imf.data.graph import prepare as to_device
from torch_imf.nn import StructuralEmbedding, StructuralEncoder
from torch_imf.transforms import DropModality

Settings = dict[str, Any]
load = cache(graph)
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
ENCODERS: dict[str, StructuralEncoder] = {}


def prepare(settings: Settings) -> Any:
    """Returns the graph of an experiment, with `drop` (modality -> share) of features removed,
    `modalities` alone left, and features dealt anew among the entities that have them, if
    `shuffle` is set.
    """
    data = copy.copy(load(settings["graph"]))
    for name, ratio in settings.get("drop", {}).items():
        data = DropModality(name, ratio)(data)
    keep = settings.get("modalities")
    for name in modalities(data)[0]:
        if keep is not None and name not in keep:
            del data[f"x_{name}"], data[f"{name}_mask"]
        elif settings.get("shuffle", False):
            index = data[f"{name}_mask"].nonzero().view(-1)
            generator = torch.Generator().manual_seed(0)
            perm = index[torch.randperm(index.numel(), generator=generator)]
            data[f"x_{name}"] = data[f"x_{name}"].index_copy(0, index, data[f"x_{name}"][perm])
    return data


def structure(settings: Settings, data: Any, seed: int) -> Settings:
    """Trains the structural encoder that `struct` describes, if it is given, and returns the
    arguments of IMF that make it its structural view: as the embeddings to start from, `frozen` as
    in the paper, or `joint`ly trained.
    """
    if "struct" not in settings:
        return {}
    struct = dict(settings["struct"])
    use, channels = struct.pop("use"), settings["model"]["hidden_channels"]
    name = json.dumps([settings["graph"], struct, channels, seed], sort_keys=True)
    if name not in ENCODERS:  # One for all variants of a seed.
        kwargs = struct.pop("fit")
        torch.manual_seed(seed)
        encoder = StructuralEncoder(data.num_nodes, data.num_relations, channels, **struct)
        fit(encoder.to(DEVICE), data, patience=None, **kwargs)
        ENCODERS[name] = encoder
    encoder = copy.deepcopy(ENCODERS[name])
    if use == "joint":
        return {"struct": encoder.cpu().register_graph(data)}
    return {"struct": StructuralEmbedding(encoder.encode(data).cpu(), freeze=use == "frozen")}


def build(settings: Settings, data: Any, seed: int) -> MultimodalKGE:
    """Builds the model of an experiment: `IMF`, `KGE` where settings say `alone`, or the `class`
    that they name.
    """
    struct = structure(settings, data, seed)
    torch.manual_seed(seed)
    model = dict(settings["model"])
    if "gate" in model:  # The share of relations that RSME keeps.
        (head, tail), rel = data.edge_index[:, data.train_mask], data.edge_type[data.train_mask]
        x_dict, mask_dict = modalities(data)
        name = next(iter(x_dict))
        features = (x_dict[name], mask_dict[name], data.num_relations)
        percentile = mean_rank_percentile(head, rel, tail, *features)
        model["gate"] = (percentile <= percentile.quantile(model["gate"])).float()
    name = "kge" if settings.get("alone", False) else settings.get("class", "imf")
    return build_model(name, data, **model, **struct)


def key(label: str, settings: Settings, seed: int) -> str:
    """What tells an experiment from others of its benchmark."""
    return json.dumps([label, settings, seed], sort_keys=True)


def lines(benchmark: str) -> list[dict[str, Any]]:
    """The lines of a benchmark so far."""
    path = osp.join(RESULTS, f"{benchmark}.jsonl")
    if not osp.exists(path):
        return []
    out = []
    with open(path) as f:
        for number, line in enumerate(f, start=1):
            try:
                out.append(json.loads(line))
            except json.JSONDecodeError as e:
                raise SystemExit(f"'{path}', line {number} is no JSON, remove it ({e})") from e
    return out


def run(
    benchmark: str,
    label: str,
    settings: Settings,
    seed: int,
    extra: Callable[[MultimodalKGE, Any], Settings] | None = None,
) -> dict[str, Any]:
    """Returns the line of an experiment, which is run if there is none.

    Args:
        benchmark: The name of the file of results.
        label: The row of the table.
        settings: `graph`, `model`, `fit` and the options of `prepare` and `build`.
        seed: The seed of parameters and batches.
        extra: Called with the trained model and the graph, for further metrics.
    """
    settings = json.loads(json.dumps(settings))
    for line in lines(benchmark):
        if key(line.get("label", ""), line.get("settings", {}), line["seed"]) == key(
            label, settings, seed
        ):
            return line
    digest = hashlib.sha256(key(label, settings, seed).encode()).hexdigest()[:16]
    checkpoint = osp.join(DATA, "checkpoints", f"{benchmark}-{digest}.pt")
    data = prepare(settings)
    print(f"{benchmark}: {settings['graph']}, {label}, seed {seed}", flush=True)
    start = time.perf_counter()
    # Kept beside the checkpoint, so that an interrupted run counts as a whole:
    past = {"seconds": 0.0, "code": [commit()]}
    if osp.exists(checkpoint) and osp.exists(f"{checkpoint}.json"):
        with open(f"{checkpoint}.json") as f:
            past = json.load(f)
        past["code"] = list(dict.fromkeys([*past["code"], commit()]))
    model = build(settings, data, seed).to(DEVICE)

    def seconds() -> float:
        return past["seconds"] + time.perf_counter() - start

    def report(entry: dict[str, float]) -> None:
        with open(f"{checkpoint}.json", "w") as f:
            json.dump({**past, "seconds": seconds()}, f)
        print(
            f"  epoch {entry['epoch']:3.0f}, loss {entry['loss']:.4f}, val MRR {entry['mrr']:.4f}, "
            f"{seconds() / 60:.1f} min",
            flush=True,
        )

    history = fit(
        model, data, checkpoint=checkpoint, callback=report, patience=None, **settings["fit"]
    )
    best = max(history, key=lambda entry: entry["mrr"])
    if settings.get("fit_view_weights", False):
        model = fit_view_weights(model, data, extra=[])
        best = {**best, "mrr": model.fitted["mrr"]}
    out = evaluate(model, data)
    metrics = {k: round(v, 5) for k, v in out.items() if not isinstance(v, dict)}
    metrics["val_mrr"] = round(best["mrr"], 5)
    line = append(
        benchmark,
        seed,
        seconds(),
        metrics,
        code=past["code"],
        label=label,
        settings=settings,
        epoch=best["epoch"],
        curve=[[entry["epoch"], round(entry["mrr"], 4)] for entry in history],
        num_parameters=sum(p.numel() for p in model.parameters() if p.requires_grad),
        weights={k: round(v, 4) for k, v in model.view_weights().items()},
        modalities={name: int(mask.sum()) for name, mask in modalities(data)[1].items()},
        **(extra(model, to_device(model, data)) if extra is not None else {}),
    )
    for path in (checkpoint, f"{checkpoint}.json"):
        if osp.exists(path):
            os.remove(path)
    print(f"  test MRR {metrics['mrr']:.4f}", flush=True)
    return json.loads(line)


def save_figure(fig: Any, path: str) -> None:
    """Writes a figure of matplotlib, and the folders above it."""
    fig.tight_layout()
    os.makedirs(osp.dirname(osp.abspath(path)), exist_ok=True)
    fig.savefig(path, dpi=150)


def parser(
    description: str | None, seeds: int, graphs: Sequence[str] = tuple(CONFIGS)
) -> argparse.ArgumentParser:
    """The arguments that all benchmarks share. The first graph is the default."""
    out = argparse.ArgumentParser(
        description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    out.add_argument("--graph", default=graphs[0], choices=graphs)
    out.add_argument("--seeds", type=int, default=seeds)
    out.add_argument("--threads", type=int, default=min(2, torch.get_num_threads()))
    return out
