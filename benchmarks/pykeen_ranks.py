"""Compares `evaluate` with PyKEEN's `RankBasedEvaluator` on a trained DistMult.

The same weights are ranked by both on the same facts: every metric needs to agree, and both are
timed in the same run. Needs `pip install pykeen`, which the package itself does not.
"""

import argparse
import time
from typing import Any

import torch
from pykeen.evaluation import RankBasedEvaluator
from pykeen.evaluation.rank_based_evaluator import RankBasedMetricResults
from pykeen.models import DistMult
from pykeen.triples import CoreTriplesFactory
from results import append
from torch import Tensor
from torch_geometric.data import Data

from torch_imf import KGE, evaluate, fit
from torch_imf.registry import resolve

NAMES = {
    "mr": "arithmetic_mean_rank",
    "mrr": "inverse_harmonic_mean_rank",
    "hits@1": "hits_at_1",
    "hits@3": "hits_at_3",
    "hits@10": "hits_at_10",
}


def factory(data: Data, mask: Tensor, **kwargs: bool) -> CoreTriplesFactory:
    """The facts of a graph that the mask selects, as PyKEEN has them."""
    triples = torch.stack([data.edge_index[0], data.edge_type, data.edge_index[1]], dim=1)
    return CoreTriplesFactory(triples[mask], data.num_nodes, data.num_relations, **kwargs)


def twins(data: Data, model: KGE) -> DistMult:
    """PyKEEN's DistMult with the weights of ours, whose inverse relations become its relations:
    PyKEEN scores heads by the same relation.
    """
    other = DistMult(
        triples_factory=factory(data, data.train_mask),
        embedding_dim=model.hidden_channels,
        entity_constrainer=None,
        regularizer=None,
    )
    with torch.no_grad():
        rel, inverse = model.rel_emb.weight.chunk(2)
        inverse.copy_(rel)
        other.entity_representations[0]._embeddings.weight.copy_(model.node_emb.weight)
        other.relation_representations[0]._embeddings.weight.copy_(rel)
    return other


def pykeen_evaluate(model: DistMult, data: Data, batch_size: int) -> RankBasedMetricResults:
    """The filtered ranks of test facts by PyKEEN."""
    return RankBasedEvaluator(filtered=True).evaluate(
        model,
        factory(data, data.test_mask).mapped_triples,
        additional_filter_triples=factory(data, ~data.test_mask).mapped_triples,
        batch_size=batch_size,
        use_tqdm=False,
    )


def compare(
    ours: dict[str, Any], theirs: RankBasedMetricResults
) -> tuple[dict[str, list[float]], float]:
    """Every metric by both, and the largest difference, which is relative for mean ranks."""
    metrics, worst = {}, 0.0
    for side in ("both", "head", "tail"):
        part = ours if side == "both" else ours[side]
        for name, key in NAMES.items():
            value = theirs.get_metric(f"{side}.realistic.{key}")
            metrics[f"{side}.{name}"] = [part[name], value]
            error = abs(part[name] - value) / (value if name == "mr" else 1.0)
            worst = max(worst, error)
    return metrics, worst


def main() -> None:
    parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    parser.add_argument("--dataset", default="countries")
    parser.add_argument("--root", help="where to keep the dataset")
    parser.add_argument("--hidden_channels", type=int, default=64)
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch_size", type=int, default=512)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    torch.set_num_threads(min(2, torch.get_num_threads()))
    kwargs = {} if args.root is None else {"root": args.root}
    data = resolve("dataset", args.dataset, text=None, visual=None, **kwargs)[0]
    model = KGE(data.num_nodes, data.num_relations, args.hidden_channels, loss="ce")
    fit(model, data, args.epochs, args.batch_size, lr=0.01, eval_every=5, precision="bf16")
    other = twins(data, model)

    start = time.perf_counter()
    ours = evaluate(model, data)
    seconds = time.perf_counter() - start

    start = time.perf_counter()
    theirs = pykeen_evaluate(other, data, args.batch_size)
    ratio = (time.perf_counter() - start) / seconds

    metrics, worst = compare(ours, theirs)
    for key, (value, other_value) in metrics.items():
        print(f"{key:12s} torch_imf {value:12.8f}   PyKEEN {other_value:12.8f}")
    print(f"largest difference {worst:.1e}; {ratio:.1f} times faster than PyKEEN's evaluator")
    metrics = {"times_faster": round(ratio, 1), **metrics}
    append("pykeen_ranks", args.seed, seconds, metrics, largest_difference=worst)
    if worst > 1e-6:
        raise SystemExit("The ranks do not agree")


if __name__ == "__main__":
    main()
