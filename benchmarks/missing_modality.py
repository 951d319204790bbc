"""IMF, or models without and with an adversary (Figure 3 of the AdaMF-MAT paper), with a share of
the features of modalities taken away, in training and testing.

    python benchmarks/missing_modality.py --graph countries
    python benchmarks/missing_modality.py --graph countries --models AdaMF AdaMF-MAT

With all of them away, IMF is its structural view, which is the last row. The other models are rows
of `adamf.py`.
"""

from configs import CONFIGS, GRAPHS, adamf_rows, config, variant
from experiment import parser, run
from torch import set_num_threads

MODELS = ("AdaMF", "AdaMF-MAT", "TBKGC", "TBKGC-MAT", "IKRL", "IKRL-MAT")
args = parser(__doc__, seeds=3, graphs=tuple(dict.fromkeys([*CONFIGS, *GRAPHS])))
args.add_argument("--modality", nargs="+", default=["text"])
args.add_argument("--models", nargs="+", choices=MODELS, help="IMF by default")
args.add_argument("--ratios", nargs="+", type=float, default=[0.0, 0.3, 0.6, 0.9])
args = args.parse_args()
set_num_threads(args.threads)

if args.models:
    every = adamf_rows(args.graph)
    rows = {f"{model}, ": every[model] for model in args.models}
else:
    rows = {"": config(args.graph)}
for prefix, base in rows.items():
    for ratio in args.ratios:
        settings = {**base, "drop": dict.fromkeys(args.modality, ratio)} if ratio > 0 else base
        label = f"{prefix}{'+'.join(args.modality)}, {100 * ratio:.0f} % missing"
        for seed in range(args.seeds):
            run("missing_modality", label, settings, seed)
if not args.models:
    for seed in range(args.seeds):
        settings = variant(config(args.graph), {"views": ["struct"]})
        run("missing_modality", "structure only", settings, seed)
