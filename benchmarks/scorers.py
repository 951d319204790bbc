"""Each scorer alone and under IMF (Figure 5 of the paper).

    python benchmarks/scorers.py --graph countries

Alone, a scorer has plain entity embeddings; under IMF, every view has one, and the structural view
starts from random embeddings as well. All scorers share the settings of `configs.py`, apart from
what `SCORERS` gives.
"""

from configs import SCORERS, alone, config, variant
from experiment import parser, run
from torch import set_num_threads

args = parser(__doc__, seeds=3)
args.add_argument("--scorers", nargs="+", choices=list(SCORERS), default=list(SCORERS))
args = args.parse_args()
set_num_threads(args.threads)

base = config(args.graph)
base.pop("struct", None)
for name in args.scorers:
    model, fit = SCORERS[name]
    settings = variant(base, {"scorer": name, **model})
    if name not in {"contextual", "tucker"}:
        settings["model"].pop("rel_channels", None)
    settings["fit"] = {**settings["fit"], **fit}
    for seed in range(args.seeds):
        run("scorers", f"{name}, alone", alone(settings), seed)
        run("scorers", f"{name}, IMF", settings, seed)
