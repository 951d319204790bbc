"""Whether accuracy pays for speed: IMF trained fast and trained plainly, from the same seed.

Both start from the same parameters, and see the same batches in the same order, on the facts among
4,000 entities of FB15K-237. Fast is `fit` with `precision="bf16"`; plain is `fit` with the loss of
`plain.py`, dense and in float32. Both select their epoch on validation and rank the test facts.
"""

import argparse
import time

import plain
import torch
from graphs import graph
from results import append
from torch import Tensor

from torch_imf import IMF, evaluate, fit
from torch_imf.data import modalities

parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--graph", default="fb15k237-4k")
parser.add_argument("--hidden_channels", type=int, default=64)
parser.add_argument("--batch_size", type=int, default=512)
parser.add_argument("--epochs", type=int, default=15)
parser.add_argument("--lr", type=float, default=3e-3)
parser.add_argument("--seeds", type=int, default=3)
parser.add_argument("--threads", type=int, default=1)
args = parser.parse_args()


class PlainIMF(IMF):
    def loss(self, head_index: Tensor, rel_type: Tensor, *target: Tensor) -> Tensor:
        dense = torch.zeros(head_index.numel(), self.num_nodes)
        dense[target[0][0], target[0][1]] = 1.0
        return plain.loss(self, head_index, rel_type, dense)


torch.set_num_threads(args.threads)
data = graph(args.graph)
x_dict, mask_dict = modalities(data)
for seed in range(args.seeds):
    metrics, start = {}, time.perf_counter()
    for name, cls, precision in (("fast", IMF, "bf16"), ("plain", PlainIMF, "fp32")):
        begin = time.perf_counter()
        torch.manual_seed(seed)
        sizes = data.num_nodes, data.num_relations, args.hidden_channels
        model = cls(*sizes, x_dict, mask_dict, views=["struct", "text", "fused"])
        history = fit(
            *(model, data, args.epochs, args.batch_size, args.lr),
            precision=precision,
            eval_every=3,
            patience=None,
        )
        result = evaluate(model, data)
        metrics[name] = {key: result[key] for key in ("mrr", "hits@1", "hits@10")}
        metrics[name]["val_mrr"] = max(entry["mrr"] for entry in history)
        metrics[name]["seconds"] = round(time.perf_counter() - begin, 1)
        print(f"seed {seed}, {name}: MRR {result['mrr']:.4f}, {metrics[name]['seconds']} s")
    metrics["difference"] = metrics["fast"]["mrr"] - metrics["plain"]["mrr"]
    append("speed_accuracy", seed, time.perf_counter() - start, metrics, settings=vars(args))
