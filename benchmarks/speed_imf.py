"""Queries that IMF trains on per second, beside the same model written plainly (`plain.py`).

The facts are those of FB15K-237; features are random, as they do not change the work: 4,096 visual
and 768 textual ones of every entity. IMF has four views (structure, images, texts, fused), of
`--hidden_channels` each. A step is all that training takes: the batch, losses, gradients, and the
optimizer. Plainly, batches are of 256 queries with Adam as PyTorch has it by default, in float32.

Steps of both take turns. Products are counted in every step; their share of the machine's own rate
is that of a product of two large square matrices of the same type, measured in the same run.
`--keep_memory` is without the page faults of large temporaries, for both.
"""

import argparse
import copy
import time
from itertools import islice
from statistics import median

import plain
import torch
from clock import keep_memory
from graphs import graph
from results import append
from torch.utils.flop_counter import FlopCounterMode

from torch_imf import IMF, train
from torch_imf.data import QueryLoader
from torch_imf.transforms import AddInverse

parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--batch_size", type=int, default=4096)
parser.add_argument("--plain_batch_size", type=int, default=256)
parser.add_argument("--hidden_channels", type=int, default=256)
parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--steps", type=int, default=4, help="Steps of a turn.")
parser.add_argument("--repeats", type=int, default=3, help="Turns, after one to warm up.")
parser.add_argument("--keep_memory", action="store_true")
parser.add_argument("--profile", action="store_true", help="Print the operators that take longest.")
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()


DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def wait() -> None:
    """Waits for a GPU."""
    if DEVICE == "cuda":
        torch.cuda.synchronize()


def rate(dtype: torch.dtype, size: int = 4096) -> float:
    """Operations per second of a product of two square matrices."""
    x = torch.randn(size, size, device=DEVICE).to(dtype)
    x @ x
    wait()
    start = time.perf_counter()
    x @ x
    wait()
    return 2 * size**3 / (time.perf_counter() - start)


start = time.perf_counter()
torch.set_num_threads(args.threads)
if args.keep_memory:
    keep_memory()
torch.manual_seed(args.seed)
data = AddInverse()(graph("fb15k237")).to(DEVICE)
(head_index, tail_index) = data.edge_index[:, data.train_mask]
rel_type = data.edge_type[data.train_mask]
x_dict = {"visual": torch.rand(data.num_nodes, 4096), "text": torch.rand(data.num_nodes, 768)}
model = IMF(
    *(data.num_nodes, data.num_relations, args.hidden_channels, x_dict),
    views=["struct", "visual", "text", "fused"],
).to(DEVICE)
other = copy.deepcopy(model)
optimizer = torch.optim.AdamW(model.parameters(), fused=True)
other_optimizer = torch.optim.Adam(other.parameters())


def batches(batch_size: int):
    loader = QueryLoader(head_index, rel_type, tail_index, batch_size, shuffle=True)
    while True:  # Those of one size.
        yield from (batch for batch in loader if batch[0].numel() == batch_size)


ours, theirs = batches(args.batch_size), batches(args.plain_batch_size)
steps = {
    "torch_imf": lambda: train(model, islice(ours, args.steps), [optimizer], args.precision),
    "plain": lambda: plain.train(other, islice(theirs, args.steps), other_optimizer),
}
dtype = torch.bfloat16 if args.precision == "bf16" else torch.float
if args.profile:
    steps["torch_imf"]()
    with torch.profiler.profile() as profile:
        steps["torch_imf"]()
    print(profile.key_averages().table(sort_by="self_cpu_time_total", row_limit=20))
seconds: dict[str, list[float]] = {name: [] for name in [*steps, "square"]}
for _ in range(1 + args.repeats):
    for name, step in steps.items():
        begin = time.perf_counter()
        step()
        wait()
        seconds[name].append((time.perf_counter() - begin) / args.steps)
    seconds["square"].append(1 / rate(dtype))
with FlopCounterMode(display=False) as counter:
    steps["torch_imf"]()
flops = counter.get_total_flops() / args.steps
wall = {name: median(times[1:]) for name, times in seconds.items()}
per_second = {
    "torch_imf": args.batch_size / wall["torch_imf"],
    "plain": args.plain_batch_size / wall["plain"],
}
metrics = {
    "queries_per_second": round(per_second["torch_imf"]),
    "plain_queries_per_second": round(per_second["plain"], 1),
    "ratio": round(per_second["torch_imf"] / per_second["plain"], 1),
    "share_of_rate": round(flops / wall["torch_imf"] * wall["square"], 3),
    "products_gflop": round(flops / 1e9),
    "square_gflops": round(1e-9 / wall["square"]),
}
print(metrics)
append("speed_imf", args.seed, time.perf_counter() - start, metrics, settings=vars(args))
