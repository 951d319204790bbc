r"""The commands that need no model: what there is, and what is in a graph."""

import contextlib
import inspect
import re
import textwrap
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

import torch_imf
from torch_imf import registry
from torch_imf.answers.results import format_table
from torch_imf.cli.command import Output
from torch_imf.cli.inputs import Features, Graph, NotEncoded
from torch_imf.io.atomic import replacing

Models = Literal["models", "scorers", "fusions", "losses", "regularizers", "samplers", "views"]
Kind = Literal["datasets", Models, "encoders"]


def list_kinds(kind: Annotated[Kind | None, "what to show"] = None) -> Output:
    r"""Shows what there is: datasets, models, parts, encoders.

    Sizes are as published. Those of other packages, which are registered, are among them.

    Examples:
      torch-imf list                everything
      torch-imf list scorers        what 'torch-imf train --scorer' takes
    """
    values: dict[str, list[dict[str, str]]] = {}
    tables = []
    for name in [kind] if kind else get_args(Kind):
        rows: list[dict[str, str]] = []
        for cls in dict.fromkeys(members(name).values()):
            if name == "datasets":  # A row for each version.
                known: Any = cls.stats or {"": None}  # type: ignore[attr-defined]
                for version, stats in known.items():
                    sizes = stats._asdict() if stats else {}
                    cells = {key: f"{x:,}" if x else "" for key, x in sizes.items()}
                    rows.append({"name": cls.__name__, "version": version or "", **cells})
            else:
                rows.append({"name": cls.__name__, "about": first_sentence(cls)})
        columns = list(dict.fromkeys(column for row in rows for column in row))
        table = [[row.get(column, "") for column in columns] for row in rows]
        tables.append(f"{name}\n{format_table([columns, *table], left=(0, 1))}")
        values[name] = rows
    return Output("\n\n".join(tables), values)


def describe(
    name: Annotated[str | None, "a model, a part of one, a dataset, 'fit', 'evaluate', ..."] = None,
    argument: Annotated[str | None, "one of its arguments"] = None,
) -> Output:
    r"""Tells what a class or a function does, argument by argument.

    Examples:
      torch-imf describe                 what there is to describe
      torch-imf describe imf scorer      one argument of a model
      torch-imf describe fit             what 'torch-imf train' takes beside those of a model
    """
    if name is None:
        names = {kind: list(members(kind)) for kind in get_args(Kind)}
        lines = [f"{kind}: {', '.join(found)}" for kind, found in names.items()]
        return Output("\n".join([*lines, "functions: fit, evaluate, predict, ..."]), names)
    named: list[Any] = []  # A model and its fusion may share a name.
    for kind in registry.KINDS:
        with contextlib.suppress(ValueError):
            named.append(registry.lookup(kind, name))
    named += filter(callable, [getattr(torch_imf, name, None)])
    if not named:
        raise ValueError(f"There is nothing called '{name}'. 'torch-imf describe' lists all")
    takes = [x for x in named if argument in inspect.signature(x).parameters]
    found: Any = (takes or named)[0]
    # Some arguments are those of a base class, and described there:
    docs = [plain_text(inspect.getdoc(x) or "") for x in getattr(found, "__mro__", [found])]
    text = docs[0]
    if argument is None:
        title = f"{found.__name__}{inspect.signature(found)}"
        return Output(f"{title}\n\n{text}", {"name": found.__name__, "text": text})
    if not takes:
        known = ", ".join(inspect.signature(found).parameters)
        raise ValueError(f"'{found.__name__}' has no argument '{argument}'. It has {known}")
    # Its lines are indented further than it:
    about = re.search(rf"^    {argument} \(.*\n(?:     .*\n)*", "\n".join([*docs, ""]), re.M)
    text = textwrap.dedent(about[0]).strip() if about else text
    return Output(text, {"name": argument, "text": text})


def members(kind: str) -> dict[str, type]:
    r"""Returns the classes of a kind, which is in the plural."""
    return registry.classes("loss" if kind == "losses" else kind.removesuffix("s"))


def first_sentence(cls: type) -> str:
    r"""Returns how the docstring of a class begins, with papers by their titles in quotes."""
    text = " ".join(plain_text(inspect.getdoc(cls) or "").split())
    text = re.sub(r"\s*\((https?:|Eqs?\.).*?\)", "", text)
    # Titles have colons of their own, and abbreviations points:
    about = re.match(r'("[^"]*"|\b(Eqs?|Figs?|Secs?|al|vs|cf)\.|[.:](?=\S)|[^.:])*', text)
    return textwrap.shorten(about[0] if about else "", 120, placeholder=" ...")


def plain_text(text: str) -> str:
    r"""Returns a docstring without mark-up, line by line."""
    text = re.sub(r"`([^`<]*?)\s*<([^>]*)>`_", r"\1 (\2)", text)
    text = re.sub(r":\w+:`(?:~[\w.]*\.)?(.*?)`", r"\1", text, flags=re.DOTALL)
    return re.sub(r"\*{1,2}(\S.*?)\*{1,2}", r"\1", text)


def audit(
    graph: Graph,
    *,
    check: Annotated[bool, "exit with status 1 if facts repeat or leak"] = False,
) -> Output:
    r"""Looks for what makes numbers wrong before a model is trained.

    That is repeated facts, held-out facts in training, relations that give answers away, entities
    that training lacks.

    Examples:
      torch-imf audit DB15K --version mmrns
      torch-imf audit facts.nt.gz --shares 0.9 0.05 0.05
      torch-imf audit my_graph/ --check       exit status 1 if there are leaks
    """
    dataset = graph.read()
    report = dataset.report()
    found = report.audit
    text = str(report).replace(f", 1 channels, {NotEncoded()}", "")
    values = {"dataset": repr(dataset), **vars(report), "problems": found.problems}
    values["findings"] = found.findings()
    return Output(text, values, status=int(check and not found.is_clean))


def encode(
    graph: Graph, features: Features, *, out: Annotated[str, "the folder"] = "features"
) -> Output:
    r"""Turns texts, images and numbers into files of features.

    'train' reads them. What is interrupted goes on where it was.

    Examples:
      torch-imf encode my_graph/ --text-encoder all-MiniLM-L6-v2 --visual-encoder vgg16
      torch-imf train my_graph/ --text-encoder features/text.npz
    """
    import numpy as np

    try:
        dataset = graph.read(features)
    except KeyboardInterrupt as error:
        raise KeyboardInterrupt("what was encoded is kept") from error
    data: Any = dataset[0]
    x_dict, mask_dict = torch_imf.data.modalities(data)
    if not x_dict:
        raise ValueError(f"{dataset} has no texts, images or numbers to encode")
    rows, values = [["modality", "entities", "values", "encoder", "file"]], {}
    for name, x in x_dict.items():
        path, mask = Path(out, f"{name}.npz"), mask_dict[name]
        ids = [data.node_ids[row] for row in mask.nonzero().view(-1).tolist()]
        with replacing(path) as file:
            np.savez(file, entity=np.array(ids), feature=x[mask].numpy())
        about = {"encoder": str(data.encoders.get(name, "")), "file": str(path)}
        values[name] = {"entities": len(ids), "channels": x.size(1), **about}
        rows.append([name, f"{len(ids):,} of {x.size(0):,}", str(x.size(1)), *about.values()])
    return Output(format_table(rows, left=(0, 3, 4)), values)
