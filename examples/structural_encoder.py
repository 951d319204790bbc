# Trains the structural encoder of IMF (graph attention with the energy of TransE), ranks the test
# facts by this energy alone, and shows which entities are close to each other.
import argparse
import os.path as osp
import time

import torch

from torch_imf import evaluate, fit
from torch_imf.nn import StructuralEncoder
from torch_imf.registry import resolve

parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--dataset", choices=["Countries", "FB15K-237"], default="Countries")
parser.add_argument("--epochs", type=int, default=60)
parser.add_argument("--batch_size", type=int, default=512, help="FB15K-237: rather 16384")
parser.add_argument("--lr", type=float, default=0.01)
parser.add_argument("--hidden_channels", type=int, default=64)
parser.add_argument("--num_layers", type=int, default=2)
parser.add_argument("--heads", type=int, default=4)
parser.add_argument("--dropout", type=float, default=0.0)
parser.add_argument("--num_negatives", type=int, default=4)
parser.add_argument("--num_neighbors", type=int, nargs="+", help="per layer; all if left out")
parser.add_argument("--edge_attention", action="store_true")
parser.add_argument("--paper", action="store_true", help="neither unit length nor residuals")
parser.add_argument("--eval_every", type=int, default=5)
parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()

torch.manual_seed(args.seed)
start = time.perf_counter()
folder = osp.join(osp.dirname(osp.realpath(__file__)), "..", "data", args.dataset)
root = None if args.dataset == "Countries" else folder
data = resolve("dataset", args.dataset, root, text=None)[0]
print(f"{args.dataset}: {data.num_nodes} entities, {int(data.train_mask.sum())} training facts")

encoder = StructuralEncoder(
    data.num_nodes,
    data.num_relations,
    args.hidden_channels,
    args.num_layers,
    args.heads,
    args.dropout,
    num_negatives=args.num_negatives,
    num_neighbors=args.num_neighbors,
    edge_attention=args.edge_attention,
    normalize=not args.paper,
    residual=not args.paper,
).to(args.device)
print(encoder)


def report(entry: dict[str, float]) -> None:
    print(
        f"Epoch: {entry['epoch']:03.0f}, Loss: {entry['loss']:.4f}, Val MRR: {entry['mrr']:.4f}, "
        f"{time.perf_counter() - start:.0f} s",
        flush=True,
    )


fit(
    encoder,
    data,
    epochs=args.epochs,
    batch_size=args.batch_size,
    lr=args.lr,
    eval_every=args.eval_every,
    callback=report,
)
x = encoder.encode(data)  # [N, C], from training facts alone: the structure of IMF
out = evaluate(encoder, data, batch_size=4096)
chance = float((1 / torch.arange(1.0, data.num_nodes + 1)).mean())
print(f"Test MRR: {out['mrr']:.4f}, Hits@1: {out['hits@1']:.4f}, Hits@10: {out['hits@10']:.4f}")
print(f"Chance MRR: {chance:.4f}")

print("Nearest neighbors by L1 distance:")
degree = torch.bincount(data.edge_index[:, data.train_mask].view(-1), minlength=data.num_nodes)
for i in degree.topk(20).indices[[0, 9, 19]].tolist():
    near = torch.cdist(x[i : i + 1], x, p=1.0)[0].argsort()[1:6].tolist()
    print(f"  {data.node_names[i]}: {', '.join(data.node_names[j] for j in near)}")
