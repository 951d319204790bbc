"""Queries per second of each scorer beside DistMult, on a graph of the size of FB15K-237.

Embeddings and facts are random, as they do not change the work: 14,541 entities, 237 relations.
Ranking is that of `evaluate`: the tails of queries among all entities, filtered. Training is a step
with the loss of the scorer's own settings, or against all entities by softmax, and with an
optimizer, over facts with their negatives or queries with all of their answers. DistMult takes
turns with each, and ratios are of the time of the CPU, which other processes disturb less.

    python benchmarks/speed_scorers.py                  # all, 128 channels
    python benchmarks/speed_scorers.py --scorers convkb capse --num_queries 512

A scorer that has a line with the same settings is not measured again.
"""

import argparse
import time
from itertools import islice
from typing import Any

import torch
from clock import now
from results import append
from torch import Tensor
from torch_geometric.data import Data

from torch_imf import build_model, registry, train
from torch_imf.data import TripletIndex
from torch_imf.evaluation.ranking import rank_tails

NUM_NODES, NUM_RELATIONS, NUM_FACTS = 14541, 237, 20000
SCORERS = [name for name in registry.classes("scorer") if name != "distmult"]


class Side:
    """A scorer on random embeddings."""

    def __init__(self, name: str) -> None:
        torch.manual_seed(args.seed)
        settings = {"loss": "ce", **registry.lookup("scorer", name).settings, "scorer": name}
        parts = {key: x for key, x in settings.items() if key.split(".")[0] in ("loss", "scorer")}
        self.loss = parts["loss"]
        self.model = build_model("kge", data, hidden_channels=args.hidden_channels, **parts)
        self.optimizers = [torch.optim.AdamW(self.model.parameters(), fused=True)]
        self.loader = self.model.loader(*facts, batch_size=args.batch_size, shuffle=True)

    def rank(self, num_queries: int) -> Tensor:
        """The time to rank the tails of so many facts."""
        some, begin = [x[:num_queries] for x in facts], now()
        rank_tails(self.model, *some, index)
        return now() - begin

    def train(self) -> Tensor:
        """The time of a step."""
        begin = now()
        train(self.model, islice(self.loader, 1), self.optimizers)
        return now() - begin


parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--scorers", nargs="+", choices=SCORERS, default=SCORERS)
parser.add_argument("--hidden_channels", type=int, default=128)
parser.add_argument("--batch_size", type=int, default=512)
parser.add_argument("--num_queries", type=int, default=1024, help="Facts to rank.")
parser.add_argument("--repeats", type=int, default=3)
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()

torch.set_num_threads(args.threads)
torch.manual_seed(args.seed)
head_index, tail_index = torch.randint(NUM_NODES, (2, NUM_FACTS))
facts = head_index, torch.randint(2 * NUM_RELATIONS, (NUM_FACTS,)), tail_index
index = TripletIndex(*facts)
data = Data(
    num_nodes=NUM_NODES,
    num_relations=NUM_RELATIONS,
    edge_index=torch.stack([head_index, tail_index]),
    edge_type=facts[1] % NUM_RELATIONS,
    train_mask=torch.ones(NUM_FACTS, dtype=torch.bool),
    **{f"{split}_mask": torch.zeros(NUM_FACTS, dtype=torch.bool) for split in ("val", "test")},
)
settings = {key: x for key, x in vars(args).items() if key not in ("scorers", "repeats")}
for name in args.scorers:
    start, sides = time.perf_counter(), {x: Side(x) for x in ("distmult", name)}
    metrics: dict[str, Any] = {"loss": sides[name].loss}
    for what, size in (("rank", args.num_queries), ("train", args.batch_size)):
        turns = [
            {x: getattr(side, what)(*[size] * (what == "rank")) for x, side in sides.items()}
            for _ in range(1 + args.repeats)
        ][1:]  # The first one warms up.
        seconds = {x: torch.stack([y[x] for y in turns]).median(dim=0).values for x in sides}
        wall, cpu = (size / seconds[name]).tolist()
        metrics[what] = {
            "queries_per_second": round(wall, 1),
            "queries_per_cpu_second": round(cpu, 1),
            "times_distmult": round(float(seconds[name][1] / seconds["distmult"][1]), 1),
        }
    append(
        "speed_scorers",
        args.seed,
        time.perf_counter() - start,
        metrics,
        label=name,
        settings=settings,
    )
    print(name, metrics, flush=True)
