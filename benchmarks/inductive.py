"""How well models know entities that training never saw, by their texts and pictures.

    python benchmarks/inductive.py --graph openmoji
    python benchmarks/inductive.py --graph fb15k237 --seeds 1

The splits are those of `scheme="inductive"`. All models are AdaMF with ComplEx, against entities
with a training fact, and where they have structure, it is hidden for half of the entities of each
batch. Rows with `+` are votes (`torch_imf.fit_view_weights`) of the models above. What has its line
is not trained again, unless a vote needs it.

The epoch is chosen on up to 2,000 validation facts, and weights are fitted to others.
"""

import os.path as osp
import time

import torch
from configs import INDUCTIVE
from experiment import DATA, lines, parser
from graphs import graph
from results import append

from torch_imf import build_model, evaluate, fit, fit_view_weights
from torch_imf.registry import resolve
from torch_imf.training.controls import noise, replaced, shuffle, with_modalities
from torch_imf.training.recipe import few


def report(label, seed, start, model, val, **settings):
    """Ranks the test facts and keeps the line."""
    out = evaluate(model, data, by="new")
    metrics = {k: round(v, 5) for k, v in out.items() if not isinstance(v, dict)}
    metrics |= {"val_mrr": round(val, 5)}
    metrics |= {key: round(out[key]["mrr"], 5) for key in ("head", "tail")}
    metrics |= {f"new {key}": round(x["mrr"], 5) for key, x in out["new"].items()}
    weights = {view: round(x, 4) for view, x in model.view_weights().items()}
    seconds = time.perf_counter() - start
    settings = {"graph": f"{args.graph}-inductive", **settings}
    append("inductive", seed, seconds, metrics, label=label, settings=settings, weights=weights)
    print(f"{label}, seed {seed}: val {val:.4f}, test MRR {metrics['mrr']:.4f}", flush=True)


def is_new(label, seed):
    """Whether a line is missing."""
    return (f"{args.graph}-inductive", label, seed) not in done


args = parser(__doc__, seeds=3, graphs=tuple(INDUCTIVE)).parse_args()
torch.set_num_threads(args.threads)
data, settings = graph(f"{args.graph}-inductive"), INDUCTIVE[args.graph]
done = {(x["settings"]["graph"], x["label"], x["seed"]) for x in lines("inductive")}
for seed in range(args.seeds):
    start, models = time.perf_counter(), {}
    votes = [(x, y) for x, (y, _) in settings["votes"].items() if is_new(x, seed)]
    needed = {member for _, members in votes for member in members}
    for number, (label, own) in enumerate(settings["models"].items()):
        if label not in needed and not is_new(label, seed):
            continue
        seen = with_modalities(data, own["modalities"])
        if "names" in own:
            seen.x_text, seen.text_mask = resolve("encoder", own["names"])(data.node_names)
        if "replace" in own:
            seen = replaced(seen, {"noise": noise, "shuffled": shuffle}[own["replace"]], seed)
        torch.manual_seed(seed + 1000 * number)
        struct = {"struct.dropout": 0.5} if own.get("structure", True) else {"struct": False}
        name, struct = ("adamf", struct) if own["modalities"] else ("kge", {})
        model = build_model(name, seen, **settings["model"], **struct)
        path = osp.join(DATA, "checkpoints", f"inductive-{args.graph}-{number}-{seed}.pt")
        history = fit(model, few(seen, 0, 2000), **settings["fit"], checkpoint=path, callback=print)
        val = max(x["mrr"] for x in history)
        models[label] = model
        if is_new(label, seed):
            report(label, seed, start, model, val, **own)
    for label, (members, extra) in settings["votes"].items():
        if not is_new(label, seed):
            continue
        vote = fit_view_weights([models[x] for x in members], data, extra)
        report(label, seed, start, vote, vote.fitted["mrr"], members=members, extra=extra)
