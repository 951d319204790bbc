"""Memory and time of a 1-N training step as the number of entities grows.

A step is the loss of 1,024 queries and its gradients, for DistMult of 256 channels. Each number of
entities has a process of its own, whose peak of resident memory counts over what is there before
and after: the embedding table and its gradient. Times are fitted by a straight line.
"""

import argparse
import json
import subprocess
import sys
import time

import numpy as np
from results import append

MEASURE = r"""
import json, re, sys, time
import torch
from torch_imf import KGE

def memory(key):
    with open('/proc/self/status') as status:
        return 1024 * int(re.search(key + r':\s+(\d+)', status.read())[1])

num_nodes, batch_size, channels, threads, steps = map(int, sys.argv[1:6])
loss, precision = sys.argv[6:]
torch.set_num_threads(threads)
torch.manual_seed(0)
model = KGE(num_nodes, 10, channels, scorer='distmult', loss=loss)
facts = [torch.randint(n, (batch_size,)) for n in (num_nodes, 20, num_nodes)]

def step():
    model.zero_grad()
    with torch.autocast('cpu', torch.bfloat16, enabled=precision == 'bf16'):
        out = model.loss(*facts)
    out.backward()

small = KGE(1000, 10, channels, scorer='distmult', loss=loss)  # What libraries need for themselves.
with torch.autocast('cpu', torch.bfloat16, enabled=precision == 'bf16'):
    small.loss(*(x % n for x, n in zip(facts, (1000, 20, 1000)))).backward()
before = memory('VmRSS')
step()
extra = memory('VmHWM') - before - 4 * num_nodes * channels
seconds = []
for _ in range(steps):
    start = time.perf_counter()
    step()
    seconds.append(time.perf_counter() - start)
print(json.dumps({'extra_mb': round(extra / 1e6), 'seconds': round(min(seconds), 3)}))
"""

parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--num_nodes", type=int, nargs="+", default=[10**4, 10**5, 3 * 10**5, 10**6])
parser.add_argument("--batch_size", type=int, default=1024)
parser.add_argument("--hidden_channels", type=int, default=256)
parser.add_argument("--loss", choices=["bce", "ce"], default="bce")
parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
parser.add_argument("--threads", type=int, default=2)
parser.add_argument("--steps", type=int, default=3, help="The fastest of so many counts.")
args = parser.parse_args()

start = time.perf_counter()
found = {}
for num_nodes in args.num_nodes:
    numbers = num_nodes, args.batch_size, args.hidden_channels, args.threads, args.steps
    command = [sys.executable, "-W", "ignore", "-c", MEASURE, *map(str, numbers)]
    command += [args.loss, args.precision]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    found[num_nodes] = json.loads(out.splitlines()[-1])
    print(f"{num_nodes:9,d} entities: {found[num_nodes]}")
x, y = np.array(list(found)), np.array([value["seconds"] for value in found.values()])
r2 = float(np.corrcoef(x, y)[0, 1] ** 2)
print(f"R^2 of a straight line: {r2:.5f}")
metrics = {"by_num_nodes": found, "r2": round(r2, 5)}
append("growth", 0, time.perf_counter() - start, metrics, settings=vars(args))
