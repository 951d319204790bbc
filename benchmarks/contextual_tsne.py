"""Contextual embeddings of entities under one relation, by t-SNE (Figure 7 of the paper), with a
number: the silhouette of the classes, before t-SNE.

    python benchmarks/contextual_tsne.py --graph countries --relation continent

The contextual embedding of `h` under `r` is the query `(h, r)` of a view; its class is the tail of
the fact. Training pulls the query of a known fact to its tail, so that only the silhouette of
entities whose fact is held out says what a view knows.
"""

import os.path as osp
from functools import partial

import matplotlib
import torch
from configs import config
from experiment import parser, run, save_figure

from torch_imf.evaluation.ranking import inference
from torch_imf.visualize import plot_tsne, silhouette

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

args = parser(__doc__, seeds=3)
args.add_argument("--relation", default="continent")
args.add_argument("--classes", type=int, default=5, help="the most frequent ones")
args.add_argument("--figure", default=osp.join("figures", "contextual_tsne.png"))
args = args.parse_args()
torch.set_num_threads(args.threads)


def classes(model, data, draw):
    rel = data.rel_names.index(args.relation)
    mask = data.edge_type == rel
    (head, tail), train = data.edge_index[:, mask], data.train_mask[mask]
    label, count = tail.unique(return_counts=True)
    label = label[count.argsort(descending=True)[: args.classes]]
    keep = torch.isin(tail, label)
    head, tail, train = head[keep], tail[keep], train[keep]
    with inference(model) as model:
        z = {view: x[head] for view, x in model.encode().items()}
        query = model.query(z, torch.full_like(head, rel))
    if tail[~train].unique().numel() < 2:
        raise SystemExit(f"'{args.relation}' has held-out facts of less than two classes")
    out = {
        view: {
            "held_out": silhouette(x[~train], tail[~train]),
            "all": silhouette(x, tail),
        }
        for view, x in query.items()
    }
    found = {"silhouette": out, "num_entities": len(head), "num_held_out": int((~train).sum())}
    if not draw:
        return found
    fig, axes = plt.subplots(1, len(query), figsize=(4 * len(query), 3.6), squeeze=False)
    for ax, (view, x) in zip(axes[0], query.items(), strict=True):
        names = [data.node_names[i] for i in tail.tolist()]
        title = f"{view}: silhouette of held-out facts {out[view]['held_out']:.2f}"
        plot_tsne(x, names, ax, title, outline=~train.cpu())
    save_figure(fig, args.figure)
    return found


for seed in range(args.seeds):
    extra = partial(classes, draw=seed == 0)
    run("contextual_tsne", f"IMF, {args.relation}", config(args.graph), seed, extra)
