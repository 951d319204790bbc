"""Draws the picture of the README: a graph with a missing link, the views of its entities, and what
a model answers. Its answers are those of IMF, trained on the bundled `Countries` graph.

    python docs/make_overview.py
"""

import argparse
import os.path as osp

import torch
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

from torch_imf import IMF, ContextualRelationalScorer, Predictor, calibrate, fit
from torch_imf.data import modalities
from torch_imf.datasets import Countries
from torch_imf.nn import Contrastive
from torch_imf.visualize.style import COLORS, DARK, LIGHT, VIEW_COLORS

FOLDER = osp.dirname(osp.realpath(__file__))
parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--out", default=osp.join(FOLDER, "_static", "figures", "overview.png"))
parser.add_argument("--head", default="Nepal", help="the query, on 'borders'")
parser.add_argument("--epochs", type=int, default=60)
args = parser.parse_args()

torch.set_num_threads(min(2, torch.get_num_threads()))
torch.manual_seed(0)
dataset = Countries()
data = dataset[0]
scorer = ContextualRelationalScorer(64, 16, "dot", dropout=0.5, batch_norm=True)
size = (data.num_nodes, data.num_relations, 64)
kwargs = {"scorer": scorer, "loss": "ce", "contrastive": Contrastive(0.1)}
model = IMF(*size, *modalities(data), views=["struct", "fused"], **kwargs)
schedule = {"lr": 0.003, "lr_decay": 0.97, "eval_every": 3, "patience": None}
fit(model, data, epochs=args.epochs, batch_size=128, **schedule)
calibration = calibrate(model, data)
head, rel = data.node_names.index(args.head), data.rel_names.index("borders")
# Training facts are left out: what is asked for are the borders that it does not hold.
held_out = data.val_mask | data.test_mask
answers = Predictor(model, data, calibration).predict(head, rel, k=5, keep=held_out)
print(answers)

fig = Figure(figsize=(16, 7), dpi=100)
ax = fig.add_axes((0, 0, 1, 1))
ax.set_xlim(0, 16)
ax.set_ylim(0, 7)
ax.axis("off")
flags = dict(zip(data.node_names, dataset.images(), strict=True))


def text(x, y, value, size=19, **style):
    style = {"ha": "center", "va": "center", "color": DARK, **style}
    ax.text(x, y, value, fontsize=size, **style)


def flag(name, x, y, width):
    height = width * 2 / 3
    box = (x - width / 2, x + width / 2, y - height / 2, y + height / 2)
    image = flags[name].permute(1, 2, 0).numpy()
    ax.imshow(image, extent=box, interpolation="bilinear", zorder=3, aspect="auto")
    ax.add_patch(
        FancyBboxPatch(
            (box[0], box[2]), width, height, boxstyle="square,pad=0", fill=False, ec=DARK, zorder=4
        )
    )


def box(x, y, width, height, color):
    style = {"boxstyle": "round,pad=0.05,rounding_size=0.18", "fc": color, "ec": "none"}
    ax.add_patch(FancyBboxPatch((x - width / 2, y - height / 2), width, height, **style))


def arrow(start, end, color=DARK, **style):
    style = {"arrowstyle": "-|>", "mutation_scale": 24, "linewidth": 2.4, "shrinkA": 0, **style}
    ax.add_patch(FancyArrowPatch(start, end, color=color, **style))


for x, title in ((2.9, "a graph with gaps"), (8.3, "views, fused"), (13.3, "ranked answers")):
    text(x, 6.55, title, 24, weight="bold")

# At the left, the graph: the head of the query, one neighbor that is known, and the best answer.
known = (data.edge_index[0] == head) & (data.edge_type == rel) & data.train_mask
neighbor = data.node_names[int(data.edge_index[1, known][0])]
best = answers[0].name
place = {args.head: (1.3, 4.0), neighbor: (4.5, 5.35), best: (4.5, 2.45)}
for name, (x, y) in place.items():
    flag(name, x, y, 1.2)
    text(x, y - 0.64, name, 18)
arrow((2.1, 4.3), (3.75, 5.1))
text(2.75, 5.0, "borders", 17, rotation=26)
ax.plot([2.1, 3.6], [3.6, 2.782], "--", color=COLORS[4], linewidth=2.4)
arrow((3.5, 2.836), (3.75, 2.7), COLORS[4])
text(2.72, 2.78, "borders?", 17, rotation=-29, color=COLORS[4], weight="bold")
# What else is known of the head, in the colours of the views below:
words = dataset.texts()[head].split(". ", 1)[1].split()
notes = [(f"“{' '.join(words[:6]).rstrip(',')} …”", "text", "italic")]
entity, attribute, value = dataset.literals()
rows = (entity == head).nonzero().view(-1).tolist()
for i in rows[:2]:
    name = attribute[i].replace("_", " ")
    notes.append((f"{name} {int(value[i]):,}", "numeric", "normal"))
for i, (note, view, style) in enumerate(notes):
    box(0.5, 1.25 - 0.45 * i, 0.18, 0.18, VIEW_COLORS[view])
    text(0.75, 1.25 - 0.45 * i, note, 17, ha="left", style=style)

# In the middle, the views and their fusion:
views = {"struct": "structure", "text": "texts", "visual": "images", "numeric": "numbers"}
for i, (view, label) in enumerate(views.items()):
    y = 5.45 - 1.3 * i
    box(7.2, y, 1.9, 0.8, VIEW_COLORS[view])
    text(7.2, y, label, 20, color="black" if view in ("text", "numeric") else "white")
    arrow((8.25, y), (8.95, 3.5 + 0.28 * (1.5 - i)), VIEW_COLORS[view])
box(9.7, 3.5, 1.3, 1.7, VIEW_COLORS["fused"])
text(9.7, 3.5, "IMF", 24, color="white", weight="bold")
arrow((5.45, 3.5), (6.05, 3.5), mutation_scale=34, linewidth=4)
arrow((10.5, 3.5), (11.1, 3.5), mutation_scale=34, linewidth=4)

# At the right, the answers and their probabilities, bars up to 100 %:
for i, answer in enumerate(answers):
    y = 5.35 - 0.95 * i
    flag(answer.name, 11.85, y, 0.78)
    ax.barh(y - 0.2, 2.4 * answer.probability, left=12.45, height=0.2, color=COLORS[0], zorder=3)
    ax.barh(y - 0.2, 2.4, left=12.45, height=0.2, color=LIGHT, zorder=2)
    mark = " ✓" if answer.known else ""
    text(12.45, y + 0.15, f"{answer.name}{mark}", 18, ha="left")
    text(15.8, y - 0.17, f"{100 * answer.probability:.0f} %", 19, ha="right")
text(13.3, 5.98, f"{args.head} borders ?", 19)
text(13.3, 0.75, "✓ a fact that training did not hold", 15)
fig.savefig(args.out)
print(args.out)
