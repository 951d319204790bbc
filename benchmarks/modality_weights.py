"""The mean weight of each modality for the relations with most test facts, without an adversary and
with it (Figure 5 of the AdaMF-MAT paper), from what `adamf.py` found.

    python benchmarks/modality_weights.py --graph mkgw
"""

import os.path as osp

import matplotlib
from configs import GRAPHS
from experiment import lines, parser, save_figure

from torch_imf.visualize import plot_modality_weights

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

args = parser(__doc__, seeds=1, graphs=GRAPHS)
args.add_argument("--rows", nargs="+", default=["AdaMF", "AdaMF-MAT"])
args.add_argument("--figure", default=osp.join("figures", "modality_weights.png"))
args = args.parse_args()

found = {
    line["label"]: line["modality_weights"]
    for line in lines("adamf")
    if "modality_weights" in line  # Which the rows of other models lack.
    if line["settings"]["graph"] == args.graph and line["seed"] == 0
}
absent = [row for row in args.rows if row not in found]
if absent:
    raise SystemExit(f"There are no weights of {absent} on '{args.graph}' yet, run 'adamf.py'")
size = {"figsize": (5 * len(args.rows), 4), "sharey": True, "squeeze": False}
fig, axes = plt.subplots(1, len(args.rows), **size)
for ax, row in zip(axes[0], args.rows, strict=True):
    plot_modality_weights(found[row], ax, row)
save_figure(fig, args.figure)
print(f"figure: {args.figure}")
