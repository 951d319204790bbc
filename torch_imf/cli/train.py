r"""The commands that train models."""

import contextlib
import dataclasses
import inspect
import json
import os.path as osp
import shlex
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import click

import torch_imf
from torch_imf import registry
from torch_imf.answers.results import format_table
from torch_imf.cli.answers import metrics_table
from torch_imf.cli.command import Flag, Output, flag_words, read_value, say
from torch_imf.cli.inputs import (
    CHECKPOINT,
    HISTORY,
    MODEL,
    RECIPE,
    Compute,
    Features,
    Graph,
    test_fact,
)
from torch_imf.io import require, warn
from torch_imf.io.atomic import replacing

if TYPE_CHECKING:
    from torch_geometric.data import Data

    from torch_imf.training import Recipe

Metric = Literal["mrr", "mr", "hits@1", "hits@3", "hits@10"]


def train(
    graph: Graph,
    features: Features,
    compute: Compute,
    settings: dict[str, Any],
    *,
    out: Annotated[str | None, "its folder (default: runs/<graph>-<model>)"] = None,
    with_: Annotated[
        Sequence[str],
        "what people decided about missing facts ('torch-imf serve --review'): accepted ones join "
        "the training facts, and refused ones are not proposed again",
    ] = (),
    log_dir: Annotated[str | None, "write curves for TensorBoard"] = None,
    seed: Annotated[int, "seed of the training"] = 0,
    recipe: Annotated[
        Literal["best", "paper", "released", "none"],
        "settings: 'best' tries some, if no scorer, loss, optimizer or lr is given",
    ] = "best",
    extra_views: Annotated[
        Sequence[str],
        "what votes beside the views of the model: 'auto' (types, rules and features), or 'none'",
    ] = ("auto",),
    members: Annotated[
        Sequence[str], "further models that vote with it, each by a recipe of its own: 'kge adamf'"
    ] = (),
    controls: Annotated[
        bool, "tell whether features are worth having, by three seeds of six trainings"
    ] = False,
    shard: Annotated[
        bool,
        "let each of several processes ('torchrun') hold a share of the entities; no views vote "
        "beside the model then",
    ] = False,
    restart: Annotated[bool, "begin anew, and keep the checkpoint as 'checkpoint.old.pt'"] = False,
) -> Output:
    r"""Trains a model, lets it vote with mined rules, ranks the test facts, and saves both.

    Settings are tried on validation first, where epoch and votes are chosen, too. Ctrl-C keeps
    whole epochs; the same command goes on from there. '--help' lists the settings of the model,
    scorer, fusion and loss that a command chooses, and 'torch-imf describe' tells what they mean.

    Examples:
      torch-imf train my_graph/ --model adamf --adversary.weight 0.01 --out runs/adamf
      torch-imf train countries --scorer contextual --scorer.dropout 0.5 --scorer.similarity dot \
          --scorer.batch-norm --loss ce --batch-size 128 --lr 0.003 --out runs/contextual
    """
    from torch_imf.data.distributed import barrier, is_main
    from torch_imf.training import Recipe
    from torch_imf.training.checkpoint import CheckpointError, best_entry
    from torch_imf.training.recipe import tries

    if shard and (list(extra_views) not in (["auto"], ["none"]) or members or controls or restart):
        others = "'--extra-views', '--members', '--controls' and '--restart'"
        raise ValueError(f"'--shard' goes with none of {others}")
    if log_dir:
        require("tensorboard", "Curves", "tensorboard")
    device, writes = compute.prepare(), is_main()
    dataset = graph.read(features)
    data: Any = dataset[0]
    say(str(dataset.summary()))
    for source in with_:
        before, data = data, torch_imf.data.add_decisions(data, source)
        count = data.edge_type.numel() - before.edge_type.numel()
        refused = data.refused.size(1)
        say(f"'{source}': {count:,} accepted facts join training; {refused:,} are refused by now")
    if problems := torch_imf.data.audit(data).problems:
        warn(f"{' '.join(problems)} '--scheme clean' repairs this")
        warnings.filterwarnings("ignore", ".* facts are training facts as well")  # As just said.
    name, of_fit = settings.pop("model", "imf"), fit_parameters()
    folder = Path(out or default_path(graph, name))
    checkpoint = folder / CHECKPOINT
    goes_on = checkpoint.exists() and not restart
    say(f"{'Going on from' if goes_on else 'Training in'} '{folder}'")
    named: dict[str, list[str] | None] = {"auto": None, "none": []}
    views = named.get(" ".join(extra_views), list(extra_views))
    for view in views or []:
        registry.lookup("view", view)
    for member in members:
        registry.lookup("model", member)
    shared = {key: x for key, x in settings.items() if key in of_fit}
    is_best, found = recipe == "best", {}
    if is_best:
        found = find_recipe(name, data, settings, seed, folder / RECIPE, goes_on)
    elif recipe != "none":
        found = left(torch_imf.recipe(name, data, settings, recipe), settings)
    if found:
        why = ", as no scorer, loss or optimizer is given" if is_best else f" '{recipe}'"
        if is_best and not tries(name, settings):
            why = ", what it trains well with if no loss or optimizer is given"
        say(f"Recipe{why}: {', '.join(f'{key}={x}' for key, x in found.items())}")
    chosen = Recipe(name, {"hidden_channels": 128, **found, **settings})
    settings, data = dict(chosen), data.to(str(device))
    board = torch_imf.TensorBoard(log_dir) if log_dir and writes else contextlib.nullcontext()
    try:
        with board as callback:
            model, history = fit_one(chosen, data, seed, checkpoint, restart, shard, callback)
            models = [model]
            for i, member in enumerate(members, start=2):
                say(f"Model {i} of the ensemble: {member}")
                path = checkpoint.with_stem(f"{checkpoint.stem}-{i}")
                goes_on = path.exists() and not restart
                found = {}
                if recipe != "none":
                    kept = folder / f"recipe-{i}.json"
                    found = find_recipe(member, data, shared, seed + i, kept, goes_on)
                found = Recipe(member, {"hidden_channels": 128, **found, **shared})
                models.append(fit_one(found, data, seed + i, path, restart)[0])
            votes_on = views != [] or len(model.views) > 1
            if not shard and (members or recipe in ("best", "none") and votes_on):
                say("Views learn to vote")
                model = torch_imf.fit_view_weights(models, data, views)
            metrics = torch_imf.evaluate(model, data, "test", progress=True)
            best = best_entry(history, settings.get("metric", "mrr"))
            epoch = int(best["epoch"])
            if callback is not None:
                callback.log("test", metrics, epoch)
        calibration = None
        try:
            calibration = dataclasses.asdict(torch_imf.calibrate(model, data))
        except ValueError as error:
            warn(f"Answers will have no probabilities: {error}")
        about = {"settings": {"model": name, **settings}, "seed": seed, "epoch": epoch}
        about |= {"members": list(members)} if members else {}
        about |= {"with": list(with_)} if with_ else {}
        more = {"dataset": repr(dataset), "calibration": calibration}
        more["command"] = click.get_current_context().meta["typed"]
        measured = {"val": best, "test": metrics}
        measured |= {"votes": model.fitted} if hasattr(model, "fitted") else {}
        target, training = folder / MODEL, {**about, **more}
        if writes or shard:  # Shards are gathered by all processes.
            torch_imf.save_pretrained(model, target, data, measured, training, dataset.encoders)
        if writes:
            with replacing(folder / HISTORY) as file:
                file.write(json.dumps(history, indent=2).encode())
        barrier()
    except KeyboardInterrupt as error:
        where = f"all whole epochs are in '{checkpoint}'"
        raise KeyboardInterrupt(where if checkpoint.exists() else "no epoch is kept") from error
    except CheckpointError as error:
        hint = "'--out' names another folder, '--restart' begins anew"
        raise ValueError(f"{error} ({hint})") from error

    last, epochs = history[-1]["epoch"], settings.get("epochs", of_fit["epochs"].default)
    early = f"; stopped early at epoch {last} of {epochs}" if last < epochs else ""
    given = (name, *settings.values())
    classes = [x for x in given if isinstance(x, str) and ":" in x]  # As "my_package:Twist".
    own = flag_words("classes", classes) if classes else []
    text = [
        f"{registry.lookup('model', name).__name__} of epoch {best['epoch']}, which was best on "
        f"validation (MRR {best['mrr']:.3f}){early}",
        *votes(model),
        f"Test facts: {int(data.test_mask.sum()):,}",
        metrics_table(metrics),
        f"Saved in '{folder}'. Next:",
        *(f"  torch-imf {shlex.join([*words, *own])}" for words in questions(str(folder), data)),
    ]
    values = {"folder": str(folder), **about, **measured}
    if controls:
        found = torch_imf.training.controls(chosen, data, views, progress=True)
        text += ["", "Features and controls, MRR by three seeds:", controls_table(found)]
        values["controls"] = found
    return Output("\n".join(text), values)


def fit_one(
    recipe: "Recipe",
    data: "Data",
    seed: int,
    checkpoint: Path,
    restart: bool,
    shard: bool = False,
    callback: Any = None,
) -> tuple[Any, list[dict[str, float]]]:
    r"""Trains a model by a recipe, or goes on, and returns it with its history."""
    import torch

    from torch_imf.data.distributed import barrier, is_main
    from torch_imf.training.checkpoint import CheckpointError, first_seed

    torch.manual_seed(seed)
    model = recipe.build(data).to(data.edge_index.device)
    model = torch_imf.shard(model) if shard else model
    if restart:
        if checkpoint.exists() and is_main():
            checkpoint.replace(checkpoint.with_suffix(".old.pt"))
        barrier()
    elif checkpoint.exists() and (first := first_seed(checkpoint)) != seed:
        raise CheckpointError(f"'{checkpoint}' began with seed {first} (got {seed})")
    training = {**recipe.fit, "checkpoint": checkpoint, "progress": True}
    return model, torch_imf.fit(model, data, **training, callback=callback)


def find_recipe(
    name: str, data: "Data", given: Mapping[str, Any], seed: int, path: Path, goes_on: bool
) -> dict[str, Any]:
    r"""Returns the recipe of a training, which is found anew unless it goes on."""
    from torch_imf.data.distributed import is_main
    from torch_imf.training.recipe import tries

    known = left(torch_imf.recipe(name, data, given, search=False), given)
    if not known or not tries(name, given):
        return known
    if goes_on and path.exists():
        return left(json.loads(path.read_text()), given)
    say("Trying settings on validation facts ('--recipe none' takes the model's own)")
    chosen = left(torch_imf.recipe(name, data, given, seed=seed, progress=True), given)
    if is_main():
        with replacing(path) as file:
            file.write(json.dumps(chosen, indent=2).encode())
    return chosen


def left(settings: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    r"""Returns the settings that are not given."""
    return {key: x for key, x in settings.items() if key not in given}


def votes(model: Any) -> list[str]:
    r"""Tells what the views of an ensemble count, in words."""
    if not hasattr(model, "fitted"):
        return []
    weights = sorted(model.view_weights().items(), key=lambda x: -x[1])
    total = sum(weight for _, weight in weights)
    shares = ", ".join(f"{view} {weight / total:.0%}" for view, weight in weights)
    by = ", by relation" if model.fitted["by"] == "relation" else ""
    return [f"Views vote (MRR {model.fitted['mrr']:.3f} by cross-validation): {shares}{by}"]


def controls_table(found: Mapping[str, Mapping[str, list[float]]]) -> str:
    r"""Returns what :meth:`torch_imf.training.controls` has found, with a verdict."""
    mean = {row: sum(x["val"]) / len(x["val"]) for row, x in found.items()}
    rows = [["", "VALIDATION", "TEST", "SEEDS"]]
    for row, x in found.items():
        test = sum(x["test"]) / len(x["test"])
        seeds = " ".join(f"{value:.3f}" for value in x["test"])
        rows.append([row, f"{mean[row]:.4f}", f"{test:.4f}", seeds])
    with_features = max((row for row in found if row.startswith("with")), key=mean.__getitem__)
    best = max((row for row in found if not row.startswith("with")), key=mean.__getitem__)
    # By how much each seed is better than the best of what cannot help:
    gains = [a - b for a, b in zip(found[with_features]["val"], found[best]["val"], strict=True)]
    gain = sum(gains) / len(gains)
    verdict = f"On validation, '{with_features}' has {gain:+.4f} over '{best}'"
    if min(gains) > 0:
        verdict += ", with each seed: features are worth having"
    else:
        verdict += ", and not with each seed: features are not worth having here"
    return f"{format_table(rows, left=(0, 3))}\n{verdict}"


def tune(
    graph: Graph,
    features: Features,
    compute: Compute,
    *,
    model: Annotated[str, "one of 'torch-imf list models'"] = "imf",
    space: Annotated[Sequence[str] | None, "what to try (default: a small space)"] = None,
    trials: Annotated[int, "how many settings to try, those of the study included"] = 20,
    epochs: Annotated[int, "the most epochs of a trial"] = 30,
    metric: Annotated[Metric, "what is best on validation:"] = "mrr",
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
    require("optuna", "Searches", "tune")
    device = compute.prepare()
    tried = None if space is None else read_space(space)
    dataset = graph.read(features)
    say(str(dataset.summary()))
    storage = study or f"{default_path(graph, model)}.db"
    search: Any = {"trials": trials, "epochs": epochs, "metric": metric, "seed": seed}
    found = torch_imf.tune(model, dataset[0], tried, **search, storage=storage, device=device)
    model_settings, training = torch_imf.best_settings(found)
    each = [{"number": x.number, "value": x.value, **x.params} for x in found.trials]
    done = [trial for trial in each if trial["value"] is not None]
    # Trials are short, and a training takes its own number of epochs:
    chosen = {x: y for x, y in training.items() if x != "epochs" and (x, y) != ("metric", "mrr")}
    command = train_command(graph, features, model, {**model_settings, **chosen})
    best = f"{metric.upper()} {found.best_value:.4f}"
    text = [
        f"Best of {len(found.trials)} trials on validation: {best}",
        *(f"  {name} = {value}" for name, value in found.best_trial.params.items()),
        "To train with these settings:",
        f"  {command}",
    ]
    values = {
        "study": storage,
        "metric": metric,
        "best": found.best_value,
        "settings": {"model": model_settings, "fit": training},
        "trials": sorted(done, key=lambda trial: trial["value"], reverse=metric != "mr"),
        "command": command,
    }
    return Output("\n".join(text), values)


def read_space(words: Sequence[str]) -> dict[str, Any]:
    r"""Reads what to try of each setting."""

    def read(parts: Sequence[str]) -> list[Any]:
        return [read_value([part], bool | int | float | str | None) for part in parts]

    out: dict[str, Any] = {}
    for word in words:
        name, _, text = word.partition("=")
        if not (name and text):
            raise ValueError(f"'--space' needs names and values, as in 'lr=1e-4:1e-2' ({word})")
        values = read(text.split(":"))
        is_range = len(values) == 2 and not any(isinstance(x, str) for x in values)
        values = values if is_range else read(text.split(","))
        out[name] = tuple(values) if is_range else values if len(values) > 1 else values[0]
    return out


def train_command(graph: Graph, features: Features, model: str, settings: Mapping[str, Any]) -> str:
    r"""Returns the command that trains with some settings on the same facts and features."""
    words = ["torch-imf", "train", graph.graph, "--model", model]
    given = [(part, field) for part in (graph, features) for field in dataclasses.fields(part)]
    for part, field in given[1:]:  # All but the graph itself.
        value = getattr(part, field.name)
        words += [] if value == field.default else flag_words(field.name, value)
    words += ["--recipe", "none"]  # What is not in the space was as the model has it.
    return shlex.join([*words, *(x for pair in settings.items() for x in flag_words(*pair))])


def questions(folder: str, data: "Data") -> list[list[str]]:
    r"""Returns commands that ask a model, by the example of a test fact."""
    from torch_imf.data.names import Lookup

    h, r, t = test_fact(data)
    nodes, relations = Lookup.of_entities(data).labels, Lookup.of_relations(data).labels
    fact = nodes[h], relations[r], nodes[t]
    dashes = ["--"] if any(x.startswith("-") for x in fact) else []
    ask = [*flag_words("head", fact[0]), *flag_words("relation", fact[1])]
    return [["predict", folder, *ask], ["explain", folder, *dashes, *fact]]


def settings_flags(words: Sequence[str]) -> list[Flag]:
    r"""Returns the flags of training, of the model, and of the parts that the words of a command
    line choose for it.
    """
    given: dict[str, str] = {}  # The word that follows each flag.
    for word, following in zip(words, [*words[1:], ""], strict=False):
        name, equals, value = word.partition("=")
        if name.startswith("--"):
            given[name[2:].replace("-", "_")] = value if equals else following
    model, parts = given.get("model", "imf"), dict[str, Any]()
    while True:  # A part may have parts of its own.
        settings = torch_imf.describe_settings(model, parts)
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


def fit_parameters() -> dict[str, inspect.Parameter]:
    r"""Returns the parameters of :meth:`~torch_imf.fit` that are flags."""
    parameters = inspect.signature(torch_imf.fit, eval_str=True).parameters
    others = ("model", "data", "checkpoint", "callback", "progress")
    return {name: x for name, x in parameters.items() if name not in others}


def default_path(graph: Graph, model: str) -> str:
    r"""Returns where to keep what is made of a graph and a model, if no place is given."""
    stem = osp.basename(osp.normpath(graph.graph)).split(".")[0].lower()
    return osp.join("runs", f"{stem or 'graph'}-{model}".replace(":", "-"))
