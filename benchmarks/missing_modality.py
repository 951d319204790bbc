"""IMF, or models without and with an adversary (Figure 3 of the AdaMF-MAT paper), with a share of
the features of a modality taken away, in training and testing.

    python benchmarks/missing_modality.py --graph countries --modality text
    python benchmarks/missing_modality.py --graph mkgy --models AdaMF AdaMF-MAT TBKGC TBKGC-MAT

With all of them away, IMF is its structural view, which is the last row. The other models are rows
of `adamf.py`, trained for half as long.
"""

from configs import CONFIGS, GRAPHS, adamf_rows, changed, config, variant
from experiment import parser, run
from torch import set_num_threads

MODELS = ("AdaMF", "AdaMF-MAT", "TBKGC", "TBKGC-MAT", "IKRL", "IKRL-MAT")
args = parser(__doc__, seeds=3, graphs=(*CONFIGS, *GRAPHS))
args.add_argument("--modality", default="text")
args.add_argument("--models", nargs="+", choices=MODELS, default=MODELS)
args.add_argument("--ratios", nargs="+", type=float, default=[0.0, 0.3, 0.6, 0.9])
args = args.parse_args()
set_num_threads(args.threads)

if args.graph in GRAPHS:
    rows = {}
    for model in args.models:
        base = adamf_rows(args.graph)[model]
        rows[f"{model}, "] = changed(base, fit={"epochs": base["fit"]["epochs"] // 2})
else:
    rows = {"": config(args.graph)}
for prefix, base in rows.items():
    for ratio in args.ratios:
        settings = {**base, "drop": {args.modality: ratio}} if ratio > 0 else base
        label = f"{prefix}{args.modality}, {100 * ratio:.0f} % missing"
        for seed in range(args.seeds):
            run("missing_modality", label, settings, seed)
if args.graph not in GRAPHS:
    for seed in range(args.seeds):
        settings = variant(config(args.graph), views=["struct"])
        run("missing_modality", "structure only", settings, seed)
