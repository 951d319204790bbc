"""Ranking of FB15K-237's test facts, beside PyKEEN and PyTorch Geometric.

The same DistMult, of random weights, ranks the same facts: `evaluate` against PyKEEN's
`RankBasedEvaluator`, both filtered and of both sides, and `rank_tails` against PyG's
`DistMult.test`, which does less than ours: it ranks tails only and does not filter them. What each
does to prepare its filter counts. Both take turns, and their metrics need to agree (with PyG's, by
ranks of ours without a filter, which are not timed).

Given several `--pykeen_batch_sizes` (PyKEEN chooses 32 on a CPU), the fastest on 512 facts is
taken. `--share` ranks a random share of the facts by all. It holds us back: theirs take
proportional time, ours scores each query once for all of its facts and builds the whole filter.
Needs `pip install torch_imf[benchmark]`.
"""

import argparse
import copy
import logging
import os.path as osp
import time
from collections.abc import Callable
from typing import Any

import torch
from graphs import DATA
from pykeen_ranks import compare, pykeen_evaluate, twins
from results import append
from torch import Tensor
from torch_geometric.data import Data
from torch_geometric.nn.kge import DistMult

from torch_imf import KGE, evaluate
from torch_imf.data import TripletIndex
from torch_imf.datasets import FB15K237
from torch_imf.ranking import metrics, rank_tails


def sample(data: Data, num_facts: int) -> Data:
    """The graph, with so many of its test facts still to rank, drawn at random."""
    data, index = copy.copy(data), data.test_mask.nonzero().view(-1)
    data.test_mask = torch.zeros_like(data.test_mask)
    data.test_mask[index[torch.randperm(index.numel())[:num_facts]]] = True
    return data


def now() -> Tensor:
    """The clock on the wall, and that of the CPU, which other processes disturb less."""
    return torch.tensor([time.perf_counter(), time.process_time()], dtype=torch.float64)


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


def finish(comparison: str, result: dict[str, Any], worst: float, **info: Any) -> None:
    print(f"largest difference {worst:.1e}\n")
    seconds = time.perf_counter() - start
    info = {"largest_difference": worst, "num_facts": num_facts, **info}
    append("speed_ranking", args.seed, seconds, {"comparison": comparison, **result}, **info)
    if worst > args.tolerance:
        raise SystemExit("The ranks do not agree")


parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--hidden_channels", type=int, default=256)
parser.add_argument("--batch_size", type=int, default=512)
parser.add_argument("--pykeen_batch_sizes", type=int, nargs="+", default=[16, 32, 128])
parser.add_argument("--share", type=float, default=1.0, help="Share of the test facts to rank.")
parser.add_argument("--repeats", type=int, default=3)
parser.add_argument("--tolerance", type=float, default=1e-6, help="Of metrics between both.")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()

start = time.perf_counter()
logging.disable(logging.WARNING)  # PyKEEN says much.
torch.set_num_threads(args.threads)
torch.manual_seed(args.seed)
graph = FB15K237(osp.join(DATA, "FB15K-237"), text=None, visual=None, numeric=None)[0]
few, data = sample(graph, 512), sample(graph, round(args.share * int(graph.test_mask.sum())))
num_facts = int(data.test_mask.sum())
settings = vars(args)
model = KGE(graph.num_nodes, graph.num_relations, args.hidden_channels, "distmult")
other = twins(graph, model)

# PyKEEN: both sides, filtered.
probe = {}
evaluate(model, few, batch_size=args.batch_size)  # Warms up, as the probe does.
for batch_size in args.pykeen_batch_sizes:
    begin = time.perf_counter()
    pykeen_evaluate(other, few, batch_size)
    probe[batch_size] = round(time.perf_counter() - begin, 2)
best = min(probe, key=lambda key: probe[key])
print(f"Both sides of {num_facts} facts, filtered; PyKEEN with batches of {best} ({probe})")
(ours, theirs), result = take_turns(
    {
        "torch_imf": lambda: evaluate(model, data, batch_size=args.batch_size),
        "PyKEEN": lambda: pykeen_evaluate(other, data, best),
    }
)
finish("PyKEEN", result, compare(ours, theirs)[1], pykeen_batch_size=best, settings=settings)

# PyG: tails only, theirs without a filter.
pyg = DistMult(graph.num_nodes, graph.num_relations, args.hidden_channels)
with torch.no_grad():
    pyg.node_emb.weight.copy_(model.node_emb.weight)
    pyg.rel_emb.weight.copy_(model.rel_emb.weight[: graph.num_relations])
facts = (*data.edge_index[:, data.test_mask], data.edge_type[data.test_mask])
facts = facts[0], facts[2], facts[1]
pyg.test(*(x[:50] for x in facts), batch_size=graph.num_nodes, log=False)


def filtered_tails() -> None:
    greater, equal = rank_tails(
        model, *facts, TripletIndex.from_data(data), batch_size=args.batch_size
    )
    metrics(1 + greater + equal / 2)


print(f"Tails of {num_facts} facts, ours filtered, PyG's not")
(_, theirs), result = take_turns(
    {
        "torch_imf": filtered_tails,
        "PyG": lambda: pyg.test(*facts, batch_size=graph.num_nodes, log=False),
    }
)
empty = TripletIndex(*(x[:0] for x in facts))
mr, mrr, hits = model.test(*facts, index=empty, log=False)  # PyG's mean rank begins with zero.
differences = mr / (theirs[0] + 1) - 1, mrr - theirs[1], hits - theirs[2]
finish("PyG", result, max(abs(x) for x in differences), settings=settings)
