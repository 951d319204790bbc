import argparse
import json
import os.path as osp
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from torch_imf.answers.predictor import explain
from torch_imf.cli.output import Output, say
from torch_imf.cli.saved import (
    HISTORY,
    add_saved,
    load,
    saved_temperature,
    saved_training,
    test_fact,
)
from torch_imf.io.atomic import read_bytes, replacing
from torch_imf.visualize import (
    plot_categories,
    plot_contextual,
    plot_decision,
    plot_explanation,
    plot_history,
    plot_relation_weights,
)

HELP = "draw a trained model: answers, an explanation, weights, ranks, t-SNE, curves"
DESCRIPTION = """Draws what a trained model answers and why: the part of each view in the answers to
a query (decision), the ranks of a fact by view and without each modality (explanation), what
modalities weigh under each relation (weights), test ranks by relation category (categories),
entities before and after the contextual transformation (contextual), and training (history)."""
EPILOG = """examples:
  torch-imf figures runs/first --out figures
  torch-imf figures runs/first --head Argentina --relation borders --tail Paraguay
  torch-imf figures runs/first --only weights --relations borders continent --format pdf"""

NAMES = ("decision", "explanation", "weights", "categories", "contextual", "history")


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    r"""Adds the arguments of the command."""
    add_saved(parser)
    group = parser.add_argument_group("figures")
    group.add_argument(
        *("--only",),
        nargs="+",
        choices=NAMES,
        default=NAMES,
        metavar="NAME",
        help=f"which to draw: {', '.join(NAMES)} (default: all)",
    )
    group.add_argument("--head", help="of the fact to explain (default: that of a test fact)")
    group.add_argument("--relation", help="of the fact to explain")
    group.add_argument("--tail", help="of the fact to explain")
    group.add_argument(
        *("--relations",),
        nargs="+",
        help="relations to weigh modalities and to transform heads of (default: the most frequent, "
        "and those with tails that most heads share)",
    )
    group.add_argument("-k", type=int, default=10, help="answers to the query (default: 10)")
    group.add_argument("--out", default="figures", help="the folder (default: figures)")
    group.add_argument(
        "--format", choices=["png", "pdf", "svg"], default="png", help="(default: png)"
    )


def run(options: argparse.Namespace) -> Output:
    r"""Draws the figures of a saved model."""
    try:
        import matplotlib
    except ImportError as error:
        raise ImportError(
            "Figures require 'matplotlib', run 'pip install \"torch_imf[plot]\"'"
        ) from error
    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    given = [options.head, options.relation, options.tail]
    if any(given) and not all(given):
        raise ValueError("a fact needs '--head', '--relation' and '--tail'")
    model, data = load(options)
    kwargs: Any = {"calibration": saved_temperature(options.run)}

    def fact() -> Any:
        return given if all(given) else test_fact(data)

    figures: dict[str, Callable[[], Any]] = {
        "decision": lambda: plot_decision(model, data, fact()[0], fact()[1], options.k, **kwargs),
        "explanation": lambda: plot_explanation(explain(model, data, *fact(), **kwargs)),
        "weights": lambda: plot_relation_weights(model, data, options.relations),
        "categories": lambda: plot_categories(model, data),
        "contextual": lambda: plot_contextual(model, data, options.relations or shared(data)),
        "history": lambda: plot_history(
            read_history(options.run), metrics=history_metrics(options.run)
        ),
    }
    paths, left_out = {}, {}
    for name in options.only:
        try:
            figure = figures[name]()
        except ValueError as error:
            asked = {"decision": all(given), "explanation": all(given)}
            asked |= dict.fromkeys(["weights", "contextual"], bool(options.relations))
            if options.only is not NAMES or asked.get(name):
                raise
            left_out[name] = str(error)  # Not every model has all of them.
            say(f"No figure '{name}': {error}", options.quiet)
            continue
        paths[name] = osp.join(options.out, f"{name}.{options.format}")
        with replacing(paths[name]) as file:
            figure.savefig(file, format=options.format)
        plt.close(figure)
    return Output("\n".join(paths.values()), {"figures": paths, "left_out": left_out})


def shared(data: Data) -> list[int]:
    r"""Returns the two relations of which most heads share a tail."""
    rel, tail = data.edge_type, data.edge_index[1]
    pairs = torch.stack([rel, tail]).unique(dim=1)[0]

    def count(x: Tensor) -> Tensor:
        return torch.bincount(x, minlength=int(data.num_relations)).float()

    share = count(rel) / count(pairs).clamp(min=1)
    return share.topk(min(2, share.numel())).indices.tolist()


def history_metrics(run: str) -> list[str]:
    r"""Returns the metrics to draw of a training, first the one by which its
    epoch was selected.
    """
    settings = saved_training(run).get("settings")
    metric = settings.get("metric") if isinstance(settings, dict) else None
    # Ranks have a scale of their own:
    return ["mr"] if metric == "mr" else list(dict.fromkeys([metric or "mrr", "mrr", "hits@10"]))


def read_history(folder: str) -> list[dict[str, float]]:
    r"""Returns the history of a training, of which `train` has kept a file.

    Raises:
        ValueError: If there is none, or it is damaged.
    """
    path = osp.join(folder, HISTORY)
    try:
        history = json.loads(read_bytes(path))
    except FileNotFoundError as error:
        raise ValueError(f"There is no '{path}', which 'torch-imf train' writes") from error
    except (ValueError, RecursionError) as error:
        raise ValueError(f"'{path}' is damaged ({error})") from error
    if not isinstance(history, list) or not all(isinstance(x, dict) for x in history):
        raise ValueError(f"'{path}' is damaged (it needs to be a list of objects)")
    return history
