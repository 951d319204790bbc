import argparse
from collections.abc import Sequence

from torch_imf.cli.graph import NotEncoded, add_graph, read_graph
from torch_imf.cli.output import Output
from torch_imf.data import audit
from torch_imf.datasets import MultimodalKG

HELP = "look for repetitions and leaks in a dataset or in files of your own"
DESCRIPTION = """Looks for what makes numbers wrong before a model is trained: repeated facts,
held-out facts in training, relations that give answers away, entities that training lacks."""
EPILOG = """examples:
  torch-imf audit DB15K --version mmrns
  torch-imf audit my_graph/               facts.tsv, texts.tsv, images/, numbers.tsv
  torch-imf audit facts.nt.gz --split 0.9 0.05 0.05
  torch-imf audit my_graph/ --check       exit status 1 if there are leaks"""


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    r"""Adds the arguments of the command."""
    add_graph(parser)
    parser.add_argument(
        "--check", action="store_true", help="exit with status 1 if facts repeat or leak"
    )


def run(options: argparse.Namespace) -> Output:
    r"""Returns what is to know about a graph."""
    dataset = read_graph(options, features=False)
    found = audit(dataset[0])
    text = f"{dataset}\n{found}"
    values = {"dataset": repr(dataset), "audit": found, "problems": found.problems}
    if isinstance(dataset, MultimodalKG):
        own = dataset.report()
        text = str(own).replace(f", 1 channels, {NotEncoded()}", "")
        text = text.replace("Pass 'scheme=\"clean\"'", "Pass '--split clean'")
        values |= {"summary": own.summary, "sources": own.sources, "findings": own.findings()}
    return Output(text, values, status=int(options.check and not found.is_clean))
