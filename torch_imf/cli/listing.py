import argparse
import inspect
import re
import textwrap
from collections.abc import Sequence
from typing import Any

from torch_imf import encoders, registry
from torch_imf.answers.tables import format_table
from torch_imf.cli.output import Output
from torch_imf.docstring import plain_text

HELP = "show what there is: datasets, models, scorers, fusions, samplers, encoders"
DESCRIPTION = "Shows what there is, with a line each; of datasets, sizes and modalities."
EPILOG = """examples:
  torch-imf list                everything
  torch-imf list scorers        what 'torch-imf train --scorer' takes
  torch-imf list datasets --json"""

COLUMNS = ("version", "entities", "relations", "train", "val", "test")
MODALITIES = {"text": "description", "numeric": "numbers", "visual": "images"}
NOTES = """
Sizes are as published. Images, as in a mirror; of YAGO15K, a mirror may hold no more
than 29,198 of the training facts."""
WIDTH = 120
KINDS = {"models": "model", "scorers": "scorer", "fusions": "fusion", "samplers": "sampler"}


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    r"""Adds the arguments of the command."""
    parser.add_argument(
        "kind", nargs="?", choices=["datasets", *KINDS, "encoders"], help="what to show"
    )


def run(options: argparse.Namespace) -> Output:
    r"""Returns tables of what there is."""
    kinds = [options.kind] if options.kind else ["datasets", *KINDS, "encoders"]
    values = {kind: list_datasets() if kind == "datasets" else list_classes(kind) for kind in kinds}
    texts = []
    for kind, rows in values.items():
        if kind == "datasets":
            table = datasets_table(rows) + "\n" + NOTES
        else:
            table = format_table([["name", "about"], *([*x.values()] for x in rows)], left=(0, 1))
        texts.append(f"{kind}\n{table}")
    return Output("\n\n".join(texts), values)


def list_datasets() -> list[dict[str, Any]]:
    r"""Returns the name, sizes and modalities of each version of each dataset."""
    return [
        {"name": name, "version": version, **stats._asdict()}
        for name, cls in registry.classes("dataset").items()
        for version, stats in cls.stats.items()  # type: ignore[attr-defined]
    ]


def datasets_table(rows: Sequence[dict[str, Any]]) -> str:
    r"""Returns a table of datasets."""
    table = [["dataset", *COLUMNS, "entities with"]]
    for row in rows:
        covered = [f"{name} {row[key]:,}" for key, name in MODALITIES.items() if row[key]]
        sizes = [f"{row[column]:,}" for column in COLUMNS[1:]]
        table.append([row["name"], row["version"] or "-", *sizes, ", ".join(covered)])
    return format_table(table, left=(0, 1, len(COLUMNS) + 1))


def list_classes(kind: str) -> list[dict[str, str]]:
    r"""Returns the name and the first sentence of the docstring of classes."""
    if kind == "encoders":
        names = [x for x in encoders.__all__ if x.endswith(("Encoder", "File"))]
        found = {name: getattr(encoders, name) for name in names}
    else:
        found = {cls.__name__: cls for cls in registry.classes(KINDS[kind]).values()}
    return [{"name": name, "about": first_sentence(cls)} for name, cls in found.items()]


def first_sentence(cls: type) -> str:
    r"""Returns how the docstring of a class begins, with papers by title."""
    titles: list[str] = []

    def keep(match: re.Match[str]) -> str:
        titles.append(" ".join(match[1].split()))
        return f"<{len(titles) - 1}>"  # Titles have colons and points of their own.

    text = re.sub(r"`([^`<]*?)\s*<[^>]*>`_", keep, inspect.getdoc(cls) or "")
    about = re.split(r"[.:]( |$)", re.sub(r"\s*\(Eqs?\..*?\)", "", plain_text(text)))[0]
    about = re.sub(r"<(\d+)>", lambda match: titles[int(match[1])], about)
    return textwrap.shorten(about, WIDTH, placeholder=" ...")
