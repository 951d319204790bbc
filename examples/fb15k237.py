# Trains IMF on FB15K-237 with structure, texts and numeric literals, selects the epoch on
# validation, and ranks the test facts.
import argparse
import os.path as osp
import time

import torch

from torch_imf import IMF, IMFFusion, evaluate, fit, fit_view_weights, predict
from torch_imf.data import modalities
from torch_imf.datasets import FB15K237
from torch_imf.encoders import TfidfEncoder
from torch_imf.nn import DURA, Contrastive, OneToN

parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--epochs", type=int, default=16)
parser.add_argument("--batch_size", type=int, default=2048)
# ComplEx and Adagrad converge in far fewer epochs than the paper's contextual scorer and Adam:
parser.add_argument("--scorer", default="complex")
parser.add_argument("--optimizer", default="adagrad")
parser.add_argument("--lr", type=float, default=0.1, help="of embeddings")
parser.add_argument("--dense_lr", type=float, default=0.015, help="of everything else")
parser.add_argument("--hidden_channels", type=int, default=512)
parser.add_argument("--latent_channels", type=int, default=128)
parser.add_argument("--views", nargs="+", default=["struct", "text", "fused"])
parser.add_argument("--loss", choices=["bce", "ce"], default="ce")
parser.add_argument("--regularization", type=float, default=0.05, help="the weight of DURA")
parser.add_argument("--contrastive_weight", type=float, default=0.1)
parser.add_argument("--eval_every", type=int, default=2)
parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
parser.add_argument("--checkpoint", help="a file to go on from after an interruption")
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()

torch.manual_seed(args.seed)
start = time.perf_counter()
path = osp.join(osp.dirname(osp.realpath(__file__)), "..", "data", "FB15K-237")
# TF-IDF takes seconds; `TextEncoder("all-MiniLM-L6-v2")` is there for those with a GPU:
data = FB15K237(path, text=TfidfEncoder(512), visual=None)[0]
x_dict, mask_dict = modalities(data)
channels = args.hidden_channels
in_channels = dict.fromkeys(["struct", *x_dict], channels)
model = IMF(
    *(data.num_nodes, data.num_relations, channels, x_dict, mask_dict),
    views=args.views,
    scorer=args.scorer,
    fusion=IMFFusion(in_channels, channels, rank=1, latent_channels=args.latent_channels),
    loss=OneToN(args.loss, regularizer=DURA(args.regularization)),
    contrastive=Contrastive(args.contrastive_weight),
).to(args.device)


def report(entry: dict[str, float]) -> None:
    minutes = (time.perf_counter() - start) / 60
    print(
        f"Epoch: {entry['epoch']:02.0f}/{args.epochs}, Loss: {entry['loss']:.4f}, "
        f"Val MRR: {entry['mrr']:.4f}, Val Hits@10: {entry['hits@10']:.4f}, {minutes:.1f} min",
        flush=True,
    )


history = fit(
    model,
    data,
    args.epochs,
    args.batch_size,
    lr=args.lr,
    dense_lr=args.dense_lr,
    optimizer=args.optimizer,
    precision=args.precision,
    eval_every=args.eval_every,
    checkpoint=args.checkpoint,
    callback=report,
)
best = max(history, key=lambda entry: entry["mrr"])
model = fit_view_weights(model, data)  # Views vote, and rules with them.
weights = model.view_weights()
print("Weights: " + ", ".join(f"{view}: {weight:.3f}" for view, weight in weights.items()))
out = evaluate(model, data, "test", progress=True)
names = {"mrr": "MRR", "hits@1": "Hits@1", "hits@3": "Hits@3", "hits@10": "Hits@10", "mr": "MR"}
print(f"Best epoch: {best['epoch']:02.0f}, Val MRR: {best['mrr']:.4f}")
print(f"Of the vote, by cross-validation: {model.fitted['mrr']:.4f}")
print("Test " + ", ".join(f"{label}: {out[key]:.4f}" for key, label in names.items()))

i = int(data.test_mask.nonzero()[args.seed])
head, rel = int(data.edge_index[0, i]), int(data.edge_type[i])
print(f"{data.node_names[head]}, {data.rel_names[rel]} (* is a test fact):")
for answer in predict(model, data, head, rel, k=5, known="remove", keep=data.test_mask):
    print(f"  {answer.name}{'*' if answer.known else ''} {answer.score:.2f} {answer.views}")
