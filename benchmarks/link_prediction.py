"""IMF on FB15K-237, next to its structural view alone trained in the same way.

    python benchmarks/link_prediction.py                   # 80 minutes on one CPU core
    python benchmarks/link_prediction.py --setting full    # for a GPU

An interrupted run goes on from its last validation by the same command.
"""

import argparse

from configs import config, variant
from experiment import run
from torch import get_num_threads, set_num_threads

parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--setting", choices=["reduced", "full"], default="reduced")
parser.add_argument("--rows", nargs="+", default=["w/o MF", "IMF"])
parser.add_argument("--seeds", type=int, default=1)
parser.add_argument("--threads", type=int, default=min(2, get_num_threads()))
args = parser.parse_args()
set_num_threads(args.threads)

base = config("fb15k237" if args.setting == "reduced" else "fb15k237-full")
rows = {"w/o MF": variant(base, {"views": ["struct"]}), "IMF": base}
for label in args.rows:
    for seed in range(args.seeds):
        name = label if args.setting == "reduced" else f"{label} (full)"
        run("link_prediction", name, rows[label], seed)
