"""Samplers of negatives under the same model: AdaMF with RotatE, on features of Countries.

    python benchmarks/samplers.py

Sixteen negatives for each fact, all weighted alike, so that a sampler alone tells which are hard.
The cost of an epoch is in seconds of the CPU, for the sampler and for what it trains beside.
"""

import statistics
from typing import Any

import torch
from clock import now
from experiment import lines, parser
from results import append

from torch_imf import KGE, AdaMF, Sampled, evaluate, train
from torch_imf.data import TripletIndex, modalities
from torch_imf.datasets import Countries
from torch_imf.sampler import (
    BernoulliSampler,
    CrossModalAttention,
    KBGANSampler,
    MANSSampler,
    MMRNSSampler,
    Sampler,
    UniformSampler,
)
from torch_imf.training import make_loader, make_optimizers, validate
from torch_imf.transforms import AddInverse

NUM_NEGATIVES, CHANNELS, BATCH_SIZE = 16, 64, 128


def make(name: str) -> Sampler:
    """Returns a sampler by its name in the table."""
    args: Any = {"index": index, "num_negatives": NUM_NEGATIVES}
    if name == "KBGAN":
        generator = KGE(data.num_nodes, data.num_relations, CHANNELS, scorer="distmult")
        return KBGANSampler(data.num_nodes, generator, num_candidates=64, **args)
    if name == "MANS":
        return MANSSampler(data.num_nodes, modalities=list(x_dict), mask_dict=mask_dict, **args)
    if name == "MMRNS":
        attention = CrossModalAttention(data.num_relations, x_dict, mask_dict)
        return MMRNSSampler(data.num_nodes, attention, **args)
    return {"uniform": UniformSampler, "Bernoulli": BernoulliSampler}[name](data.num_nodes, **args)


args = parser(__doc__, seeds=1, graphs=("countries",))
args.add_argument("--epochs", type=int, default=30)
args = args.parse_args()
torch.set_num_threads(args.threads)
data: Any = Countries()[0]
x_dict, mask_dict = modalities(data)
both = AddInverse()(data)
head_index, tail_index = both.edge_index[:, both.train_mask]
index = TripletIndex(head_index, both.edge_type[both.train_mask], tail_index)
settings = {"graph": args.graph, "epochs": args.epochs}

for name in ("uniform", "Bernoulli", "KBGAN", "MANS", "MMRNS"):
    for seed in range(args.seeds):
        ours = [x for x in lines("samplers") if x["settings"] == settings]
        if any((x["label"], x["seed"]) == (name, seed) for x in ours):
            continue
        torch.manual_seed(seed)
        loss = Sampled(temperature=0.0, sampler=make(name))
        model = AdaMF(data.num_nodes, data.num_relations, CHANNELS, x_dict, mask_dict, loss=loss)
        loader = make_loader(model, data, BATCH_SIZE)
        lr = {objective.name: 0.01 for objective in model.objectives()}
        optimizers, seconds, curve, best = make_optimizers(model, lr), [], [], {}
        for epoch in range(1, args.epochs + 1):
            begin = now()
            train(model, loader, optimizers)
            seconds.append(float((now() - begin)[1]))
            if epoch % 5 == 0 or epoch == args.epochs:
                curve.append([epoch, round(validate(model, data)["mrr"], 4)])
                if curve[-1][1] == max(mrr for _, mrr in curve):
                    best = {key: x.clone() for key, x in model.state_dict().items()}
        model.load_state_dict(best)
        out = {k: round(x, 5) for k, x in evaluate(model, data).items() if not isinstance(x, dict)}
        out["val_mrr"] = max(mrr for _, mrr in curve)
        cost = round(statistics.median(seconds), 3)
        info = {"label": name, "settings": settings, "seconds_per_epoch": cost, "curve": curve}
        append("samplers", seed, sum(seconds), out, **info)
        print(f"{name}: test MRR {out['mrr']:.4f}, {cost} s per epoch", flush=True)
