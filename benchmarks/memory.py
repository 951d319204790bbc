"""Memory while FB15K-237 is made with 4,096 visual features per entity, over that of its tensors.

Features are random, in the layouts in which MMKB (HDF5, one array per image) and AdaMF-MAT (a
matrix in a `.pth` file) publish theirs. Each is read by a process of its own, whose peak resident
memory counts from before the construction; another process then loads what is there.
Texts (TF-IDF) and numeric literals take part.
"""

import argparse
import json
import os.path as osp
import subprocess
import sys
import tempfile
import time

import h5py
import torch
from graphs import DATA
from results import append

from torch_imf.datasets import FB15K237

MEASURE = r"""
import json, re, sys, time
import h5py, scipy.sparse, sklearn.decomposition, torch
from torch_imf.datasets import FB15K237

def peak():  # Not that of `resource`, which begins with the parent's.
    return 1024 * int(re.search(r'VmHWM:\s+(\d+)', open('/proc/self/status').read())[1])

torch.set_num_threads(1)
before, start = peak(), time.perf_counter()
dataset = FB15K237(sys.argv[1], visual=sys.argv[2], force_reload=sys.argv[3] == 'made')
grown, seconds = peak() - before, time.perf_counter() - start
size = sum(x.nbytes for x in dataset[0].to_dict().values() if torch.is_tensor(x))
print(json.dumps({'ratio': round(grown / size, 2), 'mb': round(size / 1e6), 'seconds': seconds}))
"""


def write_features(folder: str, layout: str) -> str:
    dataset = FB15K237(ROOT, text=None, visual=None, numeric=None)
    path = osp.join(folder, f"features.{layout}")
    generator = torch.Generator().manual_seed(args.seed)
    if layout == "pth":
        torch.save(torch.rand(dataset.num_nodes, args.channels, generator=generator), path)
        return path
    dataset.names()  # Brings the index of images.
    with h5py.File(path, "w") as file:
        for _, key in dataset.read_aliases():
            file[key] = torch.rand(1, args.channels, generator=generator).numpy()
    return path


parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--channels", type=int, default=4096)
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()
ROOT = osp.join(DATA, "FB15K-237")

for layout in ("h5", "pth"):
    metrics = {}
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        path = write_features(folder, layout)
        for step in ("made", "loaded"):
            command = [sys.executable, "-W", "ignore", "-c", MEASURE, ROOT, path, step]
            out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            found = json.loads(out.splitlines()[-1])
            metrics |= {f"{step}_{key}": value for key, value in found.items()}
    ratio = metrics["made_ratio"]
    print(f"{layout}: {ratio} times the {metrics['made_mb']} MB of its tensors while it is made")
    append("memory", args.seed, time.perf_counter() - start, metrics, layout=layout)
