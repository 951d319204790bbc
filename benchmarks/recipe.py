"""What `torch-imf train` reaches with its recipes, and with the defaults of the constructors.

    python benchmarks/recipe.py --graph countries --seeds 3

Each row is a command as it is typed, run in a folder of its own. The recipes of the papers and of
their released code are made for larger graphs and GPUs: they are run with 64 of their 256 or 400
channels, for 200 of their 1,000 epochs.
"""

import argparse
import contextlib
import io
import json
import os
import os.path as osp
import tempfile
import time

import torch
from graphs import DATA
from results import RESULTS, append

from torch_imf.cli import main

MIRROR = os.environ.get("TORCH_IMF_MIRROR", "")
GRAPHS = {
    "countries": [],
    "kinships": [],
    "codex-s": [],
    "mkgy": ["--root", osp.join(DATA, "MKGY"), "--scheme", "clean", "--visual-encoder", "none"],
}
#: Where graphs are that no dataset of the package is for.
FOLDERS = {"kinships": "Kinships/ConvE", "codex-s": "CoDEx-S/codex"}
SMALL = ["--hidden-channels", "64", "--epochs", "200"]
ROWS = {
    "IMF": [],
    "AdaMF": ["--model", "adamf"],
    "KGE": ["--model", "kge"],
    "IMF, constructor defaults": ["--recipe", "none"],
    "AdaMF, constructor defaults": ["--model", "adamf", "--recipe", "none"],
    "IMF, paper": ["--recipe", "paper", *SMALL],
    "IMF, released": ["--recipe", "released", *SMALL, "--rel-channels", "64"],
    "AdaMF, paper": ["--model", "adamf", "--recipe", "paper", *SMALL],
    "AdaMF, released": ["--model", "adamf", "--recipe", "released", *SMALL],
}

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--graph", choices=GRAPHS, default="countries")
parser.add_argument("--rows", nargs="+", choices=ROWS, default=list(ROWS))
parser.add_argument("--seeds", type=int, default=3)
parser.add_argument("--threads", type=int, default=1)
args = parser.parse_args()
torch.set_num_threads(args.threads)  # As the line tells.

path = osp.join(RESULTS, "recipe.jsonl")
done = set()
if osp.exists(path):
    with open(path) as f:
        lines = [json.loads(line) for line in f]
    done = {(line["settings"]["graph"], line["label"], line["seed"]) for line in lines}

for label in args.rows:
    for seed in range(args.seeds):
        if (args.graph, label, seed) in done:
            continue
        start, out = time.perf_counter(), io.StringIO()
        source = osp.join(MIRROR, FOLDERS[args.graph]) if args.graph in FOLDERS else args.graph
        words = ["train", source, *GRAPHS[args.graph], *ROWS[label], "--seed", str(seed)]
        words += ["--threads", str(args.threads), "--quiet", "--json"]
        with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(out):
            if main([*words, "--out", folder]) != 0:
                raise SystemExit(f"'torch-imf {' '.join(words)}' failed")
        found = json.loads(out.getvalue())
        metrics = {k: round(x, 5) for k, x in found["test"].items() if not isinstance(x, dict)}
        metrics["val_mrr"] = round(found.get("votes", found["val"])["mrr"], 5)
        settings = {"graph": args.graph, **found["settings"]}
        info = {"label": label, "settings": settings, "epoch": found["epoch"]}
        info["votes"] = found.get("votes")
        append("recipe", seed, time.perf_counter() - start, metrics, **info)
        print(f"{label}, seed {seed}: test MRR {metrics['mrr']:.4f}", flush=True)
