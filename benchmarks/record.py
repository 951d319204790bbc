"""Runs an example and appends the test metrics that it prints to `benchmarks/results/`.

    python benchmarks/record.py examples/fb15k237.py [its arguments]

The example needs to print a line of the form `Test MRR: 0.3, Hits@10: 0.5`.
"""

import os.path as osp
import re
import subprocess
import sys
import time

from results import ROOT, append

script, *arguments = sys.argv[1:]
start = time.perf_counter()
process = subprocess.Popen(
    [sys.executable, "-W", "ignore", script, *arguments], stdout=subprocess.PIPE, text=True
)
lines = []
assert process.stdout is not None
for text in process.stdout:
    print(text, end="", flush=True)
    lines.append(text)
if process.wait() != 0:
    raise SystemExit(f"'{script}' failed")

found = [text for text in lines if text.startswith("Test ")]
if len(found) != 1:
    raise SystemExit(f"'{script}' printed {len(found)} lines that start with 'Test ', not one")
pairs = re.findall(r"([\w@]+): (-?[\d.]+)", found[0])
metrics = {name.lower(): float(value) for name, value in pairs}
log = [text.strip() for text in lines if text.startswith(("Epoch", "Best")) or " ± " in text]
given = re.search(r"--seed[ =](\d+)", " ".join(arguments))
seed = int(given[1]) if given else 0
name = osp.splitext(osp.relpath(script, osp.join(ROOT, "examples")))[0]
print(append(name, seed, time.perf_counter() - start, metrics, log=log))
