"""What views that need no training, and several models, add to one (`torch_imf.fit_view_weights`).

    python benchmarks/views.py --graph mkgy --seeds 3

Each seed finds its recipe, trains the members of the graph, and ranks:

- `model`: one model as trained, with its own views;
- `+ types`, `+ rules`, `+ features`: the same model, voting with the prior of types, with rules as
  well, and with what features tell by themselves;
- `ensemble`: all models, voting with all of these. The rows before are of the first one.

Weights are fitted to validation facts; the validation MRR of a vote is cross-validated.
"""

import json
import os.path as osp
import time

import torch
from configs import VIEWS
from experiment import parser
from graphs import graph
from results import RESULTS, append

from torch_imf import evaluate, fit, fit_view_weights, recipe

args = parser(__doc__, seeds=3, graphs=tuple(VIEWS))
args = args.parse_args()
torch.set_num_threads(args.threads)
data, path = graph(args.graph), osp.join(RESULTS, "views.jsonl")
done = set()
if osp.exists(path):
    with open(path) as f:
        lines = [json.loads(line) for line in f]
    done = {(line["settings"]["graph"], line["label"], line["seed"]) for line in lines}


def report(label, seed, start, model, val, settings, **info):
    """Ranks the test facts and keeps the line."""
    out = evaluate(model, data)
    metrics = {k: round(v, 5) for k, v in out.items() if not isinstance(v, dict)}
    metrics["val_mrr"] = round(val, 5)
    weights = {view: round(x, 4) for view, x in model.view_weights().items()}
    info = {"label": label, "settings": settings, "weights": weights, **info}
    append("views", seed, time.perf_counter() - start, metrics, **info)
    print(f"{label}, seed {seed}: val {val:.4f}, test MRR {metrics['mrr']:.4f}", flush=True)


for seed in range(args.seeds):
    if (args.graph, "ensemble", seed) in done:
        continue
    start, members = time.perf_counter(), []
    for number, (name, given) in enumerate(VIEWS[args.graph]):
        settings = recipe(name, data, given, seed=seed)
        torch.manual_seed(seed + 1000 * number)
        model = settings.build(data)
        history = fit(model, data, **settings.fit)
        members.append(model)
        curve = [[x["epoch"], round(x["mrr"], 4)] for x in history]
        about = {"graph": args.graph, "model": name, **settings}
        if number == 0:
            best = max(x["mrr"] for x in history)
            report("model", seed, start, model, best, about, curve=curve)
            rows = {"+ types": ["types"], "+ rules": ["types", "rules"], "+ features": None}
            for label, extra in rows.items():
                vote = fit_view_weights(model, data, extra)
                report(label, seed, start, vote, vote.fitted["mrr"], about, fitted=vote.fitted)
    vote = fit_view_weights(members, data)
    about = {"graph": args.graph, "members": VIEWS[args.graph]}
    report("ensemble", seed, start, vote, vote.fitted["mrr"], about, fitted=vote.fitted)
