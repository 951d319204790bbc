"""Whether features help, beside what cannot: `torch_imf.training.controls`, a line for each row.

    python benchmarks/controls.py --graph openmoji --model adamf --seeds 3

The recipe is found once, and every row is trained by it, with each seed anew. Types, rules and what
features tell by themselves vote in all rows, made of the features that the row has.
"""

import time

import torch
from experiment import lines, parser
from graphs import graph
from results import append

from torch_imf import recipe
from torch_imf.training import controls

args = parser(__doc__, seeds=3, graphs=("countries", "openmoji", "mkgy", "mkgw"))
args.add_argument("--model", default="adamf", help="(default: adamf)")
args = args.parse_args()
torch.set_num_threads(args.threads)
data = graph(args.graph)
settings = recipe(args.model, data)
about = {"graph": args.graph, "model": args.model, **settings}
done = {(x["settings"]["graph"], x["settings"]["model"], x["seed"]) for x in lines("controls")}
for seed in range(args.seeds):
    if (args.graph, args.model, seed) in done:
        continue
    start = time.perf_counter()
    found = controls(settings, data, seeds=(seed,))
    seconds = time.perf_counter() - start
    for row, x in found.items():
        metrics = {"mrr": round(x["test"][0], 5), "val_mrr": round(x["val"][0], 5)}
        append("controls", seed, seconds, metrics, label=row, settings=about)
        print(f"{row}, seed {seed}: val {x['val'][0]:.4f}, test MRR {x['test'][0]:.4f}", flush=True)
