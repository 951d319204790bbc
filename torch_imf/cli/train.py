import argparse
import dataclasses
import inspect
import os.path as osp
import shlex
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch_geometric.data import Data

from torch_imf import registry
from torch_imf.answers.probability import calibrate
from torch_imf.build import build_model
from torch_imf.cli.compute import add_compute, prepare_compute
from torch_imf.cli.flags import add_flags, flag_words, given, settings_of
from torch_imf.cli.graph import add_encoders, add_graph, read_graph
from torch_imf.cli.output import Output, Stopped, metrics_table, say
from torch_imf.cli.recipe import MODELS, recipe
from torch_imf.cli.saved import CHECKPOINT, HISTORY, MODEL, test_fact, write_json
from torch_imf.data import audit
from torch_imf.evaluation.evaluate import evaluate
from torch_imf.pretrained import save_pretrained
from torch_imf.settings import describe_settings
from torch_imf.training.checkpoint import best_entry, first_seed
from torch_imf.training.fit import fit
from torch_imf.training.tensorboard import TensorBoard

HELP = "train a model, select its epoch on validation, rank the test facts, save it"
USAGE = "torch-imf train [-h] graph [--out OUT] [--model MODEL] [flags of the model, its parts ...]"
DESCRIPTION = """Trains a model on the training facts of a graph, with its texts, images and
numbers. The epoch is selected on validation, the test facts are ranked once, and the model is saved
with its graph and a card. Ctrl-C keeps all whole epochs; the same command goes on from there."""
EPILOG = """examples:
  torch-imf train countries --out runs/first
  torch-imf train my_graph/ --model adamf --adversary.weight 0.01 --out runs/adamf
  torch-imf train countries --scorer contextual --scorer.dropout 0.5 --scorer.similarity dot \\
      --scorer.batch-norm --loss ce --batch-size 128 --lr 0.003 --out runs/contextual
  torch-imf train FB15K-237 --device cuda --log-dir logs/fb15k237
The flags of a model are the arguments of its constructor, and depend on '--model', '--scorer',
'--fusion' and '--loss': add '--help' to a command to see those of its parts."""

FIT = settings_of(
    fit,
    [
        name
        for name in inspect.signature(fit).parameters
        if name not in ("model", "data", "checkpoint", "callback", "progress")
    ],
)


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    r"""Adds the arguments of the command."""
    add_graph(parser)
    add_encoders(parser)
    add_model(parser, words)
    add_flags(parser.add_argument_group("training"), FIT)
    group = parser.add_argument_group("run")
    group.add_argument("--out", help="its folder (default: runs/<graph>-<model>)")
    group.add_argument("--log-dir", metavar="FOLDER", help="write curves for TensorBoard")
    group.add_argument("--seed", type=int, default=0, help="seed of the training (default: 0)")
    add_compute(group)
    group.add_argument(
        *("--restart",),
        action="store_true",
        help="begin anew rather than go on from a checkpoint, which is kept as 'checkpoint.old.pt'",
    )


def add_model(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    r"""Adds the arguments of a model, which depend on the parts that the words
    of the command line choose.
    """
    group = parser.add_argument_group("model")
    add_model_name(group)
    group.add_argument(
        *("--recipe",),
        action=argparse.BooleanOptionalAction,
        default=True,
        help=f"where neither scorer, loss, optimizer, learning rate nor regularization are given "
        f"({', '.join(MODELS)}): settings that train well on the graphs of the benchmarks, which "
        f"are shown; otherwise, the defaults below (default: True)",
    )
    chosen = choices(words)
    parts = {name: value for name, value in chosen.items() if name != "model"}
    try:
        settings = describe_settings(chosen.get("model", "imf"), parts)
    except ValueError as error:
        parser.error(str(error))
    title = ", ".join(f"{name} {value}" for name, value in {"model": "imf", **chosen}.items())
    add_flags(parser.add_argument_group(f"arguments of {title}"), settings)
    parser.set_defaults(settings=settings)


def add_model_name(group: argparse._ArgumentGroup) -> None:
    r"""Adds the argument that chooses a model."""
    names = sorted(registry.classes("model"))
    group.add_argument(
        "--model", choices=names, type=str.lower, default="imf", help="(default: imf)"
    )


def choices(words: Sequence[str]) -> dict[str, str]:
    r"""Returns the parts of a model that the words of a command line name."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    for name in ("model", "scorer", "fusion", "loss"):
        parser.add_argument(f"--{name}", default=argparse.SUPPRESS)
    try:
        return vars(parser.parse_known_args(list(words))[0])
    except argparse.ArgumentError:  # Which the parser itself will tell.
        return {}


def run(options: argparse.Namespace) -> Output:
    r"""Trains, evaluates and saves a model."""
    device = prepare_compute(options)
    dataset = read_graph(options)
    data: Any = dataset[0]
    quiet = options.quiet
    say(str(dataset.summary()), quiet)
    problems = audit(data).problems
    if problems:
        warnings.warn(f"{' '.join(problems)} '--split clean' repairs this", stacklevel=2)
    model_settings, fit_settings = all_settings(options, data)
    folder = Path(options.out or osp.join("runs", default_name(options)))
    checkpoint = folder / CHECKPOINT
    there = checkpoint.exists() and not options.restart
    say(f"{'Going on from' if there else 'Training in'} '{folder}'", quiet)

    torch.manual_seed(options.seed)
    model: Any = build_model(options.model, data, **model_settings).to(device)
    if options.restart and checkpoint.exists():
        checkpoint.replace(checkpoint.with_suffix(".old.pt"))
    data = data.to(str(device))
    board = nullcontext() if options.log_dir is None else TensorBoard(options.log_dir)
    try:
        if there and (first := first_seed(checkpoint)) != torch.initial_seed():
            raise ValueError(
                f"The training of the checkpoint '{checkpoint}' began with seed {first} (got "
                f"{options.seed})"
            )
        with board as callback:
            history = fit(
                model, data, **fit_settings, checkpoint=checkpoint, callback=callback, progress=True
            )
            metrics = evaluate(model, data, "test", progress=True)
            best = best_entry(history, fit_settings.get("metric", "mrr"))
            if callback is not None:
                callback.log("test", metrics, int(best["epoch"]))
        temperature = try_temperature(model, data)
        settings = {"model": options.model, **model_settings, **fit_settings}
        training = {
            "dataset": repr(dataset),
            "settings": settings,
            "seed": options.seed,
            "epoch": int(best["epoch"]),
            "command": options.line,
            "temperature": temperature,
        }
        save_pretrained(model, folder / MODEL, data, {"val": best, "test": metrics}, training)
        write_json(folder / HISTORY, history)
    except KeyboardInterrupt as error:
        kept = "no epoch was completed, so none is kept. To begin again:"
        if checkpoint.exists():
            kept = f"all whole epochs are in '{checkpoint}'. To go on:"
        raise Stopped(f"{kept}\n  {options.line.replace(' --restart', '')}") from error
    except ValueError as error:
        if not there or str(checkpoint) not in str(error):
            raise
        raise ValueError(
            f"{error} ('--out' names another folder, '--restart' begins anew)"
        ) from error

    last, epochs = (
        int(history[-1]["epoch"]),
        settings.get("epochs", FIT["epochs"].parameter.default),
    )
    early = f"; stopped early at epoch {last} of {epochs}" if last < epochs else ""
    text = [
        f"{type(model).__name__} of epoch {best['epoch']:.0f}, which was best on validation "
        f"(MRR {best['mrr']:.3f}){early}",
        f"Test facts: {int(data.test_mask.sum()):,}",
        metrics_table(metrics),
        f"Saved in '{folder}'. Next:",
        *example(str(folder), data),
    ]
    values = {"folder": str(folder), "settings": settings, "seed": options.seed}
    values |= {"epoch": int(best["epoch"]), "val": best, "test": metrics}
    return Output("\n".join(text), values)


def try_temperature(model: torch.nn.Module, data: Data) -> dict[str, Any] | None:
    r"""Returns the temperature of a model, if there are facts to fit it to."""
    try:
        return dataclasses.asdict(calibrate(model, data))
    except ValueError as error:
        warnings.warn(f"Answers will have no probabilities: {error}", stacklevel=2)
        return None


def all_settings(options: argparse.Namespace, data: Data) -> tuple[dict[str, Any], dict[str, Any]]:
    r"""Returns the settings of the model and of training: what was given, and
    the recipe for the rest.
    """
    own = {**given(options, options.settings), **given(options, FIT)}
    extra = recipe(options.model, data, own) if options.recipe else {}
    taken = {name: value for name, value in extra.items() if name in {**options.settings, **FIT}}
    if taken:
        words = (f"{name}={value}" for name, value in taken.items())
        say(f"Recipe, as no scorer, loss or optimizer is given: {', '.join(words)}", options.quiet)
    settings = {"hidden_channels": 128, **taken, **own}
    model = {name: value for name, value in settings.items() if name not in FIT}
    return model, {name: value for name, value in settings.items() if name in FIT}


def default_name(options: argparse.Namespace) -> str:
    r"""Returns the name of the folder of a run, if none is given."""
    graph = osp.basename(osp.normpath(options.graph)).split(".")[0].lower() or "graph"
    return f"{graph}-{options.model}"


def example(folder: str, data: Data) -> list[str]:
    r"""Returns what to ask the model next, by the example of a test fact."""
    h, r, t = test_fact(data)
    head, relation, tail = data.node_names[h], data.rel_names[r], data.node_names[t]
    ask = ["predict", folder, *flag_words("head", head), *flag_words("relation", relation)]
    fact = [head, relation, tail]
    why = ["explain", folder, *(["--"] if any(x.startswith("-") for x in fact) else []), *fact]
    return [f"  torch-imf {shlex.join(words)}" for words in (ask, why)]
