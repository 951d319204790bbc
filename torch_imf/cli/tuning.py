import argparse
import json
import os.path as osp
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from torch_imf.cli.compute import add_compute, prepare_compute
from torch_imf.cli.flags import add_flags, flag_words, given, settings_of
from torch_imf.cli.graph import add_encoders, add_graph, read_graph
from torch_imf.cli.output import Output, Stopped, say
from torch_imf.cli.train import FIT, add_model_name, default_name
from torch_imf.registry import describe_settings
from torch_imf.training.tune import best_settings, tune

HELP = "search for settings of a model and of its training, on validation"
DESCRIPTION = """Searches for the settings that do best on validation facts, with Optuna. Test facts
have no part in it. The study is kept in a file, and the same command goes on with it."""
EPILOG = """examples:
  torch-imf tune countries --trials 20
  torch-imf tune my_graph/ --model adamf --trials 50 --epochs 40
  torch-imf tune countries --space hidden_channels=64,128 lr=1e-4:1e-2 scorer.dropout=0:0.5 loss=ce

In a space, a,b,c is a choice, a:b is a range (logarithmic for floats that are positive and span
more than a factor of ten), and a single value is fixed. Names are those of 'torch-imf train'."""

SETTINGS = settings_of(tune, ["trials", "epochs", "metric", "seed"])


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    r"""Adds the arguments of the command."""
    add_graph(parser)
    add_encoders(parser)
    group = parser.add_argument_group("study")
    add_model_name(group)
    group.add_argument(
        *("--space",), nargs="+", metavar="NAME=VALUES", help="what to try (default: a small space)"
    )
    add_flags(group, SETTINGS)
    group.add_argument(
        "--study", metavar="FILE", help="where to keep it (default: runs/<graph>-<model>.db)"
    )
    add_compute(group)


def run(options: argparse.Namespace) -> Output:
    r"""Searches, and returns the best settings."""
    device = prepare_compute(options)
    space = None if options.space is None else read_space(options.space)
    dataset = read_graph(options)
    say(str(dataset.summary()), options.quiet)
    storage = options.study or osp.join("runs", f"{default_name(options)}.db")
    settings = given(options, SETTINGS)
    try:
        study = tune(options.model, dataset[0], space, **settings, storage=storage, device=device)
    except KeyboardInterrupt as error:
        raise Stopped(f"{str(error) or 'interrupted'}. To go on:\n  {options.line}") from error
    model, training = best_settings(study)
    best = study.best_trial
    metric = settings.get("metric", "mrr")
    done = [(trial.value, trial) for trial in study.trials if trial.value is not None]
    done.sort(key=lambda entry: entry[0], reverse=metric != "mr")
    command = train_command(options, {**model, **training})
    found = f"{metric.upper()} {study.best_value:.4f}"
    text = [
        f"Best of {len(study.trials)} trials on validation: {found}",
        *(f"  {name} = {value}" for name, value in best.params.items()),
        "To train with these settings:",
        f"  {command}",
    ]
    values = {
        "study": storage,
        "metric": metric,
        "best": study.best_value,
        "settings": {"model": model, "fit": training},
        "trials": [{"number": x.number, "value": value, **x.params} for value, x in done],
        "command": command,
    }
    return Output("\n".join(text), values)


def read_space(words: Sequence[str]) -> dict[str, Any]:
    r"""Reads what to try of each setting.

    Raises:
        ValueError: If a word is not a name and values.
    """
    out: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not (name and equals and text):
            raise ValueError(
                f"'--space' needs names and values, as in 'lr=1e-4:1e-2' (got '{word}')"
            )
        low, colon, high = text.partition(":")
        if colon:
            out[name] = (_value(low), _value(high))
        else:
            values = [_value(part) for part in text.split(",")]
            out[name] = values if len(values) > 1 else values[0]
    return out


def train_command(options: argparse.Namespace, settings: Mapping[str, Any]) -> str:
    r"""Returns the command that trains with some settings."""
    words = ["torch-imf", "train", options.graph, "--model", options.model]
    # The same facts, divided the same way, and features:
    names = ("version", "root", "split", "texts", "images", "numbers", "header")
    encoders = ("text_encoder", "visual_encoder", "numeric_encoder", "visual_weights")
    graph = {name: getattr(options, name) for name in (*names, *encoders)}
    graph |= {"split_seed": options.split_seed, "strict": options.strict and None}
    for name, value in graph.items():
        if value is not None:
            words += _flag(name, value)
    words.append("--no-recipe")  # What is not in the space was as the model has it.
    known = {**describe_settings(options.model, settings), **FIT}
    for name, value in settings.items():
        if name in known:
            words += _flag(name, value)
    return shlex.join(words)


def _flag(name: str, value: Any) -> list[str]:
    if isinstance(value, bool):
        return flag_words(name if value else f"no_{name}")
    if isinstance(value, Mapping):
        return flag_words(name, *(f"{key}={x}" for key, x in value.items()))
    return flag_words(name, *map(str, value if isinstance(value, list | tuple) else [value]))


def _value(text: str) -> Any:
    words = {"none": None, "true": True, "false": False}
    if text.lower() in words:
        return words[text.lower()]
    try:
        return json.loads(text)
    except ValueError:
        return text
