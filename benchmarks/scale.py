"""What a step of training costs as a graph grows: AdaMF with RotatE on features of 384 values,
against 64 negatives that 128 facts share, on synthetic graphs whose degrees are as Zipf has them.

    python benchmarks/scale.py --num_nodes 10000 100000 1000000

Lines hold the time of a step of 1,024 facts, facts per second, and the memory at its highest. Those
of an older commit come from a copy of this file in its working tree.
"""

import argparse
import resource
import time

import torch
from results import append
from torch_geometric.data import Data

from torch_imf import AdaMF
from torch_imf.nn import Sampled
from torch_imf.training import make_loader, make_optimizers


def zipf_graph(num_nodes: int, num_facts: int, num_features: int, seed: int = 0) -> Data:
    """A graph of 100 relations whose k-th entity stands in about 1 / k as many facts as the first,
    and features of all entities.
    """
    generator = torch.Generator().manual_seed(seed)
    draw = torch.rand(2, num_facts, generator=generator, dtype=torch.double)
    edge_index = (num_nodes**draw).long().clamp(max=num_nodes) - 1
    data = Data(edge_index=edge_index, num_nodes=num_nodes, num_relations=100)
    data.edge_type = torch.randint(100, (num_facts,), generator=generator)
    split = torch.arange(num_facts) % 100
    data.train_mask, data.val_mask, data.test_mask = split > 1, split == 0, split == 1
    data.x_text = torch.randn(num_nodes, num_features, generator=generator)
    return data


if __name__ == "__main__":
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--num_nodes", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--num_facts", type=int, default=1_000_000)
    parser.add_argument("--num_features", type=int, default=384)
    parser.add_argument("--channels", type=int, default=200)
    parser.add_argument("--batch_size", type=int, default=1024)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--optimizer", default="adam")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for num_nodes in args.num_nodes:
        data = zipf_graph(num_nodes, args.num_facts, args.num_features)
        loss = Sampled(64, sampler="shared")
        model = AdaMF(num_nodes, 100, args.channels, {"text": data.x_text}, loss=loss)
        loader = iter(make_loader(model, data, args.batch_size))
        optimizer = make_optimizers(model, optimizer=args.optimizer)[0]
        seconds = []
        for _ in range(args.steps + 1):
            batch = next(loader)
            start = time.perf_counter()
            optimizer.zero_grad()
            model.loss(*batch).backward()
            optimizer.step()
            seconds.append(time.perf_counter() - start)
        step = sorted(seconds[1:])[args.steps // 2]  # The first one allocates.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        metrics = {
            "ms_per_step": round(1000 * step, 1),
            "facts_per_second": round(args.batch_size / step),
            "peak_gb": round(peak, 2),
        }
        append("scale", 0, sum(seconds), metrics, settings={**vars(args), "num_nodes": num_nodes})
        print(f"{num_nodes:,} entities: {metrics}", flush=True)
