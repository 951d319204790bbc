"""What entities are worth that were added to a trained model (`torch_imf.add_entities`).

    python benchmarks/new_entities.py --graph fb15k237 --model kge

Of 5 % of the entities, drawn at random of those with a text and a training fact, one model has all
training facts, and another one nothing. To the second one they are added: with their texts alone
(of a model that has texts), with 1, 2, 4 or 8 of their training facts each, and with all. Rows rank
the same test facts, those of such entities, among all entities. Besides, 1,000 entities are added
at once.
"""

import argparse
import copy
import time

import torch
from graphs import graph
from results import append
from torch_geometric.data import Data

from torch_imf import add_entities, build_model, evaluate, fit
from torch_imf.data.graph import MASKS

SHARE = 0.05
SETTINGS = {
    "scorer": "complex",
    "loss": "ce",
    "hidden_channels": 256,
    "loss.regularizer": "n3",
    "loss.regularizer.weight": 0.05,
}
FIT = {"batch_size": 1024, "optimizer": "adagrad", "lr": 0.1, "eval_every": 1, "patience": 2}


def in_order(data, order):
    """Returns a graph with texts whose entities are in another order."""
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order))
    names = [f"{i} {data.node_names[i]}" for i in order.tolist()]  # Each its own.
    out = Data(num_nodes=len(order), num_relations=data.num_relations, node_names=names)
    out.edge_index, out.edge_type = place[data.edge_index], data.edge_type
    for name in MASKS:
        out[name] = data[name]
    out.x_text, out.text_mask = data.x_text[order], data.text_mask[order]
    return out


def first_of(data, num_nodes):
    """Returns the graph of the first entities."""
    inside = (data.edge_index < num_nodes).all(dim=0)
    out = copy.copy(data)
    out.num_nodes, out.node_names = num_nodes, data.node_names[:num_nodes]
    out.edge_index = data.edge_index[:, inside]
    for name in ("edge_type", *MASKS):
        out[name] = data[name][inside]
    out.x_text, out.text_mask = data.x_text[:num_nodes], data.text_mask[:num_nodes]
    return out


def some_facts(data, is_own, most, seed):
    """Returns so many training facts of each new entity (and few more, as some join two)."""
    edges = is_own.nonzero().view(-1)
    edges = edges[torch.randperm(len(edges), generator=torch.Generator().manual_seed(seed))]
    count, out = [0] * data.num_nodes, []
    pairs = zip(data.edge_index[:, edges].t().tolist(), data.edge_type[edges].tolist(), strict=True)
    for (h, t), r in pairs:
        if any(node >= first and count[node] < most for node in (h, t)):
            count[h] += 1
            count[t] += 1
            out.append((h, r, t))
    return out


def report(label, model, ranked, seconds, **info):
    """Ranks the test facts of new entities, and those of the others, and keeps the line."""
    found = evaluate(model, ranked)
    metrics = {k: round(x, 5) for k, x in found.items() if not isinstance(x, dict)}
    others = copy.copy(ranked)
    others.test_mask = data.test_mask & ~ranked.test_mask
    metrics["mrr_of_others"] = round(evaluate(model, others)["mrr"], 5)
    about = {"graph": args.graph, "model": args.model, **settings, "epochs": args.epochs}
    about["facts"] = int(ranked.test_mask.sum())
    append("new_entities", seed, seconds, metrics, label=label, settings=about, **info)
    print(f"{label}: MRR {metrics['mrr']:.4f} ({metrics['mrr_of_others']:.4f}) {info}", flush=True)


parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--graph", default="fb15k237", choices=("fb15k237", "fb15k237-4k"))
parser.add_argument("--model", choices=("kge", "adamf"), default="kge")
parser.add_argument("--epochs", type=int, default=10)
parser.add_argument("--candidates", type=int, default=3000)
parser.add_argument("--seeds", type=int, default=1)
parser.add_argument("--threads", type=int, default=1)
args = parser.parse_args()
torch.set_num_threads(args.threads)
whole = graph(args.graph)
settings = {**SETTINGS, "loss.num_candidates": args.candidates}
for seed in range(args.seeds):
    may_be_new = whole.text_mask.clone()
    may_be_new &= (
        whole.edge_index[:, whole.train_mask].flatten().bincount(minlength=whole.num_nodes) > 0
    )
    drawn = torch.randperm(whole.num_nodes, generator=torch.Generator().manual_seed(seed))
    new = drawn[may_be_new[drawn]][: int(SHARE * whole.num_nodes)]
    first = whole.num_nodes - len(new)
    is_old = torch.ones(whole.num_nodes, dtype=torch.bool).index_fill(0, new, False)
    data = in_order(whole, torch.cat([is_old.nonzero().view(-1), new]))
    is_new = (data.edge_index >= first).any(dim=0)
    ranked = copy.copy(data)
    ranked.test_mask = data.test_mask & is_new
    old = first_of(data, first)
    names = data.node_names[first:]
    pairs = zip(names, data.x_text[first:], strict=True)
    entities = [{"name": name, "x_text": x} for name, x in pairs]

    models = {}
    for label, graph_of in (("trained with them", data), ("without", old)):
        torch.manual_seed(seed)
        start = time.perf_counter()
        model = build_model(args.model, graph_of, **settings)
        fit(model, graph_of, **FIT, epochs=args.epochs, progress=False)
        models[label] = model
        if label == "trained with them":
            report(label, model, ranked, time.perf_counter() - start)
    model = models["without"]
    for most in [*([0] if args.model == "adamf" else []), 1, 2, 4, 8, 10**6]:
        facts = some_facts(data, data.train_mask & is_new, most, seed)
        start, cpu = time.perf_counter(), time.process_time()
        added, _ = add_entities(model, old, entities, facts)
        seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
        label = f"added with {most} facts" if most < 10**6 else "added with all facts"
        report(label, added, ranked, seconds, ms_each=round(1000 * cpu / len(names), 2))
    many = [{"name": f"new {i}", "x_text": old.x_text[i]} for i in range(1000)]
    facts = [] if args.model == "adamf" else [(first + i, 0, i) for i in range(1000)]
    start, cpu = time.perf_counter(), time.process_time()
    add_entities(model, old, many, facts)
    seconds, cpu = time.perf_counter() - start, time.process_time() - cpu
    metrics = {"seconds": round(cpu, 3)}
    about = {"graph": args.graph, "model": args.model, **settings}
    append("new_entities", seed, seconds, metrics, label="1,000 at once", settings=about)
    print(f"1,000 at once: {cpu:.2f} s of CPU, {seconds:.2f} s", flush=True)
