"""Queries that 1-N training on FB15K-237 takes in per second, beside PyKEEN's `LCWATrainingLoop`.

A query is a distinct (head, relation) of the training facts and their inverses, which both train
against all entities by binary cross-entropy with logits, with Adam at its defaults. Sizes are the
same: ComplEx of 256 complex channels (512 reals), ConvE of 200 with 32 filters of 3 x 3 over
images of 10 x 20, and TuckER of 256 x 256. So are dropout and batch normalisation, which are the
defaults of both: none for ComplEx, whose regulariser PyKEEN is told to leave out, dropout of .2, .2
and .3 for ConvE, of .3, .4 and .5 for TuckER. The bias of entities in ConvE is a number per entity
in PyKEEN, the last of the 200 here.

PyKEEN trains on all facts by its own loop, in single precision, which is all that it has on a CPU;
a callback tells the time of its steps, from loading a batch to that of the optimizer, and the first
one of each turn does not count. Ours is `train`, in each of the `--precisions`. All take turns.

Much of what PyKEEN takes for ConvE and TuckER is page faults of large temporaries, and how much
depends on the system. `--keep_memory` is without them, for all. Needs
`pip install torch_imf[benchmark]`.
"""

import argparse
import logging
import os.path as osp
import time
from functools import partial
from itertools import islice
from typing import Any

import torch
from clock import keep_memory, now
from graphs import DATA
from pykeen.losses import BCEWithLogitsLoss
from pykeen.models import ComplEx, ConvE, TuckER
from pykeen.training import LCWATrainingLoop
from pykeen.training.callbacks import TrainingCallback
from pykeen_ranks import factory
from results import append
from torch import Tensor

from torch_imf import KGE, train
from torch_imf.datasets import FB15K237
from torch_imf.transforms import AddInverse

# The number of our channels, which are real, and PyKEEN's model.
MODELS: dict[str, tuple[int, Any]] = {
    "complex": (512, partial(ComplEx, embedding_dim=256, regularizer=None)),
    "conve": (200, partial(ConvE, embedding_dim=200, embedding_height=10, embedding_width=20)),
    "tucker": (256, partial(TuckER, embedding_dim=256, relation_dim=256)),
}


class Enough(Exception):
    """Ends training."""


class Clock(TrainingCallback):
    """Takes the time of some steps after the first one, and ends training."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps = steps
        self.count = 0

    def post_batch(self, *args: Any, **kwargs: Any) -> None:
        if self.count == 0:
            self.begin = now()
        if self.count == self.steps:
            self.times = now() - self.begin
            raise Enough
        self.count += 1


class Ours:
    """Steps of ours in one precision."""

    def __init__(self, name: str, precision: str) -> None:
        self.precision = precision
        self.model = KGE(data.num_nodes, data.num_relations, MODELS[name][0], scorer=name)
        params = list(self.model.parameters())
        self.optimizer = torch.optim.AdamW(params, lr=1e-3, weight_decay=0.0, fused=True)
        self.loader = self.model.loader(*facts, batch_size=args.batch_size, shuffle=True)
        self.steps(1)

    def steps(self, num_steps: int) -> Tensor:
        begin = now()
        train(self.model, islice(self.loader, num_steps), [self.optimizer], self.precision)
        return now() - begin


class Theirs:
    """Steps of PyKEEN."""

    def __init__(self, name: str) -> None:
        self.factory = factory(data, data.train_mask, create_inverse_triples=True)
        kwargs = {"triples_factory": self.factory}
        model = MODELS[name][1](loss=BCEWithLogitsLoss(), **kwargs)
        self.loop = LCWATrainingLoop(
            model=model, optimizer="adam", automatic_memory_optimization=False, **kwargs
        )

    def steps(self, num_steps: int) -> Tensor:
        clock = Clock(num_steps)
        kwargs = {"callbacks": clock, "use_tqdm": False, "pin_memory": False}
        try:
            self.loop.train(self.factory, batch_size=args.pykeen_batch_size, **kwargs)
        except Enough:
            pass
        return clock.times


parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--models", nargs="+", choices=list(MODELS), default=list(MODELS))
parser.add_argument("--batch_size", type=int, default=1024)
parser.add_argument("--pykeen_batch_size", type=int, default=256)
parser.add_argument("--precisions", nargs="+", default=["bf16", "fp32"])
parser.add_argument("--steps", type=int, default=10, help="Steps of a turn.")
parser.add_argument("--repeats", type=int, default=3, help="Turns.")
parser.add_argument("--keep_memory", action="store_true")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()

logging.disable(logging.WARNING)  # PyKEEN says much.
torch.set_num_threads(args.threads)
if args.keep_memory:
    keep_memory()
data = FB15K237(osp.join(DATA, "FB15K-237"), text=None, visual=None, numeric=None)[0]
both = AddInverse()(data)
head_index, tail_index = both.edge_index[:, both.train_mask]
facts = head_index, both.edge_type[both.train_mask], tail_index

for name in args.models:
    start = time.perf_counter()
    torch.manual_seed(args.seed)
    sides: dict[str, Any] = {precision: Ours(name, precision) for precision in args.precisions}
    sides["PyKEEN"] = Theirs(name)
    turns = [{side: x.steps(args.steps) for side, x in sides.items()} for _ in range(args.repeats)]
    metrics: dict[str, Any] = {"model": name}
    for side in reversed(sides):
        seconds = torch.stack([turn[side] for turn in turns]).quantile(0.5, dim=0)
        size = args.pykeen_batch_size if side == "PyKEEN" else args.batch_size
        wall, cpu = (size * args.steps / seconds).tolist()
        rates = {"queries_per_second": round(wall, 1), "queries_per_cpu_second": round(cpu, 1)}
        ratios = {
            f"ratio_of_{key}": round(rate / metrics["PyKEEN"][key], 1)
            for key, rate in rates.items()
            if side != "PyKEEN"
        }
        metrics[side] = {**rates, **ratios}
        print(f"{name:8s} {side:7s} {wall:9,.0f} queries/s {cpu:9,.0f} by CPU", *ratios.values())
    append("speed_peers", args.seed, time.perf_counter() - start, metrics, settings=vars(args))
