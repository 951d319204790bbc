import os.path as osp
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Annotated, Any, Literal

from torch_imf.cli.flags import flag_words, read_value
from torch_imf.cli.graph import Compute, Features, Graph
from torch_imf.cli.output import Output, Stopped, say, typed
from torch_imf.cli.train import default_name


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
    r"""Searches for the settings that do best on validation, with Optuna.

    Test facts have no part in it. The study is kept in a file, and the same command goes on with
    it. In a space, whose names are those of 'torch-imf train', a,b,c is a choice, a:b is a range
    (logarithmic for floats that are positive and span more than a factor of ten), and a single
    value is fixed.

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
    given = [(part, field) for part in (graph, features) for field in fields(part)]
    for part, field in given[1:]:  # All but the graph itself.
        value = getattr(part, field.name)
        words += [] if value == field.default else flag_words(field.name, value)
    words.append("--no-recipe")  # What is not in the space was as the model has it.
    return shlex.join([*words, *(x for pair in settings.items() for x in flag_words(*pair))])
