"""What each system reaches by its recipe, beside its scorer on structure alone.

    python benchmarks/systems.py --graph countries
    python benchmarks/systems.py --graph kinships

A row is what `torch-imf train` trains with `--model X`, or with `--model kge --scorer X`, before
its views vote. Its control, `structure only`, is the scorer of the system on plain embeddings, by
the same settings. `types` knows which entities are tails of a relation, and no heads: what can
be had without structure. Systems that need features have no rows on Kinships, which has none.
Seconds are of the CPU, for the search of settings, training and validation.
"""

import inspect
import os
import os.path as osp
from typing import Any

import torch
from clock import now
from experiment import lines, parser
from graphs import DATA
from results import append
from torch import Tensor

from torch_imf import evaluate, fit, recipe, registry
from torch_imf.datasets import Countries, MultimodalKG
from torch_imf.nn import TypePrior
from torch_imf.training import validate

KINSHIPS = osp.join(os.environ.get("TORCH_IMF_MIRROR", DATA), "Kinships", "ConvE")
GRAPHS = {"countries": Countries, "kinships": lambda: MultimodalKG(KINSHIPS)}
SCORERS = (
    *("complex", "transe", "rotate", "quate", "bique", "transd", "pairre", "hake", "ote"),
    *("convkb", "capse"),
)
OF_STRUCTURE = ("gcote", "kbat")
OF_FEATURES = (
    *("otkge", "lbmkgc", "mhyper", "mose", "momok", "mkbe", "transae", "mmkrl", "vbkgc"),
    *("imf", "adamf"),
)
Settings = dict[str, Any]


class Types(torch.nn.Module):
    """A prior of types as a model."""

    def __init__(self, data: Any) -> None:
        super().__init__()
        self.view = TypePrior().fit(data)
        self.num_nodes, self.num_relations = data.num_nodes, data.num_relations

    def predict(self, head_index: Tensor, rel_type: Tensor) -> Tensor:
        return self.view(head_index, rel_type)["types"]


def write(label: str, seed: int, model: Any, seconds: float, val: float, **info: Any) -> None:
    """Appends the line of a model."""
    out = evaluate(model, data)
    metrics = {k: round(v, 5) for k, v in out.items() if not isinstance(v, dict)}
    metrics["val_mrr"] = round(val, 5)
    size = sum(p.numel() for p in model.parameters() if p.requires_grad)
    append("systems", seed, seconds, metrics, label=label, num_parameters=size, **info)
    print(f"{label}: test MRR {metrics['mrr']:.4f}, {seconds:.0f} s", flush=True)


def run(label: str, name: str, given: Settings, seed: int) -> Settings:
    """Trains by a recipe, and returns what it was."""
    begin = now()
    found = recipe(name, data, given, seed=seed)
    found.setdefault("hidden_channels", 128)
    torch.manual_seed(seed)
    model = found.build(data)
    history = fit(model, data, **found.fit, progress=False)
    wall, cpu = (now() - begin).tolist()
    best = max(history, key=lambda entry: entry["mrr"])
    curve = [[entry["epoch"], round(entry["mrr"], 4)] for entry in history]
    info = {"settings": {"graph": args.graph}, "recipe": {"model": name, **found}}
    more = {"wall": round(wall, 1), "epoch": best["epoch"], "curve": curve}
    write(label, seed, model, cpu, best["mrr"], **more, **info)
    return found


def control(name: str, found: Settings) -> Settings:
    """The settings of the scorer of a model on plain embeddings."""
    parts = ("scorer", "loss", *inspect.signature(fit).parameters, "hidden_channels")
    defaults = inspect.signature(registry.lookup("model", name)).parameters
    given = {key: defaults[key].default for key in ("scorer", "loss")}
    return given | {key: x for key, x in found.items() if key.split(".")[0] in parts}


args = parser(__doc__, seeds=1, graphs=tuple(GRAPHS))
args.add_argument("--systems", nargs="+", help="All, unless named.")
args = args.parse_args()
torch.set_num_threads(args.threads)
data: Any = GRAPHS[args.graph]()[0]
rows = [*SCORERS, *OF_STRUCTURE, *(OF_FEATURES if args.graph == "countries" else ())]

for seed in range(args.seeds):
    old = {
        line["label"]: line
        for line in lines("systems")
        if line["settings"] == {"graph": args.graph} and line["seed"] == seed
    }
    if "types" not in old:
        types = Types(data)
        val = validate(types, data)["mrr"]
        write("types", seed, types, 0.0, val, settings={"graph": args.graph})
    for name in args.systems or rows:
        model, given = ("kge", {"scorer": name}) if name in SCORERS else (name, {})
        if name == "complex":  # The recipe of `kge`, which has found its weight.
            given = {}
        if name not in old:
            old[name] = {"recipe": run(name, model, given, seed)}
        label = f"{name}, structure only"
        if name in OF_FEATURES and label not in old:
            run(label, "kge", control(name, old[name]["recipe"]), seed)
