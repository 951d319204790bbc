"""IMF with a share of the features of a modality taken away, in training and testing.

    python benchmarks/missing_modality.py --graph countries --modality text

With all of them away, IMF is its structural view, which is the last row.
"""

from configs import config, variant
from experiment import parser, run
from torch import set_num_threads

args = parser(__doc__, seeds=3)
args.add_argument("--modality", default="text")
args.add_argument("--ratios", nargs="+", type=float, default=[0.0, 0.3, 0.6, 0.9])
args = args.parse_args()
set_num_threads(args.threads)

base = config(args.graph)
for ratio in args.ratios:
    settings = {**base, "drop": {args.modality: ratio}} if ratio > 0 else base
    for seed in range(args.seeds):
        run("missing_modality", f"{args.modality}, {100 * ratio:.0f} % missing", settings, seed)
for seed in range(args.seeds):
    run("missing_modality", "structure only", variant(base, views=["struct"]), seed)
