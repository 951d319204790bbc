"""Ranking of FB15K-237's test facts, beside PyKEEN and PyTorch Geometric.

The same DistMult, of random weights, ranks the same facts: `evaluate` against PyKEEN's
`RankBasedEvaluator`, both filtered and of both sides, and `rank_tails` against PyG's
`DistMult.test`, which does less than ours: it ranks tails only and does not filter them. What each
does to prepare its filter counts. Both take turns, and their metrics need to agree (with PyG's, by
ranks of ours without a filter, which are not timed).

Of several batch sizes for each of theirs, the fastest on a few facts is taken. PyKEEN chooses 32 on
a CPU. `--share` ranks a random share of the facts by all. It holds us back: theirs take
proportional time, ours scores each query once for all of its facts and builds the whole filter.

Much of what theirs take is page faults of large temporaries, and how much depends on the system.
`--keep_memory` is without them, for all. Needs `pip install torch_imf[benchmark]`.
"""

import argparse
import copy
import logging
import os.path as osp
import time
from collections.abc import Callable
from typing import Any

import torch
from clock import keep_memory, now
from graphs import DATA
from pykeen_ranks import compare, pykeen_evaluate, twins
from results import append
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.nn.kge import DistMult

from torch_imf import KGE, evaluate
from torch_imf.data import TripletIndex
from torch_imf.datasets import FB15K237
from torch_imf.evaluation.ranking import rank_tails


def sample(data: Data, num_facts: int) -> Data:
    """The graph, with so many of its test facts still to rank, drawn at random."""
    data, index = copy.copy(data), data.test_mask.nonzero().view(-1)
    data.test_mask = torch.zeros_like(data.test_mask)
    data.test_mask[index[torch.randperm(index.numel())[:num_facts]]] = True
    return data


def take_turns(sides: dict[str, Callable[[], Any]]) -> tuple[list[Any], dict[str, Any]]:
    """What each side returns, and the medians of its times."""
    outs: dict[str, Any] = {}
    times: dict[str, list[Tensor]] = {name: [] for name in sides}
    for _ in range(args.repeats):
        for name, rank in sides.items():
            begin = now()
            outs[name] = rank()
            times[name].append(now() - begin)
    result: dict[str, Any] = {}
    for name in sides:
        wall, cpu = torch.stack(times[name]).quantile(0.5, dim=0).tolist()
        result[name] = {"seconds": round(wall, 3), "cpu_seconds": round(cpu, 3)}
        print(f"{name:10s} {wall:9.2f} s {cpu:9.2f} s of CPU")
    mine, other = result.values()
    for key in ("seconds", "cpu_seconds"):
        result[f"ratio_of_{key}"] = round(other[key] / mine[key], 1)
    print(f"{result['ratio_of_seconds']} times faster, {result['ratio_of_cpu_seconds']} by CPU")
    return list(outs.values()), result


def fastest(sizes: list[int], rank: Callable[[int], Any]) -> int:
    """The batch size that takes the least time."""
    seconds = {}
    for size in sizes:
        begin = time.perf_counter()
        rank(size)
        seconds[size] = round(time.perf_counter() - begin, 2)
    print("seconds for a few facts, by batch size:", seconds)
    return min(sizes, key=lambda size: seconds[size])


def finish(comparison: str, result: dict[str, Any], worst: float, batch_size: int) -> None:
    print(f"largest difference {worst:.1e}\n")
    seconds = time.perf_counter() - start
    sizes = {"num_facts": int(data.test_mask.sum()), "their_batch_size": batch_size}
    metrics = {"comparison": comparison, **result, "largest_difference": worst}
    append("speed_ranking", args.seed, seconds, metrics, **sizes, settings=vars(args))
    if worst > 1e-6:
        raise SystemExit("The ranks do not agree")


parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--hidden_channels", type=int, default=256)
parser.add_argument("--batch_size", type=int, default=512)
parser.add_argument("--pykeen_batch_sizes", type=int, nargs="+", default=[16, 32, 128])
parser.add_argument("--pyg_batch_sizes", type=int, nargs="+", default=[2000, 20000])
parser.add_argument("--share", type=float, default=1.0, help="Share of the test facts to rank.")
parser.add_argument("--repeats", type=int, default=3)
parser.add_argument("--keep_memory", action="store_true")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()

start = time.perf_counter()
logging.disable(logging.WARNING)  # PyKEEN says much.
torch.set_num_threads(args.threads)
if args.keep_memory:
    keep_memory()
torch.manual_seed(args.seed)
graph = FB15K237(osp.join(DATA, "FB15K-237"), text=None, visual=None, numeric=None)[0]
few, data = sample(graph, 512), sample(graph, round(args.share * int(graph.test_mask.sum())))
model = KGE(graph.num_nodes, graph.num_relations, args.hidden_channels)
other = twins(graph, model)

# PyKEEN: both sides, filtered.
evaluate(model, few, batch_size=args.batch_size)  # Warms up, as the choice of a batch size does.
best = fastest(args.pykeen_batch_sizes, lambda size: pykeen_evaluate(other, few, size))
print(f"Both sides, filtered; PyKEEN with batches of {best}")
(ours, theirs), result = take_turns(
    {
        "torch_imf": lambda: evaluate(model, data, batch_size=args.batch_size),
        "PyKEEN": lambda: pykeen_evaluate(other, data, best),
    }
)
finish("PyKEEN", result, compare(ours, theirs)[1], best)

# PyG: tails only, theirs without a filter.
pyg = DistMult(graph.num_nodes, graph.num_relations, args.hidden_channels)
with torch.no_grad():
    pyg.node_emb.weight.copy_(model.node_emb.weight)
    pyg.rel_emb.weight.copy_(model.rel_emb.weight[: graph.num_relations])
head_index, tail_index = data.edge_index[:, data.test_mask]
facts = head_index, data.edge_type[data.test_mask], tail_index
few_facts = [x[:128] for x in facts]
best = fastest(args.pyg_batch_sizes, lambda size: pyg.test(*few_facts, batch_size=size, log=False))

print(f"Tails, ours filtered, PyG's not, with batches of {best}")
(_, theirs), result = take_turns(
    {
        "torch_imf": lambda: rank_tails(
            model, *facts, TripletIndex.from_data(data), batch_size=args.batch_size
        ),
        "PyG": lambda: pyg.test(*facts, batch_size=best, log=False),
    }
)
empty = TripletIndex(*(x[:0] for x in facts))
mr, mrr, hits = model.test(*facts, index=empty, log=False)  # PyG's mean rank begins with zero.
differences = mr / (theirs[0] + 1) - 1, mrr - theirs[1], hits - theirs[2]
finish("PyG", result, max(abs(x) for x in differences), best)
