import argparse
from collections.abc import Sequence

from torch_imf.cli.flags import add_flags, given, settings_of
from torch_imf.cli.output import Output, metrics_table
from torch_imf.cli.saved import add_saved, load
from torch_imf.evaluation.evaluate import evaluate

HELP = "rank the held-out facts of a trained model"
DESCRIPTION = """Ranks the true head and the true tail of every held-out fact among all entities,
ignoring other answers that are known to be true (the filtered setting); ties rank in the middle."""
EPILOG = """examples:
  torch-imf evaluate runs/first
  torch-imf evaluate runs/first --by category relation --json
  torch-imf evaluate runs/first --view text        by the scores of one view alone"""

SETTINGS = settings_of(evaluate, ["split", "by", "view", "tie", "batch_size", "chunk_size"])


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    r"""Adds the arguments of the command."""
    add_saved(parser)
    add_flags(parser.add_argument_group("ranking"), SETTINGS)


def run(options: argparse.Namespace) -> Output:
    r"""Returns the metrics of a saved model."""
    model, data = load(options)
    settings = given(options, SETTINGS)
    metrics = evaluate(model, data, **settings, progress=True)
    split = settings.get("split", "test")
    size = int(data[f"{split}_mask"].sum())
    title = f"{type(model).__name__} on {size:,} {split} facts, filtered ranks of both sides"
    return Output(f"{title}\n{metrics_table(metrics)}", {"split": split, "facts": size, **metrics})
