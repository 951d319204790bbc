"""Seconds and memory from raw text to batches, and triples per second of the structural encoder.

Synthetic graphs are files of names, as those of FB15K-237, with as many triples as `--sizes` say, a
tenth as many entities, of power-law degrees, and 1,000 relations. A process of its own makes a
`KGDataset` with clean splits of each, loads it, adds inverses, and builds the filter of ranking and
the loaders of 1-N training and of negatives. Its peak resident memory counts from its start.

FB15K-237 is made from its archive, without texts, literals and images. An epoch of the structural
encoder on it is what `examples/structural_encoder.py` trains: a triple is a fact or a negative.
"""

import argparse
import json
import os
import os.path as osp
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

import numpy as np
import torch
from graphs import DATA
from results import append
from torch_geometric.data import Data

from torch_imf import train
from torch_imf.data import NegativeLoader, QueryLoader, TripletIndex
from torch_imf.datasets import FB15K237
from torch_imf.datasets.base import KGDataset, Record
from torch_imf.datasets.raw import number_facts
from torch_imf.io.facts import read_fact_table
from torch_imf.nn import StructuralEncoder
from torch_imf.sampler import UniformSampler
from torch_imf.transforms import AddInverse

NUM_RELATIONS = 1000
FILES = ["train.txt", "valid.txt", "test.txt"]


class Synthetic(KGDataset):
    def read(self) -> Record:
        nodes: dict[str, int] = {}
        rels: dict[str, int] = {}
        paths = [self.raw.path(name) for name in FILES]
        splits = [number_facts(read_fact_table(path, False).columns, nodes, rels) for path in paths]
        return Record(splits, list(nodes), list(rels))


def write_graph(folder: str, size: int, seed: int) -> None:
    os.makedirs(folder)
    rng = np.random.default_rng(seed)
    num_nodes = max(size // 10, 100)
    nodes = np.array([f"/m/0{i * 2654435761 % 2**26:x}" for i in range(num_nodes)], dtype=object)
    rels = np.array([f"/domain/{i % 40}/relation_{i}" for i in range(NUM_RELATIONS)], dtype=object)

    def draw(names: np.ndarray, count: int) -> np.ndarray:
        return names[(names.size * rng.random(count) ** 2.5).astype(int)]

    for name, share in zip(FILES, (0.96, 0.02, 0.02), strict=True):
        with open(osp.join(folder, name), "w") as file:
            for part in np.array_split(np.arange(int(share * size)), -(-size // 10**6)):
                columns = draw(nodes, part.size), draw(rels, part.size), draw(nodes, part.size)
                file.writelines(columns[0] + "\t" + columns[1] + "\t" + columns[2] + "\n")


def load_graph(root: str) -> dict[str, float]:
    """Makes and uses a graph in this process, and returns seconds and memory."""
    out: dict[str, float] = {}

    def step(name: str, function: Callable) -> object:
        start = time.perf_counter()
        result = function()
        out[name] = round(time.perf_counter() - start, 2)
        return result

    def dataset() -> Data:
        return Synthetic(root, scheme="clean", text=None, visual=None, numeric=None)[0]

    step("made", dataset)
    data = step("loaded", lambda: AddInverse()(dataset()))
    step("filter", lambda: TripletIndex.from_data(data))
    head_index, tail_index = data.edge_index[:, data.train_mask]
    fact = head_index, data.edge_type[data.train_mask], tail_index
    loader = step("queries", lambda: QueryLoader(*fact, shuffle=True))
    sampler = UniformSampler(data.num_nodes, loader.index, 64)
    negatives = NegativeLoader(*fact, sampler, shuffle=True)
    step("batches", lambda: (next(iter(loader)), next(iter(negatives))))
    status = open("/proc/self/status").read()  # Not `resource`, which begins with the parent's.
    out["seconds"] = round(sum(out.values()), 2)
    out["peak_gb"] = round(int(re.search(r"VmHWM:\s+(\d+)", status)[1]) * 1024 / 1e9, 2)
    return out


def train_encoder(data: Data) -> dict[str, float]:
    """Trains the structural encoder for an epoch, and returns its speed."""
    torch.manual_seed(args.seed)
    encoder = StructuralEncoder(data.num_nodes, data.num_relations, 64)
    head_index, tail_index = data.edge_index[:, data.train_mask]
    fact = head_index, data.edge_type[data.train_mask], tail_index
    loader = encoder.loader(*fact, batch_size=16384, shuffle=True)
    optimizers = [torch.optim.AdamW(encoder.parameters(), lr=0.01, fused=True)]
    start = time.perf_counter(), time.process_time()
    train(encoder, loader, optimizers)
    seconds, cpu = time.perf_counter() - start[0], time.process_time() - start[1]
    num_triples = 2 * head_index.numel() * (1 + encoder.num_negatives)
    return {
        "seconds": round(seconds, 2),
        "cpu_seconds": round(cpu, 2),
        "triples_per_second": round(num_triples / seconds),
    }


parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--sizes", type=int, nargs="*", default=[10**6, 10**7], help="Triples.")
parser.add_argument("--threads", type=int, default=1)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--root", help="Where a child process finds its graph; for internal use.")
args = parser.parse_args()

torch.set_num_threads(args.threads)
if args.root is not None:
    print(json.dumps(load_graph(args.root)))
    sys.exit()

for size in args.sizes:
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as root:
        write_graph(osp.join(root, "raw"), size, args.seed)
        command = [sys.executable, "-W", "ignore", __file__, "--root", root]
        command += ["--threads", str(args.threads)]
        run = subprocess.run(command, capture_output=True, text=True, check=True)
    metrics = json.loads(run.stdout.splitlines()[-1])
    print(f"{size:,} triples: {metrics['seconds']} s and {metrics['peak_gb']} GB ({metrics})")
    append(
        "speed_loading", args.seed, time.perf_counter() - begin, metrics, graph=f"{size} triples"
    )

with tempfile.TemporaryDirectory() as root:
    shutil.copytree(osp.join(DATA, "FB15K-237", "raw"), osp.join(root, "raw"))
    begin = time.perf_counter()
    data = FB15K237(root, text=None, visual=None, numeric=None, force_reload=True)[0]
    metrics = {"seconds": round(time.perf_counter() - begin, 2)}
print(f"FB15K-237: {metrics['seconds']} s from raw to processed")
append("speed_loading", args.seed, metrics["seconds"], metrics, graph="FB15K-237")

begin = time.perf_counter()
metrics = train_encoder(data)
print(f"Structural encoder: {metrics['triples_per_second']:,} triples/s ({metrics})")
append("speed_loading", args.seed, time.perf_counter() - begin, metrics, graph="FB15K-237, epoch")
