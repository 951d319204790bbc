"""The scores of each view for one query (Figure 4 of the paper), and how often views complement
each other.

    python benchmarks/decision.py --graph countries

Trains IMF, draws the first test query that all views together answer and none of them alone, and
counts such queries.
"""

import os.path as osp
from functools import partial

import matplotlib
import torch
from configs import config
from experiment import parser, run, save_figure

from torch_imf import predict
from torch_imf.data import TripletIndex
from torch_imf.data.index import both_sides
from torch_imf.evaluation.ranking import rank_tails
from torch_imf.visualize import plot_decision

matplotlib.use("Agg")
import matplotlib.pyplot as plt  # noqa: E402

args = parser(__doc__, seeds=1)
args.add_argument("--figure", default=osp.join("figures", "decision.png"))
args = args.parse_args()
torch.set_num_threads(args.threads)


def complement(model, data, draw):
    mask = data.test_mask
    (head, tail), rel = data.edge_index[:, mask], data.edge_type[mask]
    triples = both_sides(head, rel, tail, data.num_relations)
    index = TripletIndex.from_data(data)
    rank = {}
    for view in [None, *model.views]:
        greater, equal = rank_tails(model, *triples, index, view=view)
        rank[view] = 1 + greater + equal / 2
    alone = torch.stack([rank[view] for view in model.views]).min(dim=0).values
    first = (rank[None] == 1) & (alone > 1)
    if draw and bool(first.any()):
        i = int(first.nonzero()[0])
        head, rel, tail = (int(x[i]) for x in triples)
        answers = predict(model, data, head, rel, k=8, known="remove", keep=data.test_mask)
        name = data.rel_names[rel % data.num_relations]
        name += " (inverse)" if rel >= data.num_relations else ""
        fig, ax = plt.subplots(figsize=(7, 4))
        plot_decision(answers, ax, f"{data.node_names[head]}, {name}: ?  (* test fact)")
        save_figure(fig, args.figure)
        print(f"  figure: {args.figure}")
    return {
        "views": {
            "all": {"mrr": float(rank[None].reciprocal().mean())},
            **{v: {"mrr": float(rank[v].reciprocal().mean())} for v in model.views},
        },
        "first_together": int((rank[None] == 1).sum()),
        "first_together_not_alone": int(first.sum()),
        "num_queries": rank[None].numel(),
    }


for seed in range(args.seeds):
    run("decision", "IMF", config(args.graph), seed, partial(complement, draw=seed == 0))
