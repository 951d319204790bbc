import contextlib
import inspect
import re
import textwrap
from typing import Annotated, Any, Literal, get_args

from torch_imf import registry
from torch_imf.cli.output import Output

Models = Literal["models", "scorers", "fusions", "losses", "regularizers", "samplers"]
Kind = Literal["datasets", Models, "encoders"]


def list_kinds(kind: Annotated[Kind | None, "what to show"] = None) -> Output:
    r"""Shows what there is: datasets, models, parts, encoders.

    Sizes are as published. Those of other packages, which are registered, are among them.

    Examples:
      torch-imf list                everything
      torch-imf list scorers        what 'torch-imf train --scorer' takes
    """
    from torch_imf.answers.tables import format_table

    values: dict[str, list[dict[str, str]]] = {}
    tables = []
    for name in [kind] if kind else get_args(Kind):
        rows: list[dict[str, str]] = []
        for cls in dict.fromkeys(members(name).values()):
            if name == "datasets":  # A row for each version.
                known: Any = getattr(cls, "stats", {}) or {None: None}
                for version, stats in known.items():
                    sizes = {} if stats is None else stats._asdict()
                    cells = {k: f"{x:,}" if x else "" for k, x in sizes.items()}
                    rows.append({"name": cls.__name__, "version": version or "", **cells})
            else:
                rows.append({"name": cls.__name__, "about": first_sentence(cls)})
        columns = list(dict.fromkeys(column for row in rows for column in row))
        table = [[row.get(column, "") for column in columns] for row in rows]
        left = [i for i, x in enumerate(columns) if x in ("name", "version", "about")]
        tables.append(f"{name}\n{format_table([columns, *table], left=left)}")
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
    import torch_imf

    found: Any = getattr(torch_imf, name, None)
    for kind in registry.KINDS:
        with contextlib.suppress(ValueError):
            found = registry.lookup(kind, name)
    if not callable(found):
        raise ValueError(
            f"There is nothing called '{name}'. 'torch-imf describe' lists what there is"
        )
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


def members(kind: str) -> dict[str, type]:
    r"""Returns the classes of a kind, which is in the plural."""
    return registry.classes("loss" if kind == "losses" else kind.removesuffix("s"))


def first_sentence(cls: type) -> str:
    r"""Returns how the docstring of a class begins, with papers by their titles in quotes."""
    text = re.sub(r"`([^`<]*?)\s*<[^>]*>`_", r"\1", inspect.getdoc(cls) or "")
    text = re.sub(r"\s*\(Eqs?\..*?\)", "", " ".join(plain_text(text).split()))
    about = re.match(r'("[^"]*"|[.:](?=\S)|[^.:])*', text)  # Titles have colons of their own.
    return textwrap.shorten(about[0] if about else "", 120, placeholder=" ...")


def plain_text(text: str) -> str:
    r"""Returns a docstring without mark-up, line by line."""
    text = re.sub(r"`([^`<]*?)\s*<([^>]*)>`_", r"\1 (\2)", text)
    text = re.sub(r":\w+:`(?:~[\w.]*\.)?(.*?)`", r"\1", text, flags=re.DOTALL)
    return re.sub(r"\*{1,2}(\S.*?)\*{1,2}", r"\1", text)
