# Trains AdaMF-MAT on MKG-Y with structure and texts, selects the epoch on validation, ranks the
# test facts, and tells how much each modality weighs. `--adv_weight 0` is plain AdaMF.
import argparse
import os.path as osp
import time

import torch

from torch_imf import AdaMF, Adversary, evaluate, fit
from torch_imf.data import modalities
from torch_imf.datasets import MKGY
from torch_imf.nn import DURA, OneToN, Sampled

parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--epochs", type=int, default=12)
parser.add_argument("--batch_size", type=int, default=1024)
# ComplEx against all entities converges in far fewer epochs than the paper's RotatE against
# negatives: `--scorer rotate --loss sampled --optimizer adamw --lr 0.003 --dense_lr 0.003`.
parser.add_argument("--scorer", default="complex")
parser.add_argument("--loss", choices=["ce", "bce", "sampled"], default="ce")
parser.add_argument("--num_negatives", type=int, default=64, help="of the sampled loss")
parser.add_argument("--optimizer", default="adagrad")
parser.add_argument("--lr", type=float, default=0.1, help="of embeddings")
parser.add_argument("--dense_lr", type=float, default=0.015, help="of everything else")
parser.add_argument("--hidden_channels", type=int, default=400)
parser.add_argument("--regularization", type=float, default=0.1)
parser.add_argument("--adv_weight", type=float, default=0.01, help="of synthetic triples")
parser.add_argument("--num_groups", type=int, default=1, help="of synthetic triples per fact")
parser.add_argument("--eval_every", type=int, default=2)
parser.add_argument("--precision", choices=["bf16", "fp32"], default="bf16")
parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
parser.add_argument("--checkpoint", help="a file to go on from after an interruption")
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()

torch.manual_seed(args.seed)
start = time.perf_counter()
path = osp.join(osp.dirname(osp.realpath(__file__)), "..", "data", "MKGY")
data = MKGY(path, scheme="clean", text="auto", visual=None)[0]
x_dict, mask_dict = modalities(data)
if args.loss == "sampled":
    loss = Sampled(args.num_negatives, sampler="shared")
else:
    loss = OneToN(args.loss, regularizer=DURA(args.regularization))
model = AdaMF(
    *(data.num_nodes, data.num_relations, args.hidden_channels, x_dict, mask_dict),
    scorer=args.scorer,
    loss=loss,
    adversary=Adversary(args.adv_weight, args.num_groups),
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
out = evaluate(model, data, "test", progress=True)
names = {"mrr": "MRR", "hits@1": "Hits@1", "hits@3": "Hits@3", "hits@10": "Hits@10", "mr": "MR"}
print(f"Best epoch: {best['epoch']:02.0f}, Val MRR: {best['mrr']:.4f}")
print("Test " + ", ".join(f"{label}: {out[key]:.4f}" for key, label in names.items()))

with torch.no_grad():
    alpha = model.fusion(model.embed(), model.masks(), return_attention_weights=True)[1]
weights = zip(model.fusion.in_channels, alpha.mean(dim=0).tolist(), strict=True)
print("Mean weights: " + ", ".join(f"{name}: {weight:.3f}" for name, weight in weights))
