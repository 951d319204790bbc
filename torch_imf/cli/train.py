r"""The commands that train models."""

import dataclasses
import inspect
import json
import os.path as osp
import shlex
from collections.abc import Mapping, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from torch_imf import registry
from torch_imf.cli.flags import Flag, flag_words, read_value
from torch_imf.cli.graph import Compute, Features, Graph
from torch_imf.cli.output import Output, Stopped, metrics_table, say, typed
from torch_imf.cli.saved import CHECKPOINT, HISTORY, MODEL, test_fact
from torch_imf.io import warn

if TYPE_CHECKING:
    import torch
    from torch_geometric.data import Data


def train(
    graph: Graph,
    features: Features,
    compute: Compute,
    settings: dict[str, Any],
    *,
    out: Annotated[str | None, "its folder (default: runs/<graph>-<model>)"] = None,
    log_dir: Annotated[str | None, "write curves for TensorBoard"] = None,
    seed: Annotated[int, "seed of the training"] = 0,
    recipe: Annotated[
        bool,
        "where neither scorer, loss, optimizer nor lr are given: settings that train well on the "
        "graphs of the benchmarks, which are shown; otherwise, the defaults below",
    ] = True,
    restart: Annotated[
        bool, "begin anew, and keep the checkpoint that is there as 'checkpoint.old.pt'"
    ] = False,
) -> Output:
    r"""Trains a model, ranks the test facts, and saves it.

    Its epoch is selected on validation. Ctrl-C keeps whole epochs; the same command goes on from
    there. '--help' lists the settings of the model, scorer, fusion and loss that a command chooses,
    and 'torch-imf describe' tells what they mean.

    Examples:
      torch-imf train my_graph/ --model adamf --adversary.weight 0.01 --out runs/adamf
      torch-imf train countries --scorer contextual --scorer.dropout 0.5 --scorer.similarity dot \
          --scorer.batch-norm --loss ce --batch-size 128 --lr 0.003 --out runs/contextual
    """
    import torch

    import torch_imf
    from torch_imf.data import audit
    from torch_imf.io.atomic import replacing
    from torch_imf.training.checkpoint import CheckpointError, best_entry, first_seed

    device = compute.prepare()
    dataset = graph.read(features)
    data: Any = dataset[0]
    say(str(dataset.summary()))
    problems = audit(data).problems
    if problems:
        warn(f"{' '.join(problems)} '--scheme clean' repairs this")
    name, known_to_fit = settings.pop("model", "imf"), fit_parameters()
    if recipe and (chosen := torch_imf.recipe(name, data, settings)):
        known = {**torch_imf.describe_settings(name, settings), **known_to_fit}
        chosen = {key: x for key, x in chosen.items() if key in known}
        words = ", ".join(f"{key}={x}" for key, x in chosen.items())
        say(f"Recipe, as no scorer, loss or optimizer is given: {words}")
        settings = {**chosen, **settings}
    settings = {"hidden_channels": 128, **settings}
    fit_settings = {key: x for key, x in settings.items() if key in known_to_fit}
    model_settings = {key: x for key, x in settings.items() if key not in fit_settings}
    folder = Path(out or osp.join("runs", default_name(graph.graph, name)))
    checkpoint = folder / CHECKPOINT
    there = checkpoint.exists() and not restart
    say(f"{'Going on from' if there else 'Training in'} '{folder}'")

    torch.manual_seed(seed)
    model: Any = torch_imf.build_model(name, data, **model_settings).to(device)
    if restart and checkpoint.exists():
        checkpoint.replace(checkpoint.with_suffix(".old.pt"))
    data = data.to(str(device))
    board = nullcontext() if log_dir is None else torch_imf.TensorBoard(log_dir)
    resumable: Any = {"checkpoint": checkpoint, "progress": True}
    try:
        if there and (first := first_seed(checkpoint)) != torch.initial_seed():
            raise CheckpointError(
                f"The training of '{checkpoint}' began with seed {first} (got {seed})"
            )
        with board as callback:
            history = torch_imf.fit(model, data, **fit_settings, **resumable, callback=callback)
            metrics = torch_imf.evaluate(model, data, "test", progress=True)
            best = best_entry(history, fit_settings.get("metric", "mrr"))
            if callback is not None:
                callback.log("test", metrics, int(best["epoch"]))
        training = {
            "dataset": repr(dataset),
            "settings": {"model": name, **settings},
            "seed": seed,
            "epoch": int(best["epoch"]),
            "command": typed(),
            "calibration": try_calibrate(model, data),
        }
        measured = {"val": best, "test": metrics}
        torch_imf.save_pretrained(model, folder / MODEL, data, measured, training)
        with replacing(folder / HISTORY) as file:
            file.write(json.dumps(history, indent=2).encode())
    except KeyboardInterrupt as error:
        kept = "no epoch was completed, so none is kept. To begin again:"
        if checkpoint.exists():
            kept = f"all whole epochs are in '{checkpoint}'. To go on:"
        raise Stopped(f"{kept}\n  {typed().replace(' --restart', '')}") from error
    except CheckpointError as error:
        hint = "'--out' names another folder, '--restart' begins anew"
        raise ValueError(f"{error} ({hint})") from error

    last, epochs = history[-1]["epoch"], settings.get("epochs", known_to_fit["epochs"].default)
    early = f"; stopped early at epoch {last} of {epochs}" if last < epochs else ""
    text = [
        f"{type(model).__name__} of epoch {best['epoch']}, which was best on validation "
        f"(MRR {best['mrr']:.3f}){early}",
        f"Test facts: {int(data.test_mask.sum()):,}",
        metrics_table(metrics),
        f"Saved in '{folder}'. Next:",
        *examples(str(folder), data),
    ]
    about = {key: training[key] for key in ("settings", "seed", "epoch")}
    return Output("\n".join(text), {"folder": str(folder), **about, **measured})


def tune(
    graph: Graph,
    features: Features,
    compute: Compute,
    *,
    model: Annotated[str, "one of 'torch-imf list models'"] = "imf",
    space: Annotated[Sequence[str] | None, "what to try (default: a small space)"] = None,
    trials: Annotated[int, "how many settings to try, those of the study included"] = 20,
    epochs: Annotated[int, "the most epochs of a trial"] = 30,
    metric: Annotated[
        Literal["mrr", "mr", "hits@1", "hits@3", "hits@10"], "what is best on validation:"
    ] = "mrr",
    seed: Annotated[int, "seed of the search and of its trials"] = 0,
    study: Annotated[str | None, "where to keep it (default: runs/<graph>-<model>.db)"] = None,
) -> Output:
    r"""Searches for the settings that do best on validation.

    Optuna looks for them; test facts have no part in it. The study is kept in a file, and the same
    command goes on with it. In a space, whose names are those of 'torch-imf train', a,b,c is a
    choice, a:b a range (logarithmic for floats that are positive and span more than a factor of
    ten), and a single value is fixed.

    Examples:
      torch-imf tune countries --space hidden_channels=64,128 lr=1e-4:1e-2 scorer.dropout=0:0.5
    """
    from torch_imf import best_settings, tune

    device = compute.prepare()
    tried = None if space is None else read_space(space)
    dataset = graph.read(features)
    say(str(dataset.summary()))
    storage = study or osp.join("runs", f"{default_name(graph.graph, model)}.db")
    search: Any = {"trials": trials, "epochs": epochs, "metric": metric, "seed": seed}
    try:
        found = tune(model, dataset[0], tried, **search, storage=storage, device=device)
    except KeyboardInterrupt as error:
        raise Stopped(f"{str(error) or 'interrupted'}. To go on:\n  {typed()}") from error
    model_settings, training = best_settings(found)
    done = [(trial.value, trial) for trial in found.trials if trial.value is not None]
    done.sort(key=lambda entry: entry[0], reverse=metric != "mr")
    command = train_command(graph, features, model, {**model_settings, **training})
    text = [
        f"Best of {len(found.trials)} trials on validation: "
        f"{metric.upper()} {found.best_value:.4f}",
        *(f"  {name} = {value}" for name, value in found.best_trial.params.items()),
        "To train with these settings:",
        f"  {command}",
    ]
    values = {
        "study": storage,
        "metric": metric,
        "best": found.best_value,
        "settings": {"model": model_settings, "fit": training},
        "trials": [{"number": x.number, "value": value, **x.params} for value, x in done],
        "command": command,
    }
    return Output("\n".join(text), values)


def read_space(words: Sequence[str]) -> dict[str, Any]:
    r"""Reads what to try of each setting."""

    def value(text: str) -> Any:
        return read_value([text], bool | int | float | str | None)

    out: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not (name and equals and text):
            raise ValueError(
                f"'--space' needs names and values, as in 'lr=1e-4:1e-2' (got '{word}')"
            )
        low, colon, high = text.partition(":")
        if colon:
            out[name] = (value(low), value(high))
        else:
            values = [value(part) for part in text.split(",")]
            out[name] = values if len(values) > 1 else values[0]
    return out


def train_command(graph: Graph, features: Features, model: str, settings: Mapping[str, Any]) -> str:
    r"""Returns the command that trains with some settings on the same facts and features."""
    words = ["torch-imf", "train", graph.graph, "--model", model]
    given = [(part, field) for part in (graph, features) for field in dataclasses.fields(part)]
    for part, field in given[1:]:  # All but the graph itself.
        value = getattr(part, field.name)
        words += [] if value == field.default else flag_words(field.name, value)
    words.append("--no-recipe")  # What is not in the space was as the model has it.
    return shlex.join([*words, *(x for pair in settings.items() for x in flag_words(*pair))])


# Flags ##########################################################################################


def settings_flags(words: Sequence[str]) -> list[Flag]:
    r"""Returns the flags of training, of the model, and of the parts that the words of a command
    line choose for it.
    """
    from torch_imf import describe_settings

    given = raw_flags(words)
    model, parts = given.get("model", "imf"), dict[str, Any]()
    while True:  # A part may have parts of its own.
        settings = describe_settings(model, parts)
        chosen = {key: x.parameter for key, x in settings.items() if x.choices and key in given}
        more = {key: read_value([given[key]], x.annotation) for key, x in chosen.items()}
        if more == parts:
            break
        parts = more
    title = ", ".join([f"arguments of {model}", *(f"{key} {x}" for key, x in parts.items())])
    kind = inspect.Parameter("model", inspect.Parameter.KEYWORD_ONLY, default="imf", annotation=str)
    return [
        Flag("model", kind, title, sorted(registry.classes("model"))),
        *(Flag(key, x.parameter, title, x.choices) for key, x in settings.items()),
        *(Flag(key, x, "training") for key, x in fit_parameters().items()),
    ]


def raw_flags(words: Sequence[str]) -> dict[str, str]:
    r"""Returns the word that follows each flag."""
    words = words[: words.index("--")] if "--" in words else words
    out = {}
    for word, following in zip(words, [*words[1:], ""], strict=False):
        name, equals, value = word.partition("=")
        if name.startswith("--"):
            out[name[2:].replace("-", "_")] = value if equals else following
    return out


def fit_parameters() -> dict[str, inspect.Parameter]:
    r"""Returns the parameters of :meth:`~torch_imf.fit` that are flags."""
    from torch_imf import fit

    parameters = inspect.signature(fit, eval_str=True).parameters
    others = ("model", "data", "checkpoint", "callback", "progress")
    return {name: x for name, x in parameters.items() if name not in others}


def default_name(graph: str, model: str) -> str:
    r"""Returns the name of the folder of a run, if none is given."""
    stem = osp.basename(osp.normpath(graph)).split(".")[0].lower()
    return f"{stem or 'graph'}-{model}"


def try_calibrate(model: "torch.nn.Module", data: "Data") -> dict[str, Any] | None:
    r"""Returns the calibration of a model, if there are facts to fit it to."""
    from torch_imf import calibrate

    try:
        return dataclasses.asdict(calibrate(model, data))
    except ValueError as error:
        warn(f"Answers will have no probabilities: {error}")
        return None


def examples(folder: str, data: "Data") -> list[str]:
    r"""Returns what to ask the model next, by the example of a test fact."""
    h, r, t = test_fact(data)
    head, relation, tail = data.node_names[h], data.rel_names[r], data.node_names[t]
    ask = ["predict", folder, *flag_words("head", head), *flag_words("relation", relation)]
    fact = [head, relation, tail]
    why = ["explain", folder, *(["--"] if any(x.startswith("-") for x in fact) else []), *fact]
    return [f"  torch-imf {shlex.join(words)}" for words in (ask, why)]
