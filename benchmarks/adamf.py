"""AdaMF on MKG-Y and MKG-W (Table 2 of the AdaMF-MAT paper): ComplEx on the adaptive fusion of
structure and texts, trained by the softmax over facts, selected on validation.

Texts are names and the descriptions at hand, by TF-IDF; images are left out, as few entities have
one here. `--no_text` fuses nothing but structure.
"""

import argparse
import os.path as osp
import time

import torch
from graphs import DATA
from results import append

from torch_imf import AdaMF, evaluate, fit
from torch_imf.data import modalities
from torch_imf.resolver import dataset_resolver

parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--dataset", default="MKGY", choices=["MKGY", "MKGW"])
parser.add_argument("--hidden_channels", type=int, default=400)
parser.add_argument("--epochs", type=int, default=20)
parser.add_argument("--batch_size", type=int, default=1024)
parser.add_argument("--lr", type=float, default=0.1)
parser.add_argument("--dense_lr", type=float, default=0.015)
parser.add_argument("--regularization", type=float, default=0.1)
parser.add_argument("--eval_every", type=int, default=2)
parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
parser.add_argument("--no_text", action="store_true")
parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()

start = time.perf_counter()
root = osp.join(DATA, args.dataset)
text = None if args.no_text else "auto"
data = dataset_resolver(args.dataset, root, split="clean", text=text, visual=None)[0]
x_dict, mask_dict = modalities(data)
torch.manual_seed(args.seed)
model = AdaMF(
    *(data.num_nodes, data.num_relations, args.hidden_channels, x_dict, mask_dict),
    scorer="complex",
    loss="ce",
    regularization=args.regularization,
).to(args.device)
history = fit(
    model,
    data,
    args.epochs,
    args.batch_size,
    lr=args.lr,
    dense_lr=args.dense_lr,
    optimizer="adagrad",
    precision=args.precision,
    eval_every=args.eval_every,
    callback=lambda entry: print(f"{entry['epoch']:.0f}: val MRR {entry['mrr']:.4f}", flush=True),
)
out = evaluate(model, data, "test")
metrics = {key: round(value, 4) for key, value in out.items() if not isinstance(value, dict)}
best = max(history, key=lambda entry: entry["mrr"])
print(f"Epoch {best['epoch']:.0f}, val MRR {best['mrr']:.4f}, test {metrics}")
curve = [[entry["epoch"], round(entry["mrr"], 4)] for entry in history]
info = {"settings": vars(args), "val_mrr": round(best["mrr"], 4), "curve": curve}
append("adamf", args.seed, time.perf_counter() - start, metrics, **info)
