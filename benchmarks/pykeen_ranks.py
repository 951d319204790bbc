"""Compares `evaluate` with PyKEEN's `RankBasedEvaluator` on a trained DistMult.

The same weights are ranked by both on the same facts: every metric needs to agree, and both are
timed in the same run. Needs `pip install pykeen`, which the package itself does not.
"""

import argparse
import os.path as osp
import sys
import time

import torch
from pykeen.evaluation import RankBasedEvaluator
from pykeen.models import DistMult
from pykeen.triples import CoreTriplesFactory

from torch_imf import KGE, evaluate, fit
from torch_imf.resolver import dataset_resolver

sys.path.insert(0, osp.dirname(osp.realpath(__file__)))
from results import append  # noqa: E402

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
data = dataset_resolver(args.dataset, text=None, visual=None, **kwargs)[0]
num_nodes, num_relations = data.num_nodes, data.num_relations

model = KGE(num_nodes, num_relations, args.hidden_channels, "distmult", loss="ce")
fit(model, data, args.epochs, args.batch_size, lr=0.01, eval_every=5, precision="bf16")
with torch.no_grad():  # PyKEEN's DistMult scores heads by the same relation: tie the inverses.
    model.rel_emb.weight[num_relations:] = model.rel_emb.weight[:num_relations]


def factory(mask):
    triples = torch.stack([data.edge_index[0], data.edge_type, data.edge_index[1]], dim=1)
    return CoreTriplesFactory(triples[mask], num_nodes, num_relations)


other = DistMult(
    triples_factory=factory(data.train_mask),
    embedding_dim=args.hidden_channels,
    entity_constrainer=None,
    regularizer=None,
)
with torch.no_grad():
    other.entity_representations[0]._embeddings.weight.copy_(model.node_emb.weight)
    other.relation_representations[0]._embeddings.weight.copy_(model.rel_emb.weight[:num_relations])

start = time.perf_counter()
ours = evaluate(model, data)
seconds = time.perf_counter() - start

start = time.perf_counter()
theirs = RankBasedEvaluator(filtered=True).evaluate(
    other,
    factory(data.test_mask).mapped_triples,
    additional_filter_triples=[factory(m).mapped_triples for m in (data.train_mask, data.val_mask)],
    batch_size=args.batch_size,
    use_tqdm=False,
)
ratio = (time.perf_counter() - start) / seconds

names = {
    "mr": "arithmetic_mean_rank",
    "mrr": "inverse_harmonic_mean_rank",
    "hits@1": "hits_at_1",
    "hits@3": "hits_at_3",
    "hits@10": "hits_at_10",
}
metrics = {"times_faster": round(ratio, 1)}
worst = 0.0
for side in ("both", "head", "tail"):
    part = ours if side == "both" else ours[side]
    for name, key in names.items():
        value = theirs.get_metric(f"{side}.realistic.{key}")
        metrics[f"{side}.{name}"] = [part[name], value]
        error = abs(part[name] - value) / (value if name == "mr" else 1.0)
        worst = max(worst, error)
        print(f"{side:5s} {name:8s} torch_imf {part[name]:12.8f}   PyKEEN {value:12.8f}")
print(f"largest difference {worst:.1e}; {ratio:.1f} times faster than PyKEEN's evaluator")
append("pykeen_ranks", args.seed, seconds, metrics, largest_difference=worst)
if worst > 1e-6:
    raise SystemExit("The ranks do not agree")
