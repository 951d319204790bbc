# Trains IMF on a graph of your own and answers questions about it. Without a folder, a small one is
# written from the bundled Countries: facts.tsv, texts.tsv, numbers.tsv and images/<entity>.png.
import argparse
import os
import os.path as osp

import torch

from torch_imf import IMF, ContextualRelationalScorer, Predictor, evaluate, fit
from torch_imf.data import modalities
from torch_imf.datasets import Countries, MultimodalKG

parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("folder", nargs="?", help="holds facts.tsv and what there is of the others")
parser.add_argument("--epochs", type=int, default=40)
parser.add_argument("--hidden_channels", type=int, default=64)
parser.add_argument("--k", type=int, default=5, help="answers to each question")
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()


def write_countries(folder: str) -> None:
    from PIL import Image

    countries = Countries(text=None, visual=None, numeric=None)
    data, flags = countries[0], countries.images()
    index, attributes, values = countries.literals()
    names = data.node_ids
    texts = [  # Without the names that they begin with:
        text.removeprefix(f"{name}. ")
        for name, text in zip(data.node_names, countries.texts(), strict=True)
    ]
    (head_index, tail_index), rel_type = data.edge_index.tolist(), data.edge_type.tolist()
    tables = {
        "facts.tsv": [
            (names[head], data.rel_ids[rel], names[tail])
            for head, rel, tail in zip(head_index, rel_type, tail_index, strict=True)
        ],
        "texts.tsv": [
            ("entity", "name", "text"),
            *zip(names, data.node_names, texts, strict=True),
        ],
        "numbers.tsv": [
            (names[row], attribute, str(value))
            for row, attribute, value in zip(index, attributes, values.tolist(), strict=True)
        ],
    }
    os.makedirs(osp.join(folder, "images"), exist_ok=True)
    for file, rows in tables.items():
        with open(osp.join(folder, file), "w", encoding="utf-8") as out:
            out.writelines("\t".join(row) + "\n" for row in rows)
    for name, flag in zip(names, flags, strict=True):
        if flag is not None:
            path = osp.join(folder, "images", f"{name}.png")
            Image.fromarray(flag.permute(1, 2, 0).numpy()).save(path)


folder = args.folder
if folder is None:
    folder = osp.join("data", "own_graph")
    write_countries(folder)
    print(f"Written to '{folder}'")

dataset = MultimodalKG.from_folder(folder, seed=args.seed)
print(dataset.report())

torch.manual_seed(args.seed)
data = dataset[0]
scorer = ContextualRelationalScorer(args.hidden_channels, 16, "dot", dropout=0.5, batch_norm=True)
model = IMF(
    *(data.num_nodes, data.num_relations, args.hidden_channels, *modalities(data)),
    scorer=scorer,
    loss="ce",
)


def report(entry: dict[str, float]) -> None:
    print(f"Epoch: {entry['epoch']:02.0f}, Val MRR: {entry['mrr']:.4f}", flush=True)


fit(model, data, args.epochs, 128, lr=0.003, lr_decay=0.97, eval_every=10, callback=report)
out = evaluate(model, data, "test")
print(f"Test MRR: {out['mrr']:.4f}, Hits@1: {out['hits@1']:.4f}, Hits@10: {out['hits@10']:.4f}")

# New answers to five test questions, and the test facts among them marked:
edge = data.test_mask.nonzero().view(-1)
edge = edge[torch.randperm(edge.numel())[:5]]
head_index, rel_type = data.edge_index[0, edge], data.edge_type[edge]
predictor = Predictor(model, data)
answers = predictor.predict_many(head_index, rel_type, args.k, keep=data.test_mask)
for head, rel, row in zip(head_index.tolist(), rel_type.tolist(), answers, strict=True):
    found = ", ".join(f"{answer.name}{'*' * answer.known}" for answer in row)
    print(f"{data.node_names[head]}, {data.rel_names[rel]}: {found}")
