# Searches for the settings of IMF on the bundled Countries graph that do best on validation facts,
# trains the best ones anew, and ranks the test facts once. The same command goes on where it was
# stopped; `--trials 40` adds to what is there.
import argparse

import torch

from torch_imf import best_settings, build_model, evaluate, fit, tune
from torch_imf.datasets import Countries

parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--trials", type=int, default=20)
parser.add_argument("--epochs", type=int, default=30)
parser.add_argument("--hidden_channels", type=int, nargs="+", default=[32, 64])
parser.add_argument("--storage", default="runs/countries.db", help="the file of the study")
parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
parser.add_argument("--seed", type=int, default=0)
args = parser.parse_args()

data = Countries()[0]
space = {
    # A list is a choice, a pair is a range, and anything else is fixed:
    "hidden_channels": args.hidden_channels,
    "rel_channels": 16,
    "views": [["struct", "fused"], ["struct", "text", "fused"]],
    "scorer.similarity": "dot",
    "scorer.batch_norm": True,
    "scorer.dropout": (0.2, 0.6),
    "loss": ["bce", "ce"],
    "contrastive.weight": (0.01, 1.0),
    "batch_size": 128,
    "lr": (1e-3, 2e-2),
    "lr_decay": 0.97,
    "eval_every": 5,
}
study = tune(
    *("imf", data, space, args.trials, args.epochs, args.storage, args.seed), device=args.device
)
for trial in study.trials:
    what = trial.user_attrs.get("reason") or f"Val MRR: {trial.value:.4f}"
    print(f"Trial: {trial.number:02d}, {trial.state.name}, {what}")
print(f"Best Val MRR: {study.best_value:.4f}, {study.best_params}")

model_settings, fit_settings = best_settings(study)
torch.manual_seed(study.best_trial.user_attrs["seed"])
model = build_model("imf", data, **model_settings).to(args.device)
fit(model, data, **fit_settings)
out = evaluate(model, data, "test")
print(f"Test MRR: {out['mrr']:.4f}, Hits@1: {out['hits@1']:.4f}, Hits@10: {out['hits@10']:.4f}")
