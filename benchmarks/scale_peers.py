"""Facts that sampled training takes in per second on a large graph, beside PyKEEN's
`SLCWATrainingLoop`: DistMult or ComplEx of 256 numbers per entity, with 64 negatives, which a batch
of ours shares by 128 facts and PyKEEN draws for each, on the synthetic graph of `scale.py`.

    python benchmarks/scale_peers.py --num_nodes 1000000

Both are trained by Adagrad, on one thread. The gradients of PyKEEN are those of whole tables, so
that a step costs all entities however few facts it has; it may take more facts per step
(`--their_batch_size`). Lines hold facts per second of the processor, and how many times theirs.
Needs `pip install torch_imf[benchmark]`.
"""

import argparse
import logging
import resource
from itertools import islice
from typing import Any

import torch
from clock import now
from pykeen.losses import NSSALoss
from pykeen.models import ComplEx, DistMult
from pykeen.training import SLCWATrainingLoop
from pykeen.training.callbacks import TrainingCallback
from pykeen.triples import CoreTriplesFactory
from results import append
from scale import zipf_graph

from torch_imf import KGE, train
from torch_imf.nn import Sampled
from torch_imf.training import make_loader, make_optimizers

#: Numbers per entity of ours, and the embeddings of PyKEEN, which are complex for ComplEx.
MODELS = {"distmult": (DistMult, 256), "complex": (ComplEx, 128)}


class Enough(Exception):
    """Ends training."""


class Clock(TrainingCallback):
    """Takes the time of the steps after the first one."""

    def __init__(self, steps: int) -> None:
        super().__init__()
        self.steps, self.count = steps, 0

    def post_batch(self, *args: Any, **kwargs: Any) -> None:
        if self.count == 0:
            self.begin = now()
        if self.count == self.steps:
            self.times = now() - self.begin
            raise Enough
        self.count += 1


def ours(name: str, data, args) -> float:
    loss = Sampled(64, sampler="shared")
    model = KGE(args.num_nodes, 100, 256, scorer=name, loss=loss)
    loader = make_loader(model, data, args.batch_size)
    optimizers = make_optimizers(model, optimizer="adagrad", lr=0.1)
    train(model, islice(loader, 1), optimizers)
    begin = now()
    train(model, islice(loader, args.steps), optimizers)
    return args.steps * args.batch_size / float((now() - begin)[1])


def theirs(name: str, data, args) -> float:
    cls, channels = MODELS[name]
    mapped = torch.stack([data.edge_index[0], data.edge_type, data.edge_index[1]], dim=1)
    factory = CoreTriplesFactory.create(
        mapped, num_entities=args.num_nodes, num_relations=data.num_relations
    )
    model = cls(triples_factory=factory, embedding_dim=channels, loss=NSSALoss(), regularizer=None)
    optimizer = torch.optim.Adagrad(model.parameters(), lr=0.1)
    loop = SLCWATrainingLoop(
        model=model,
        triples_factory=factory,
        optimizer=optimizer,
        negative_sampler_kwargs={"num_negs_per_pos": 64},
        automatic_memory_optimization=False,
    )
    clock, sizes = Clock(args.their_steps), {"num_epochs": 100, "batch_size": args.their_batch_size}
    try:
        loop.train(factory, **sizes, sub_batch_size=None, callbacks=clock, use_tqdm=False)
    except Enough:
        pass
    return args.their_steps * args.their_batch_size / float(clock.times[1])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--num_nodes", type=int, default=1_000_000)
    parser.add_argument("--num_facts", type=int, default=1_000_000)
    parser.add_argument("--batch_size", type=int, default=1024)
    parser.add_argument("--their_batch_size", type=int, default=8192)
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--their_steps", type=int, default=2)
    parser.add_argument("--models", nargs="+", default=list(MODELS), choices=MODELS)
    args = parser.parse_args()
    logging.disable(logging.WARNING)
    torch.set_num_threads(1)
    data = zipf_graph(args.num_nodes, args.num_facts)
    for name in args.models:
        torch.manual_seed(0)
        begin = now()
        found = {"ours": ours(name, data, args), "pykeen": theirs(name, data, args)}
        metrics = {f"{x}_facts_per_cpu_second": round(y) for x, y in found.items()}
        metrics["times_pykeen"] = round(found["ours"] / found["pykeen"], 1)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        metrics["peak_gb"] = round(peak, 2)
        seconds, settings = float((now() - begin)[0]), {**vars(args), "model": name}
        append("scale_peers", 0, seconds, metrics, settings=settings)
        print(f"{name}: {metrics}", flush=True)
