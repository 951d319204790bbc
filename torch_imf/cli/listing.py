import contextlib
import inspect
import re
import textwrap
from collections.abc import Callable
from typing import Annotated, Any, Literal

from torch_imf import registry
from torch_imf.cli.output import Output

NOTES = """

Sizes are as published. Images, as in a mirror; of YAGO15K, a mirror may hold no more
than 29,198 of the training facts."""
WIDTH = 120
Kind = Literal["datasets", "models", "scorers", "fusions", "losses", "samplers", "encoders"]
KINDS = {
    **{"datasets": "dataset", "models": "model", "scorers": "scorer", "fusions": "fusion"},
    **{"losses": "loss", "samplers": "sampler", "encoders": "encoder"},
}


def list_kinds(kind: Annotated[Kind | None, "what to show"] = None) -> Output:
    r"""Shows what there is: datasets, models, parts, encoders.

    Each comes with a line about it; datasets, with sizes and modalities. Those of other packages,
    which are registered, are among them. 'torch-imf describe' tells more of each.

    Examples:
      torch-imf list                everything
      torch-imf list scorers        what 'torch-imf train --scorer' takes
      torch-imf list datasets --json
    """
    from torch_imf.answers.tables import format_table
    from torch_imf.cli.today import classes, read_stats

    values: dict[str, list[dict[str, str]]] = {}
    tables = []
    for name in [kind] if kind else KINDS:
        rows: list[dict[str, str]] = []
        for cls in dict.fromkeys(classes(KINDS[name]).values()):
            if name == "datasets":  # A row for each version.
                rows += [{"name": cls.__name__, **stats} for stats in read_stats(cls) or [{}]]
            else:
                rows.append({"name": cls.__name__, "about": first_sentence(cls)})
        columns = list(dict.fromkeys(["name", "version", *(x for row in rows for x in row)]))
        cells = [[row.get(column, "") for column in columns] for row in rows]
        left = [i for i, x in enumerate(columns) if x in ("name", "version", "about")]
        titles = [column.lstrip("#") for column in columns]
        tables.append(f"{name}\n{format_table([titles, *cells], left=left)}")
        tables[-1] += NOTES if name == "datasets" else ""
        values[name] = rows
    return Output("\n\n".join(tables), values)


def describe(
    name: Annotated[str | None, "a model, a part of one, a dataset, 'fit', 'evaluate', ..."] = None,
    argument: Annotated[str | None, "one of its arguments"] = None,
) -> Output:
    r"""Tells what a class or a function does, argument by argument.

    Examples:
      torch-imf describe                 what there is to describe
      torch-imf describe imf             a model, and its arguments
      torch-imf describe imf scorer      one argument
      torch-imf describe fit             what 'torch-imf train' takes beside those of a model
    """
    from torch_imf.cli.today import classes

    if name is None:
        names = {kind: list(classes(one)) for kind, one in KINDS.items()}
        lines = [f"{kind}: {', '.join(found)}" for kind, found in names.items()]
        return Output("\n".join([*lines, "functions: fit, evaluate, predict, ..."]), names)
    found = find(name)
    text = plain_text(inspect.getdoc(found) or "")
    if argument is None:
        title = f"{found.__name__}{inspect.signature(found)}"
        return Output(f"{title}\n\n{text}", {"name": found.__name__, "text": text})
    if argument not in inspect.signature(found).parameters:
        known = ", ".join(inspect.signature(found).parameters)
        raise ValueError(f"'{found.__name__}' has no argument '{argument}'. It has {known}")
    # Its lines are indented further than it:
    about = re.search(rf"^    {argument} \(.*\n(?:     .*\n)*", f"{text}\n", re.MULTILINE)
    text = textwrap.dedent(about[0]).strip() if about else text
    return Output(text, {"name": argument, "text": text})


def find(name: str) -> Callable[..., Any]:
    r"""Returns the class or function of a name.

    Raises:
        ValueError: If there is none.
    """
    import torch_imf
    from torch_imf.cli.today import kinds

    for kind in kinds():
        with contextlib.suppress(ValueError):
            return registry.lookup(kind, name)
    found = getattr(torch_imf, name, None)
    if not callable(found):
        raise ValueError(
            f"There is nothing called '{name}'. 'torch-imf describe' lists what there is"
        )
    return found


def first_sentence(cls: type) -> str:
    r"""Returns how the docstring of a class begins, with papers by title."""
    titles: list[str] = []

    def keep(match: re.Match[str]) -> str:
        titles.append(" ".join(match[1].split()))
        return f"<{len(titles) - 1}>"  # Titles have colons and points of their own.

    text = re.sub(r"`([^`<]*?)\s*<[^>]*>`_", keep, inspect.getdoc(cls) or "")
    text = re.sub(r"\s*\(Eqs?\..*?\)", "", " ".join(plain_text(text).split()))
    about = re.sub(r"<(\d+)>", lambda match: titles[int(match[1])], re.split(r"[.:]( |$)", text)[0])
    return textwrap.shorten(about, WIDTH, placeholder=" ...")


def plain_text(text: str) -> str:
    r"""Returns a docstring without mark-up, line by line."""
    text = re.sub(r"`([^`<]*?)\s*<([^>]*)>`_", r"\1 (\2)", text)
    text = re.sub(r":\w+:`(?:~[\w.]*\.)?(.*?)`", r"\1", text, flags=re.DOTALL)
    return re.sub(r"\*{1,2}(\S.*?)\*{1,2}", r"\1", text)
