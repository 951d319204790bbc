import argparse
from collections.abc import Sequence

from torch_imf.answers.predictor import Predictor
from torch_imf.cli.flags import add_flags, given, settings_of
from torch_imf.cli.output import Output
from torch_imf.cli.saved import add_saved, load, saved_temperature

HELP = "answer questions: the most likely tails, or heads"
DESCRIPTION = """Answers 'head relation ?' or '? relation tail', by names or identifiers: the most
likely entities with scores and probabilities, and the part that each view has in the score."""
EPILOG = """examples:
  torch-imf predict runs/first --head France --relation borders
  torch-imf predict runs/first --tail Europe --relation continent -k 20 --known remove
  torch-imf predict runs/first --queries queries.tsv --answers answers.tsv
                                       lines of head, relation, tail, with ? for what is asked"""

SETTINGS = settings_of(Predictor.predict, ["k", "known"])


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    r"""Adds the arguments of the command."""
    add_saved(parser)
    group = parser.add_argument_group("one question")
    group.add_argument("--head", help="the head, by name or identifier, to ask for tails")
    group.add_argument("--relation", help="the relation, by name or identifier")
    group.add_argument("--tail", help="the tail, to ask for heads")
    group = parser.add_argument_group("many questions")
    group.add_argument("--queries", metavar="FILE", help="TSV of head, relation and tail")
    group.add_argument("--answers", metavar="FILE", help="TSV of answers to write")
    group = parser.add_argument_group("answers")
    group.add_argument("-k", type=int, default=argparse.SUPPRESS, help="how many (default: 10)")
    add_flags(group, {name: x for name, x in SETTINGS.items() if name != "k"})


def run(options: argparse.Namespace) -> Output:
    r"""Returns the answers of a saved model."""
    one = options.head or options.relation or options.tail
    if bool(options.queries) != bool(options.answers) or bool(options.queries) == bool(one):
        raise ValueError(
            "give '--relation' and one of '--head' and '--tail', or '--queries' and '--answers'"
        )
    model, data = load(options)
    settings = given(options, SETTINGS)
    predictor = Predictor(model, data, saved_temperature(options.run))
    if options.queries:
        paths = (options.queries, options.answers)
        count = predictor.predict_file(*paths, **settings)
        values = {"queries": options.queries, "answers": options.answers, "count": count}
        return Output(f"{count:,} answers in '{options.answers}'", values)
    sides = {"head": options.head, "relation": options.relation, "tail": options.tail}
    answers = predictor.predict(**sides, **settings)
    return Output(str(answers), {"query": answers.query, "answers": list(answers)})
