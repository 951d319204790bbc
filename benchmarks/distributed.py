"""What two processes of one thread each are worth beside one of one thread: steps of 1-N training,
steps against negatives, and ranking. Processes share batches (`batches`) or entities (`shards`) of
the synthetic graph of `scale.py`, or each does its part and knows of no other (`apart`), which is
what the machine allows at the time.

    python benchmarks/distributed.py --num_nodes 200000

Lines hold facts (queries, of ranking) per second by the clock on the wall, and per second that the
busiest process was computing, which other work on the machine disturbs less; the memory of a
process at its highest, and what it has of its own at the end, without pages of files that all share
(features are in one of 16 bits with --on_disk, on Linux); and of several, how they compare with one
of the same run.
"""

import argparse
import os
import resource
import socket
import tempfile
import time
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from clock import now
from results import append
from scale import write_features, zipf_graph

from torch_imf import KGE, AdaMF, shard
from torch_imf.data import map_features
from torch_imf.data.graph import split_facts
from torch_imf.data.index import TripletIndex
from torch_imf.evaluation.ranking import rank_tails
from torch_imf.nn import OneToN, Sampled
from torch_imf.training import make_loader, make_optimizers, train

parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--num_nodes", type=int, default=200_000)
parser.add_argument("--num_facts", type=int, default=200_000)
parser.add_argument("--num_features", type=int, default=384)
parser.add_argument("--channels", type=int, default=128)
parser.add_argument("--batch_size", type=int, default=1024)
parser.add_argument("--steps", type=int, default=5)
parser.add_argument("--negatives", type=int, default=64)
parser.add_argument("--processes", type=int, default=2)
parser.add_argument("--tasks", nargs="+", default=["1-N", "sampled", "ranking"])
parser.add_argument("--on_disk", action="store_true")


def measure(rank: int, size: int, task: str, how: str, port: int, out: str, args) -> None:
    torch.set_num_threads(1)
    parts = size if how == "apart" else 1
    if size > parts:
        address = f"tcp://127.0.0.1:{port}"
        dist.init_process_group("gloo", init_method=address, rank=rank, world_size=size)
    torch.manual_seed(0)
    num_features = args.num_features if task == "sampled" and not args.on_disk else 0
    data = zipf_graph(args.num_nodes, args.num_facts, num_features)
    sizes = args.num_nodes, 100, args.channels
    if task == "sampled":
        if args.on_disk:
            data.x_text = map_features(f"{out}/x.npy")
        loss = Sampled(args.negatives, sampler="shared")
        model = AdaMF(*sizes, {"text": data.x_text}, loss=loss)
    else:
        model = KGE(*sizes, scorer="complex", loss=OneToN("ce"))
    data.x_text = None
    model = shard(model) if how == "shards" else model
    if task == "ranking":
        facts = [x[: args.steps * 512 // parts] for x in split_facts(data, "test")]
        index = TripletIndex.from_data(data)
        step, count = (lambda: rank_tails(model, *facts, index)), facts[0].numel() * parts
        step()
    else:
        loader = make_loader(model, data, args.batch_size // parts)
        optimizers = make_optimizers(model)
        batches = iter(_Some(loader, args.steps))
        train(model, _Some(loader, 1), optimizers)  # The first one allocates.
        step = lambda: train(model, batches, optimizers)  # noqa: E731
        count = args.steps * args.batch_size
    start = now()
    step()
    wall, busy = (now() - start).tolist()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    status = Path("/proc/self/status").read_text()
    own = int(status.partition("RssAnon:")[2].split()[0]) / 2**20
    torch.save([wall, busy, peak, own, count], f"{out}/{rank}.pt")


class _Some:
    # The first batches of a loader, as it makes them.
    def __init__(self, loader, size: int) -> None:
        self.loader, self.size = loader, size

    def __iter__(self):
        for i, batch in enumerate(self.loader):
            if i == self.size:
                return
            yield batch


def run(size: int, task: str, how: str, args) -> dict[str, float]:
    with socket.socket() as found, tempfile.TemporaryDirectory() as out:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
        found.close()
        if task == "sampled" and args.on_disk:
            write_features(f"{out}/x.npy", args.num_nodes, args.num_features)
        mp.start_processes(measure, (size, task, how, port, out, args), size, start_method="fork")
        rows = torch.tensor([torch.load(f"{out}/{i}.pt") for i in range(size)])
    wall, busy, peak, own, count = rows.max(dim=0).values.tolist()
    per_second = {"per_second": round(count / wall), "per_busy_second": round(count / busy)}
    return {**per_second, "peak_gb": round(peak, 3), "own_gb": round(own, 3)}


if __name__ == "__main__":
    args = parser.parse_args()
    torch.set_num_threads(1)
    for task in args.tasks:
        one: dict[str, float] = {}
        for how in ("alone", "apart", "batches", "shards"):
            size, start = 1 if how == "alone" else args.processes, time.perf_counter()
            metrics = run(size, task, how, args)
            one = one or metrics
            metrics |= {f"{x}_of_one": round(y / one[x], 3) for x, y in [*metrics.items()]}
            about = {**vars(args), "task": task, "how": how, "load": os.getloadavg()[0]}
            append("distributed", 0, time.perf_counter() - start, metrics, settings=about)
            print(f"{task}, {size} process(es), {how}: {metrics}", flush=True)
