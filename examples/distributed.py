# Trains AdaMF by as many processes as `torchrun` starts, on one machine or several:
#     torchrun --nproc-per-node=2 examples/distributed.py
# Each takes its share of every batch and, with `--shard`, holds a share of the entities, too. If it
# is interrupted, the same command goes on, with any number of processes.
import argparse
import os.path as osp

import torch

from torch_imf import AdaMF, evaluate, fit, save_pretrained, shard
from torch_imf.data import is_main, modalities
from torch_imf.datasets import Countries

parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--hidden_channels", type=int, default=64)
parser.add_argument("--epochs", type=int, default=30)
parser.add_argument("--shard", action="store_true", help="share the entities, too")
parser.add_argument("--out", default=osp.join("runs", "distributed"))
args = parser.parse_args()

torch.set_num_threads(1)  # Of each process.
torch.manual_seed(0)  # The same in all of them.
data = Countries()[0]
model = AdaMF(data.num_nodes, data.num_relations, args.hidden_channels, *modalities(data))
model = shard(model) if args.shard else model


def report(entry: dict[str, float]) -> None:
    if is_main() and entry["epoch"] % 5 == 0:
        print(f"Epoch {entry['epoch']}: loss {entry['loss']:.3f}, val MRR {entry['mrr']:.3f}")


# All processes call these at once, and have the same results:
checkpoint = osp.join(args.out, "checkpoint.pt")
settings = {"batch_size": 256, "lr": 0.01, "checkpoint": checkpoint, "callback": report}
fit(model, data, args.epochs, **settings)
result = evaluate(model, data)
save_pretrained(model, osp.join(args.out, "model"), data, result)
if is_main():
    print(f"Test MRR: {result['mrr']:.4f}, Hits@1: {result['hits@1']:.4f}")
