# Trains IMF on the bundled `Countries` graph with several seeds, next to a structure-only model
# trained the same way, and shows what the fused model answers. Both start from the embeddings of
# the structural encoder. This is `make demo`.
import argparse
import os
import os.path as osp
import time

import torch

from torch_imf import IMF, ContextualRelationalScorer, Predictor, evaluate, fit
from torch_imf.data import modalities
from torch_imf.datasets import Countries
from torch_imf.nn import Contrastive, StructuralEncoder

parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--seeds", type=int, default=5)
parser.add_argument("--epochs", type=int, default=60)
parser.add_argument("--hidden_channels", type=int, default=64)
parser.add_argument("--rel_channels", type=int, default=16)
parser.add_argument("--dropout", type=float, default=0.5)
parser.add_argument("--lr", type=float, default=0.003)
# Texts and flags take part in the fused view; on their own they tell too little for a vote:
parser.add_argument("--views", nargs="+", default=["struct", "fused"])
parser.add_argument("--loss", choices=["bce", "ce"], default="ce")
parser.add_argument("--contrastive_weight", type=float, default=0.1)
parser.add_argument(
    "--figure", default=osp.join("figures", "countries.png"), help="where to write the figure"
)
args = parser.parse_args()

torch.set_num_threads(min(2, torch.get_num_threads()))
start = time.perf_counter()
data = Countries(numeric=None)[0]  # Areas and coordinates add nothing to texts and flags here.
x_dict, mask_dict = modalities(data)
print(f"Countries: {data.num_nodes} entities, {data.num_relations} relations, ", end="")
print(
    ", ".join(f"{int(data[f'{split}_mask'].sum())} {split}" for split in ("train", "val", "test"))
)
print(", ".join(f"{name} of {int(mask.sum())} entities" for name, mask in mask_dict.items()))


def encode(seed: int) -> StructuralEncoder:
    torch.manual_seed(seed)
    encoder = StructuralEncoder(data.num_nodes, data.num_relations, args.hidden_channels)
    fit(encoder, data, epochs=60, batch_size=512, lr=0.01, eval_every=5, patience=None)
    return encoder


def train(seed: int, views: list[str], struct: torch.Tensor) -> IMF:
    def report(entry: dict[str, float]) -> None:
        if seed == 0 and entry["epoch"] % 10 == 0:
            print(
                f"{', '.join(views)}: epoch {entry['epoch']:2.0f}/{args.epochs}, "
                f"loss {entry['loss']:.3f}, "
                f"val MRR {entry['mrr']:.3f}, {time.perf_counter() - start:.0f} s"
            )

    torch.manual_seed(seed)
    scorer = ContextualRelationalScorer(
        args.hidden_channels,
        args.rel_channels,
        similarity="dot",
        dropout=args.dropout,
        batch_norm=True,
    )
    model = IMF(
        data.num_nodes,
        data.num_relations,
        args.hidden_channels,
        x_dict,
        mask_dict,
        views=views,
        scorer=scorer,
        loss=args.loss,
        contrastive=Contrastive(args.contrastive_weight),
        struct=struct,
    )
    fit(
        model,
        data,
        epochs=args.epochs,
        batch_size=128,
        lr=args.lr,
        lr_decay=0.97,
        eval_every=5,
        patience=None,
        callback=report,
    )
    return model


names = ["structural encoder", "structure only", "IMF"]
rows: dict[str, list[dict]] = {name: [] for name in names}
for seed in range(args.seeds):
    print(f"Seed {seed}")
    encoder = encode(seed)
    struct = encoder.encode(data)  # [N, C], of the training facts.
    rows["structural encoder"].append(evaluate(encoder, data))
    rows["structure only"].append(evaluate(train(seed, ["struct"], struct), data))
    model = train(seed, args.views, struct)
    rows["IMF"].append(evaluate(model, data))
    scores = ", ".join(f"{name} {row[-1]['mrr']:.3f}" for name, row in rows.items())
    print(f"  test MRR: {scores}")

names = ["mrr", "hits@1", "hits@3", "hits@10"]
print(f"\nFiltered test metrics, both sides, mean and deviation over {args.seeds} seeds")
print(f"{'':18s}" + "".join(f"{name.upper():>16s}" for name in names))
for name, row in rows.items():
    values = torch.tensor([[out[key] for key in names] for out in row], dtype=torch.double)
    mean, std = values.mean(0), values.std(0, correction=min(1, len(row) - 1))
    print(f"{name:18s}" + "".join(f"{m:9.3f} ± {s:.3f}" for m, s in zip(mean, std, strict=True)))
gain = torch.tensor(
    [a["mrr"] - b["mrr"] for a, b in zip(rows["IMF"], rows["structure only"], strict=True)]
)
std = float(gain.std(correction=min(1, len(gain) - 1)))
print(f"Fusion adds {gain.mean():+.3f} ± {std:.3f} MRR to structure only, ", end="")
print(f"and helps in {int((gain > 0).sum())} of {args.seeds} seeds")
means = {name: sum(out["mrr"] for out in row) / len(row) for name, row in rows.items()}
print("Test " + ", ".join(f"{n.replace(' ', '_')}: {x:.4f}" for n, x in means.items()), end=", ")
print(f"gain: {gain.mean():.4f}, gain_std: {std:.4f}")

# Ten test facts, the answers to which were never seen in training:
print("\nTen test queries, best answer that is no training or validation fact (* = the fact)")
print(f"{'':46s}{'rank of fact':>14s}   scores: all, " + ", ".join(model.views))
test = data.test_mask.nonzero().view(-1)
picks = test[torch.linspace(0, test.numel() - 1, 10).long()]
head, rel, tail = data.edge_index[0, picks], data.edge_type[picks], data.edge_index[1, picks]
ask = {"k": data.num_nodes, "known": "remove", "keep": data.test_mask}
answers = Predictor(model, data).predict_many(head, rel, **ask)
for h, r, t, answer in zip(head.tolist(), rel.tolist(), tail.tolist(), answers, strict=True):
    # Filtered: other test facts are no competitors, nor is the entity itself.
    rank = 1 + sum(not a.known for a in answer[: [a.index for a in answer].index(t)])
    top = answer[0]
    query = f"{data.node_names[h]}, {data.rel_names[r]}: {top.name}{'*' if top.known else ''}"
    scores = " ".join(f"{x:6.2f}" for x in [top.score, *top.views.values()])
    print(f"{query:46s}{rank:14d}   {scores}")

try:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from torch_imf.visualize import plot_decision, plot_metric
except ImportError:
    print("\nNo figure: 'pip install torch_imf[plot]'")
else:
    fig, (left, right) = plt.subplots(1, 2, figsize=(11, 4), width_ratios=[2, 3])
    plot_metric({n: [out["mrr"] for out in row] for n, row in rows.items()}, left, "test MRR")
    title = f"{data.node_names[int(head[2])]}, {data.rel_names[int(rel[2])]}: ?  (* test fact)"
    plot_decision(answers[2][:8], right, title)
    fig.tight_layout()
    os.makedirs(osp.dirname(osp.abspath(args.figure)), exist_ok=True)
    fig.savefig(args.figure, dpi=150)
    print(f"\nFigure: {osp.abspath(args.figure)}")
print(f"{time.perf_counter() - start:.0f} s in all")
