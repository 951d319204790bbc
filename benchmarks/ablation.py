"""What each ingredient and each modality adds to IMF (Tables 2-4 of the paper).

    python benchmarks/ablation.py --graph countries
    python benchmarks/ablation.py --graph fb15k237-full    # for a GPU

All variants share their settings (`configs.py`) and differ in what their name says. Rows:

- `IMF`: the views of `configs.py`; `w/o MF`: structure alone; `w/o DF`: the fused view alone;
  `w/o CL`: no contrastive loss; `CL of weight 1`, `InfoNCE`: more of it, and another one.
- `shuffled features`: every entity has the texts and images of another, so that what remains of the
  gain is that of one more view, and not of what the features say.
- `calibrated`: the weights of views are fitted to validation facts at last
  (`torch_imf.fit_view_weights`), where `configs.py` does not ask for it anyway.
- `single views`: decision fusion of structure and texts, without the paper's multimodal fusion;
  `all views`: with a vote for texts beside those of structure and the fused view.
- `texts alone`: no structure at all, each entity is its text.
- `random structure`, `frozen structure`, `joint structure`: what becomes of the structural encoder,
  whose embeddings IMF starts from otherwise.
- `Eq. 4 as printed`: a plain product of the modalities. All equations as printed, and what the
  released code chooses, are recipes of the package (`recipe.py`).
- `S+V`, `S+T`, `S+V+T`, `S+V+T+N`: structure with images, texts, numeric literals.
"""

from configs import config, variant
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
names = [name for name in LETTERS if name in modalities(load(base["graph"]))[0]]
rows = {
    "IMF": base,
    "w/o MF": variant(base, {"views": ["struct"]}),
    "w/o DF": variant(base, {"views": ["fused"]}),
    "w/o CL": variant(base, {"contrastive.weight": 0.0}),
    "CL of weight 1": variant(base, {"contrastive.weight": 1.0}),
    "InfoNCE": variant(base, {"contrastive.temperature": 0.1}),
    "shuffled features": {**base, "shuffle": True},
    "calibrated": {**base, "fit_view_weights": True},
    "single views": variant(base, {"views": ["struct", "text"]}),
    "all views": variant(base, {"views": ["struct", "text", "fused"]}),
}
if "text" in names:
    texts = variant({**base, "modalities": ["text"]}, {"views": ["text"]})
    texts.pop("struct", None)
    rows["texts alone"] = texts
    rows["texts alone, shuffled"] = {**texts, "shuffle": True}
if "struct" in base:
    plain = {k: v for k, v in base.items() if k != "struct"}
    rows["random structure"] = plain
    rows["random structure, w/o MF"] = variant(plain, {"views": ["struct"]})
    rows["random structure, shuffled features"] = {**plain, "shuffle": True}
    for use in ("frozen", "joint"):
        rows[f"{use} structure"] = {**base, "struct": {**base["struct"], "use": use}}
printed = {"fusion": "imf", "fusion.rank": 1, "fusion.all_orders": False}
rows["Eq. 4 as printed"] = variant(base, printed)
for chosen in [["visual"], ["text"], ["visual", "text"], ["visual", "text", "numeric"]]:
    if set(chosen) <= set(names):
        label = "+".join(["S", *(LETTERS[name] for name in chosen)])
        kept = [v for v in views if v in {"struct", "fused", *chosen}]
        rows[label] = {**variant(base, {"views": kept}), "modalities": chosen}

unknown = sorted(set(args.rows or []) - set(rows))
if unknown:
    raise SystemExit(f"Unknown rows {unknown}, choose of {list(rows)}")
full = " (full)" if args.graph.endswith("-full") else ""
for label, settings in rows.items():
    if args.rows is None or label in args.rows:
        for seed in range(args.seeds):
            run("ablation", f"{label}{full}", settings, seed)
