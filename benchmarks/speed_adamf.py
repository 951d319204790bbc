"""Facts with negatives that AdaMF trains on per second, on a graph of the size of DB15K.

Features and facts are random, as they do not change the work: 12,842 entities with 4,096 visual
and 768 textual features each, 279 relations, 79,222 facts. A step is all that training takes:
drawing negatives, losses, gradients and fused AdamW, for the model and, with `--adversary`, for its
generators. A fact with K negatives counts as 1 + K triples.

Given a `--reference`, a Python file with a function `make(x_dict, facts, num_relations,
hidden_channels, batch_size, num_negatives, adversary)` that returns a function to take one step of
another implementation, steps of both take turns. The time of the CPU is also told, which other
processes on the machine disturb less.
"""

import argparse
import runpy
import time
from itertools import islice
from statistics import median

import torch
from results import append

from torch_imf import AdaMF, train
from torch_imf.nn import Adversary, Sampled

parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--batch_size", type=int, default=1024)
parser.add_argument("--num_negatives", type=int, default=128)
parser.add_argument("--hidden_channels", type=int, default=500)
parser.add_argument("--precision", choices=["bf16", "fp32"], default="fp32")
parser.add_argument("--adversary", action="store_true")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--steps", type=int, default=3, help="Steps to take, after one to warm up.")
parser.add_argument("--reference", help="Another implementation to take turns with.")
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()

NUM_NODES, NUM_RELATIONS, NUM_FACTS = 12842, 279, 79222

start = time.perf_counter()
torch.set_num_threads(args.threads)
torch.manual_seed(args.seed)
x_dict = {"visual": torch.rand(NUM_NODES, 4096), "text": torch.rand(NUM_NODES, 768)}
head_index, tail_index = torch.randint(NUM_NODES, (2, NUM_FACTS))
rel_type = torch.randint(NUM_RELATIONS, (NUM_FACTS,))
sizes = (NUM_RELATIONS, args.hidden_channels)
model = AdaMF(
    *(NUM_NODES, *sizes, x_dict),
    loss=Sampled(args.num_negatives),
    adversary=Adversary() if args.adversary else None,
)
optimizers = [torch.optim.AdamW(params, fused=True) for _, params, _ in model.objectives()]
both = torch.cat([head_index, tail_index]), torch.cat([rel_type, rel_type + NUM_RELATIONS])
loader = model.loader(
    *both, torch.cat([tail_index, head_index]), batch_size=args.batch_size, shuffle=True
)
steps = {"torch_imf": lambda: train(model, islice(loader, 1), optimizers, args.precision)}
if args.reference is not None:
    facts = torch.stack([head_index, rel_type, tail_index])
    make = runpy.run_path(args.reference)["make"]
    settings = args.batch_size, args.num_negatives, args.adversary
    steps["reference"] = make(x_dict, facts, *sizes, *settings)

seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in steps}
for _ in range(1 + args.steps):
    for name, step in steps.items():
        begin = time.perf_counter(), time.process_time()
        step()
        seconds[name].append((time.perf_counter() - begin[0], time.process_time() - begin[1]))

num_triples, metrics = args.batch_size * (1 + args.num_negatives), {}
for name, times in seconds.items():
    wall, cpu = (median(x) for x in zip(*times[1:], strict=True))
    metrics[name] = {
        "seconds": round(wall, 3),
        "cpu_seconds": round(cpu, 3),
        "triples_per_second": round(num_triples / wall),
    }
    print(f"{name}: {wall:.2f} s a step ({cpu:.2f} s of CPU), {num_triples / wall:,.0f} triples/s")
if args.reference is not None:
    for key in ("seconds", "cpu_seconds"):
        ratio = metrics["reference"][key] / metrics["torch_imf"][key]
        metrics[f"ratio_of_{key}"] = round(ratio, 1)
        print(f"{ratio:.1f} times faster by {key.replace('_', ' ')}")
append("speed_adamf", args.seed, time.perf_counter() - start, metrics, settings=vars(args))
