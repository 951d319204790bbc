# Draws all figures of a model that `save_pretrained` has saved or, without one, of IMF and AdaMF
# trained on the bundled `Countries` graph, which takes a minute or two:
#   python examples/figures.py
#   python examples/figures.py path/to/model --head France --relation borders --tail Spain
import argparse
import os
import os.path as osp

import torch

from torch_imf import (
    IMF,
    AdaMF,
    ContextualRelationalScorer,
    Predictor,
    calibrate,
    fit,
    from_pretrained,
    pretrained_graph,
    visualize,
)
from torch_imf.data import modalities
from torch_imf.datasets import Countries
from torch_imf.nn import DURA, Contrastive, OneToN

parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("folder", nargs="?", help="of a saved model with its graph")
parser.add_argument("--out", default="figures", help="the folder to draw to")
parser.add_argument("--head", help="of a fact to explain, by default a test fact")
parser.add_argument("--relation")
parser.add_argument("--tail")
parser.add_argument("--relations", nargs="+", help="of which many heads share a tail, for t-SNE")
parser.add_argument("--epochs", type=int, default=60)
args = parser.parse_args()
if len({value is None for value in (args.head, args.relation, args.tail)}) > 1:
    parser.error("--head, --relation and --tail go together")

torch.set_num_threads(min(2, torch.get_num_threads()))
LABELS = {"struct": "structure", "visual": "images", "numeric": "numbers"}
os.makedirs(args.out, exist_ok=True)


def save(fig, name):
    path = osp.join(args.out, f"{name}.png")
    fig.savefig(path)
    print(path)


def train_imf(data):
    torch.manual_seed(0)
    size = (data.num_nodes, data.num_relations, 64)
    scorer = ContextualRelationalScorer(64, 16, "dot", dropout=0.5, batch_norm=True)
    # A view per modality, to be seen in the figures; `countries.py` has the better model of two.
    model = IMF(*size, *modalities(data), scorer=scorer, loss="ce", contrastive=Contrastive(0.1))
    kwargs = {"epochs": args.epochs, "eval_every": 3, "patience": None}
    return model, fit(model, data, batch_size=128, lr=0.003, lr_decay=0.97, **kwargs)


def train_adamf(data):
    torch.manual_seed(0)
    size = (data.num_nodes, data.num_relations, 64)
    loss = OneToN("ce", regularizer=DURA(0.1))
    model = AdaMF(*size, *modalities(data), scorer="complex", loss=loss)
    kwargs = {"epochs": (args.epochs + 1) // 2, "eval_every": 5, "patience": None}
    rates = {"lr": 0.1, "optimizer": "adagrad", "dense_lr": 0.015}
    fit(model, data, batch_size=128, **rates, **kwargs)
    return model


def largest_tails(data):
    # The two relations of which most heads share a tail, of those with test facts.
    rels = data.edge_type[data.test_mask].unique().tolist()
    tails = {r: data.edge_index[1, data.edge_type == r] for r in rels}
    share = {r: x.numel() / x.unique().numel() for r, x in tails.items()}
    return sorted(share, key=lambda r: -share[r])[:2]


history, adamf = [], None
if args.folder:
    model, data = from_pretrained(args.folder), pretrained_graph(args.folder)
else:
    data = Countries()[0]
    model, history = train_imf(data)
    adamf = train_adamf(data)
    default = {"head": "Argentina", "relation": "borders", "tail": "Paraguay"}
    for name, value in default.items() if not args.head else ():
        setattr(args, name, value)
if args.head:
    fact = (args.head, args.relation, args.tail)
else:
    i = int(data.test_mask.nonzero()[0])
    fact = (*data.edge_index[:1, i].tolist(), int(data.edge_type[i]), int(data.edge_index[1, i]))

predictor = Predictor(model, data, calibrate(model, data))
save(visualize.plot_decision(predictor.predict(*fact[:2]), labels=LABELS), "decision")
save(visualize.plot_explanation(predictor.explain(*fact), labels=LABELS), "explanation")
save(visualize.plot_categories(model, data), "categories")
relations = args.relations or largest_tails(data)
save(visualize.plot_contextual(model, data, relations, labels=LABELS), "contextual")
for name, weighed in (("view_shares", model), ("modality_weights", adamf)):
    if weighed is not None:
        try:
            save(visualize.plot_relation_weights(weighed, data, labels=LABELS), name)
        except ValueError as error:  # Not every model has several views.
            print(f"no {name}: {error}")
if history:
    save(visualize.plot_history(history, title="IMF on Countries"), "history")
