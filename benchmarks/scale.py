"""What a step of training costs as a graph grows: AdaMF with RotatE on features of 384 values,
against 64 negatives that 128 facts share, on synthetic graphs whose degrees are as Zipf has them.

    python benchmarks/scale.py --num_nodes 10000 100000 1000000
    python benchmarks/scale.py --num_nodes 4600000 --channels 128 --on_disk

Lines hold the time of a step of 1,024 facts, in the median, that of the processor, facts per second
of the latter (as other work may run beside it; both of all threads), and the memory at its highest,
with whatever the sizes before took. Features are in memory in 32 bits or, with --on_disk, in 16
bits in a file. Lines of an older commit come from a copy of this file in its working tree.
"""

import argparse
import resource
import tempfile
import time

import numpy as np
import torch
from results import append
from torch_geometric.data import Data

from torch_imf import AdaMF
from torch_imf.nn import Sampled
from torch_imf.training import make_loader, make_optimizers


def zipf_graph(num_nodes: int, num_facts: int, num_features: int = 0, seed: int = 0) -> Data:
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
    if num_features > 0:
        data.x_text = torch.randn(num_nodes, num_features, generator=generator)
    return data


def write_features(path: str, num_nodes: int, num_features: int, seed: int = 0) -> None:
    """Writes features of 16 bits, some rows at a time."""
    out = np.lib.format.open_memmap(path, "w+", np.float16, (num_nodes, num_features))
    rng = np.random.default_rng(seed)
    for start in range(0, num_nodes, 2**16):
        size = len(out[start : start + 2**16])
        out[start : start + size] = rng.standard_normal((size, num_features), np.float32)
    out.flush()


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
    parser.add_argument("--on_disk", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    for num_nodes in args.num_nodes:
        data = zipf_graph(num_nodes, args.num_facts, 0 if args.on_disk else args.num_features)
        if args.on_disk:
            from torch_imf.data import map_features  # Which commits of before lack.

            with tempfile.NamedTemporaryFile(suffix=".npy") as file:
                write_features(file.name, num_nodes, args.num_features)
                data.x_text = map_features(file.name)
        loss = Sampled(64, sampler="shared")
        model = AdaMF(num_nodes, 100, args.channels, {"text": data.x_text}, loss=loss)
        loader = iter(make_loader(model, data, args.batch_size))
        optimizer = make_optimizers(model, optimizer=args.optimizer)[0]
        seconds, work = [], []
        for _ in range(args.steps + 1):
            batch = next(loader)
            start = time.perf_counter(), time.process_time()
            optimizer.zero_grad()
            model.loss(*batch).backward()
            optimizer.step()
            seconds.append(time.perf_counter() - start[0])
            work.append(time.process_time() - start[1])
        # The first one allocates.
        step, cpu = (sorted(x[1:])[args.steps // 2] for x in (seconds, work))
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        metrics = {
            "ms_per_step": round(1000 * step, 1),
            "cpu_ms_per_step": round(1000 * cpu, 1),
            "facts_per_cpu_second": round(args.batch_size / cpu),
            "peak_gb": round(peak, 2),
        }
        append("scale", 0, sum(seconds), metrics, settings={**vars(args), "num_nodes": num_nodes})
        print(f"{num_nodes:,} entities: {metrics}", flush=True)
