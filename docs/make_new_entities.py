"""Draws what a model answers for ten entities that it has never seen, known by a text and a
picture: takes them out of a graph, trains on the rest, and adds them by `torch-imf add`.

    python docs/make_new_entities.py --graph countries
    python docs/make_new_entities.py --graph openmoji --weights mobilenetv2_100_same.safetensors

Of OpenMoji, all emoji are designed by OpenMoji, the open-source emoji and icon project, under the
licence CC BY-SA 4.0; the weights are those of timm's `mobilenetv2_100`, padded as in TensorFlow.
"""

import argparse
import csv
import os
import os.path as osp
import tempfile

import torch
from matplotlib.figure import Figure
from PIL import Image

from torch_imf import AdaMF, OneToN, StructuralEmbedding, fit, fit_view_weights, save_pretrained
from torch_imf.cli import main
from torch_imf.cli.inputs import Saved
from torch_imf.data import modalities
from torch_imf.datasets import Countries, MultimodalKG, OpenMoji
from torch_imf.encoders import PixelEncoder, VisualEncoder
from torch_imf.visualize.style import COLORS, DARK, LIGHT, shorten

FOLDER = osp.dirname(osp.realpath(__file__))
FIGURES = osp.join(FOLDER, "_static", "figures")
#: What is asked, in turn.
RELATIONS = {
    "countries": ["continent", "region", "official_language", "currency", "borders"],
    "openmoji": ["in_subgroup", "has_tag"],
}
parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("--graph", choices=tuple(RELATIONS), default="countries")
parser.add_argument("--weights", help="those of MobileNetV2 for OpenMoji, or else plain pixels")
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--seed", type=int, default=0)
parser.add_argument("--out", help="the picture")
args = parser.parse_args()


def write(path, rows):
    with open(path, "w", encoding="utf-8", newline="") as file:
        csv.writer(file, "excel-tab", lineterminator="\n").writerows(rows)


def write_folder(folder, nodes, facts=()):
    """Writes the texts and pictures of some entities, and facts, as `torch-imf` reads them."""
    os.makedirs(osp.join(folder, "images"))
    ids, names = data.node_ids, data.node_names
    rows = ([ids[i], names[i], texts[i]] for i in nodes)
    write(osp.join(folder, "texts.tsv"), [["entity", "name", "text"], *rows])
    if facts:
        rows = ([ids[h], data.rel_ids[r], ids[t]] for h, r, t in facts)
        write(osp.join(folder, "facts.tsv"), [["head", "relation", "tail"], *rows])
    for i in nodes:
        if images[i] is not None:
            picture(i).save(osp.join(folder, "images", f"{ids[i]}.png"))


def picture(i):
    image = images[i]
    if isinstance(image, torch.Tensor):
        return Image.fromarray(image.permute(1, 2, 0).numpy())
    return Image.open(image[0]).convert("RGBA")


def encoder():
    if args.graph == "countries" or args.weights is None:
        return PixelEncoder()
    half = (0.5, 0.5, 0.5)
    size = {"mean": half, "std": half, "crop_mode": "squash", "crop_pct": 1.0}
    name, kwargs = "mobilenetv2_100", {"pad_type": "same"}
    cache = osp.join(osp.dirname(FOLDER), "data", "cache")
    return VisualEncoder(
        name, weights=args.weights, model_kwargs=kwargs, data_config=size, cache=cache
    )


none = dict.fromkeys(("text", "visual", "numeric"))
source = {"countries": Countries, "openmoji": OpenMoji}[args.graph]
root = () if source is Countries else (osp.join(osp.dirname(FOLDER), "data", "OpenMoji"),)
dataset = source(*root, **none)
data, images = dataset[0], dataset.images()
texts = [
    text.removeprefix(name).removeprefix(". ")
    for name, text in zip(data.node_names, dataset.texts(), strict=True)
]
head_index, tail_index = data.edge_index.tolist()
facts = list(zip(head_index, data.edge_type.tolist(), tail_index, strict=True))
generator = torch.Generator().manual_seed(args.seed)
pictured = [i for i, image in enumerate(images) if image is not None]
drawn = torch.randperm(len(pictured), generator=generator)[:10].tolist()
new = [pictured[i] for i in drawn]
held_out = [fact for fact in facts if fact[0] in new or fact[2] in new]
facts = [fact for fact in facts if fact[0] not in new and fact[2] not in new]
work = tempfile.mkdtemp()
graph, folder, first, second = (osp.join(work, x) for x in ("graph", "new", "first", "second"))
there = {i for head, _, tail in facts for i in (head, tail)}
write_folder(graph, sorted(there), facts)
write_folder(folder, new)

torch.set_num_threads(min(2, torch.get_num_threads()))
torch.manual_seed(args.seed)
own = MultimodalKG.from_folder(graph, encoders={"visual": encoder()})
print(own.summary())
struct, loss = StructuralEmbedding(dropout=0.5), OneToN("ce", regularizer="n3", seen_only=True)
sizes = own[0].num_nodes, own[0].num_relations, 128
model = AdaMF(*sizes, *modalities(own[0]), scorer="complex", loss=loss, struct=struct)
fit(model, own[0], args.epochs, 256, optimizer="adagrad", lr=0.1, dense_lr=0.06)
model = fit_view_weights(model, own[0], ["types", "features"])
save_pretrained(model, first, own[0], encoders=own.encoders)
if main(["add", first, folder, "--out", second]) != 0:
    raise SystemExit("Nothing was added")

predictor = Saved(second).predictor()
rows = []
for i, node in enumerate(new):
    relations = RELATIONS[args.graph][i % len(RELATIONS[args.graph]) :] + RELATIONS[args.graph]
    right = {
        name: {t for h, r, t in held_out if h == node and data.rel_names[r] == name}
        for name in relations
    }
    relation = next(name for name in relations if right[name] & {*there, *new})
    answers = predictor.predict(data.node_ids[node], relation, k=4)
    ids = [data.node_ids.index(x.node_id) for x in answers]
    found = [(data.node_names[node_id], node_id in right[relation]) for node_id in ids]
    rows.append((node, relation, found))
    marks = [f"{name}{' *' * is_right}" for name, is_right in found]
    names = [data.node_names[i] for i in right[relation]]
    print(f"{data.node_names[node]}, {relation}: {', '.join(marks)} (right: {', '.join(names)})")

fig = Figure(figsize=(10, 4.6), dpi=90)
ax = fig.add_axes((0, 0, 1, 1))
ax.axis("off")
style = {"va": "center", "fontsize": 8.5, "color": DARK}
for x, title in ((0.75, "new entity"), (2.75, "question"), (4.0, "answers, best first")):
    ax.text(x, 0, title, weight="bold", **style)
for y, (node, relation, found) in enumerate(rows, start=1):
    ax.axhline(0.5 - y, color=LIGHT, linewidth=0.6)
    image = picture(node)
    width = 0.42 * min(1, image.width / image.height / 1.5)
    box = (0.35 - width / 2, 0.35 + width / 2, -y - 0.41, -y + 0.41)
    ax.imshow(image, extent=box, interpolation="antialiased", aspect="auto")
    ax.text(0.75, -y, shorten(data.node_names[node], 28), **style)
    ax.text(2.75, -y, f"{relation.replace('_', ' ')}?", **style)
    for j, (name, is_right) in enumerate(found):
        mark = {"color": COLORS[2], "weight": "bold"} if is_right else {"color": "#8a8a8a"}
        text = f"{'✓ ' * is_right}{shorten(name, 20)}"
        ax.text(4.0 + 1.5 * j, -y, text, **{**style, **mark})
ax.set_xlim(0, 10)  # Each image has changed them.
ax.set_ylim(-10.55, 0.5)
out = args.out or osp.join(FIGURES, f"new_{args.graph}.png")
fig.savefig(out)
print(osp.relpath(out))
