"""What each ingredient and each modality adds to IMF (Tables 2-4 of the paper).

    python benchmarks/ablation.py --graph countries

All variants share their settings (`configs.py`) and differ in what their name says. Rows:

- `IMF`: all views; `w/o MF`: structure alone; `w/o DF`: the fused view alone; `w/o CL`: no
  contrastive loss; `w/o fused view`: decision fusion of the single views, without the paper's
  multimodal fusion, which the paper does not measure.
- `random structure`, `frozen structure`, `joint structure`: what becomes of the structural encoder,
  whose embeddings IMF starts from otherwise.
- `paper`: the paper's equations, where they can be trained; `released code`: its choices.
- `S`, `S+V`, `S+T`, `S+V+T`, `S+V+T+N`: structure with images, texts, numeric literals.
"""

from configs import PAPER, RELEASED, config, settings_of, variant
from experiment import load, parser, run
from torch import set_num_threads

from torch_imf.data import modalities

LETTERS = {"visual": "V", "text": "T", "numeric": "N"}
args = parser(__doc__, seeds=5)
args.add_argument("--rows", nargs="+", help="the rows to run, all of them by default")
args = args.parse_args()
set_num_threads(args.threads)

base = config(args.graph)
views = base["model"]["views"]
names = [name for name in LETTERS if name in modalities(load(args.graph))[0]]
single = [view for view in views if view != "fused"]
rows = {
    "IMF": base,
    "w/o MF": variant(base, views=["struct"]),
    "w/o DF": variant(base, views=["fused"]),
    "w/o CL": variant(base, contrastive_weight=0.0),
    "w/o fused view": variant(base, views=single),
}
if "struct" in base:
    rows["random structure"] = {k: v for k, v in base.items() if k != "struct"}
    for use in ("frozen", "joint"):
        rows[f"{use} structure"] = {**base, "struct": {**base["struct"], "use": use}}
rows["paper"] = settings_of(base, PAPER)
rows["released code"] = settings_of(base, RELEASED)
for chosen in [["visual"], ["text"], ["visual", "text"], ["visual", "text", "numeric"]]:
    if set(chosen) <= set(names):
        label = "+".join(["S", *(LETTERS[name] for name in chosen)])
        kept = [v for v in views if v in {"struct", "fused", *chosen}]
        rows[label] = {**variant(base, views=kept), "modalities": chosen}

for label, settings in rows.items():
    if args.rows is None or label in args.rows:
        for seed in range(args.seeds):
            run("ablation", label, settings, seed)
