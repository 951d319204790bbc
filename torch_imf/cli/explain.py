import argparse
from collections.abc import Sequence

from torch_imf.answers.predictor import Predictor
from torch_imf.cli.flags import add_flags, given, settings_of
from torch_imf.cli.output import Output
from torch_imf.cli.saved import add_saved, load, saved_temperature

HELP = "tell what stands behind the score of a fact"
DESCRIPTION = """Tells which view carries a fact, known or not: its rank in each view alone and
without each modality, the nearest training facts, and the paths from head to tail."""
EPILOG = """examples:
  torch-imf explain runs/first Argentina borders Paraguay
  torch-imf explain runs/first France borders Spain -k 10 --json"""

SETTINGS = settings_of(Predictor.explain, ["k", "view"])


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    r"""Adds the arguments of the command."""
    add_saved(parser)
    for name in ("head", "relation", "tail"):
        parser.add_argument(name, help=f"the {name} of the fact, by name or identifier")
    parser.add_argument(
        "-k", type=int, default=argparse.SUPPRESS, help="how many facts and paths (default: 5)"
    )
    add_flags(parser, {"view": SETTINGS["view"]})


def run(options: argparse.Namespace) -> Output:
    r"""Returns the explanation of a fact."""
    model, data = load(options)
    fact = (options.head, options.relation, options.tail)
    temperature = saved_temperature(options.run)
    found = Predictor(model, data, temperature).explain(*fact, **given(options, SETTINGS))
    return Output(str(found), found)
