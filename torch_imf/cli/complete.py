import argparse
import dataclasses
import os.path as osp
from collections.abc import Sequence

from torch_imf.answers.predictor import Predictor
from torch_imf.answers.results import Fact
from torch_imf.answers.tables import tsv_line
from torch_imf.cli.flags import add_flags, given, settings_of
from torch_imf.cli.output import Output
from torch_imf.cli.saved import add_saved, load, saved_temperature
from torch_imf.io.atomic import replacing

HELP = "list the most likely facts that a graph misses"
DESCRIPTION = """Lists the most likely facts that the graph does not hold, of all relations or some,
most likely first."""
EPILOG = """examples:
  torch-imf complete runs/first -k 20
  torch-imf complete runs/first --relation borders neighbour --everyone
  torch-imf complete runs/first -k 100000 --out facts.tsv"""

SETTINGS = settings_of(Predictor.complete, ["k", "relation", "everyone"])


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    r"""Adds the arguments of the command."""
    add_saved(parser)
    group = parser.add_argument_group("facts")
    group.add_argument("-k", type=int, default=argparse.SUPPRESS, help="how many (default: 100)")
    group.add_argument(
        "--relation", nargs="+", default=argparse.SUPPRESS, help=SETTINGS["relation"].help
    )
    add_flags(group, {name: SETTINGS[name] for name in ("everyone",)})
    group.add_argument("--out", metavar="FILE", help="write them as TSV rather than as a table")


def run(options: argparse.Namespace) -> Output:
    r"""Returns the facts that a graph misses."""
    if options.out is not None and osp.isdir(options.out):
        raise ValueError(f"'{options.out}' cannot hold the facts: it is a folder")
    model, data = load(options)
    settings = given(options, SETTINGS)
    predictor = Predictor(model, data, saved_temperature(options.run))
    if options.out is None:
        facts = predictor.complete(**settings, progress=True)
        return Output(str(facts), list(facts))
    names = [field.name for field in dataclasses.fields(Fact)]
    with replacing(options.out) as file:  # What cannot be written is told before the work.
        facts = predictor.complete(**settings, progress=True)
        for row in (names, *([str(getattr(fact, name)) for name in names] for fact in facts)):
            file.write(tsv_line(row))
    text = f"{len(facts):,} facts in '{options.out}'"
    return Output(text, {"facts": options.out, "count": len(facts)})
