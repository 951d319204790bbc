"""Whether the facts that `complete` proposes come true as often as it says.

A ComplEx with 64 channels is trained, the calibration is fitted to validation facts, and the best
facts are listed as if test facts were not known: they are what is true. `error` is the expected
calibration error over ten bins, and `noise` the one that a perfect calibration would have on as few
facts. Beside it is the probability of an answer to a query that misses one, on its own best facts.

    python benchmarks/reliability.py --graph mkgw --epochs 12
"""

import argparse
import dataclasses
import json
import time
from typing import Any

import torch
from graphs import graph
from results import append
from torch import Tensor
from torch_geometric.data import Data

from torch_imf import KGE, Calibration, Predictor, calibrate, calibration_error, fit
from torch_imf.data import TripletIndex


def reliability(
    model: torch.nn.Module, data: Data, calibration: Calibration, k: int
) -> dict[str, Any]:
    """How often the best facts that are not in training or validation are test facts."""
    predictor = Predictor(model, data, calibration)
    predictor.known = TripletIndex.from_data(data, ~data.test_mask)
    found = predictor.complete(k)
    facts = torch.tensor([[x.head_index, x.rel_type, x.tail_index] for x in found]).t()
    true = TripletIndex.from_data(data, data.test_mask).contains(*facts).double()
    probability = torch.tensor([x.probability for x in found], dtype=torch.double)
    error = calibration_error(probability, true)
    draws = torch.bernoulli(probability.expand(200, -1), generator=torch.Generator().manual_seed(0))
    noise = sum(calibration_error(probability, x) for x in draws) / len(draws)
    return {
        "mean": float(probability.mean()),
        "true": float(true.mean()),
        "error": error,
        "noise": noise,
        "bins": bins(probability, true),
    }


def bins(probability: Tensor, true: Tensor) -> list[tuple[int, float, float]]:
    """The number of facts, the mean probability and the share of true ones in each of ten bins."""
    pos = (10 * probability).long().clamp(max=9)
    parts = [pos == i for i in pos.unique()]
    return [(int(x.sum()), float(probability[x].mean()), float(true[x].mean())) for x in parts]


if __name__ == "__main__":
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--graph", default="countries")
    parser.add_argument("--epochs", type=int, default=40)
    parser.add_argument("--k", type=int, default=200, help="Facts to list.")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()

    torch.set_num_threads(args.threads)
    torch.manual_seed(args.seed)
    data = graph(args.graph)
    start = time.perf_counter()
    model = KGE(data.num_nodes, data.num_relations, 64, scorer="complex", loss="ce")
    options: Any = {"optimizer": "adagrad", "eval_every": args.epochs}
    fit(model, data, epochs=args.epochs, batch_size=512, lr=0.1, **options)
    calibration = calibrate(model, data)
    conditional = dataclasses.replace(calibration, chance=None)
    result = {
        "chance": reliability(model, data, calibration, args.k),
        "conditional": reliability(model, data, conditional, args.k),
    }
    print(json.dumps(result, indent=2))
    seconds = time.perf_counter() - start
    append("reliability", args.seed, seconds, result, settings=vars(args))
