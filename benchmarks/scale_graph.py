"""What a graph of the size of Wikidata5M costs from end to end: facts in a table of names are read,
numbered, split and kept as a processed file, which is loaded; a DistMult is trained on it for an
epoch, against negatives that a batch shares; and test facts are ranked among all entities.

    python benchmarks/scale_graph.py --num_nodes 4600000 --num_facts 21000000 --num_ranked 10000

Lines hold seconds of each stage, those of the processor, and the memory at its highest until then.
Names are like those of Wikidata, and degrees as Zipf has them.
"""

import argparse
import os.path as osp
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from pyarrow import csv
from results import append

from torch_imf import evaluate, fit
from torch_imf.datasets import MultimodalKG
from torch_imf.nn import KGE, Sampled


def write_facts(path: str, num_nodes: int, num_facts: int, seed: int = 0) -> None:
    """Writes facts of which each entity has one at least, if there are enough of them."""
    rng = np.random.default_rng(seed)
    head, tail = ((num_nodes ** rng.random(num_facts)).astype(np.int64) - 1 for _ in range(2))
    head[:num_nodes] = rng.permutation(num_nodes)[:num_facts]
    rel = (800 ** rng.random(num_facts)).astype(np.int64)
    ids = pa.array(rng.permutation(20 * num_nodes)[:num_nodes]).cast(pa.string())
    names = pc.binary_join_element_wise("Q", ids, "")
    rels = pc.binary_join_element_wise("P", pa.array(rel).cast(pa.string()), "")
    options = csv.WriteOptions(include_header=False, delimiter="\t", quoting_style="none")
    kinds = pa.schema([(name, pa.string()) for name in ("head", "relation", "tail")])
    with csv.CSVWriter(path, kinds, write_options=options) as file:
        for i in range(0, num_facts, 2**20):
            part = slice(i, i + 2**20)
            columns = names.take(head[part]), rels[part], names.take(tail[part])
            file.write(pa.table(list(columns), kinds))


@contextmanager
def stage(name: str, metrics: dict[str, float]) -> Iterator[None]:
    """Takes the time of a block."""
    start = time.perf_counter(), time.process_time()
    yield
    metrics[f"{name}_s"] = round(time.perf_counter() - start[0], 1)
    metrics[f"{name}_cpu_s"] = round(time.process_time() - start[1], 1)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    metrics[f"{name}_peak_gb"] = round(peak, 2)
    print(f"{name}: {metrics}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--num_nodes", type=int, default=4_600_000)
    parser.add_argument("--num_facts", type=int, default=21_000_000)
    parser.add_argument("--num_ranked", type=int, default=10_000)
    parser.add_argument("--channels", type=int, default=128)
    parser.add_argument("--batch_size", type=int, default=8192)
    parser.add_argument("--num_negatives", type=int, default=500)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--only_write", help="write facts to a file, and nothing else")
    args = parser.parse_args()
    if args.only_write:
        write_facts(args.only_write, args.num_nodes, args.num_facts)
        sys.exit()
    torch.set_num_threads(args.threads)
    metrics: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        path, root = osp.join(folder, "facts.tsv"), osp.join(folder, "root")
        # In a process of its own, whose memory is not counted:
        subprocess.run([sys.executable, *sys.argv, "--only_write", path], check=True)
        with stage("read", metrics):
            MultimodalKG.from_files(path, root=root)
        with stage("load", metrics):
            data = MultimodalKG.from_files(path, root=root)[0]
        test = data.test_mask.nonzero().view(-1)
        kept = test[torch.randperm(len(test))[: args.num_ranked]]
        data.train_mask |= data.test_mask  # As known answers, but for those to rank.
        data.train_mask[kept] = False
        data.test_mask = torch.zeros_like(data.test_mask).index_fill(0, kept, True)
        num_nodes, size = int(data.num_nodes), (int(data.num_relations), args.channels)
        val = data.val_mask.nonzero().view(-1)  # Those to select an epoch by are not told here.
        data.train_mask[val[100:]], data.val_mask[val[100:]] = True, False
        model = KGE(num_nodes, *size, scorer="distmult", loss=Sampled(64, sampler="shared"))
        with stage("train", metrics):
            fit(model, data, epochs=1, batch_size=args.batch_size, optimizer="adagrad", lr=0.1)
        with stage("rank", metrics):
            evaluate(model, data)
        drawn = (len(kept), args.num_negatives)
        negatives = {x: torch.randint(num_nodes, drawn) for x in ("head", "tail")}
        with stage("sampled", metrics):
            evaluate(model, data, negatives=negatives)
    seconds = sum(x for name, x in metrics.items() if name.endswith("_s") and "cpu" not in name)
    append("scale_graph", 0, seconds, metrics, settings=vars(args))
