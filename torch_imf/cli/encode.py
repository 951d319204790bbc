import argparse
import os.path as osp
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from torch_imf.answers.tables import format_table
from torch_imf.cli.graph import add_encoders, add_graph, read_graph
from torch_imf.cli.output import Output, Stopped
from torch_imf.data import modalities
from torch_imf.io.atomic import replacing

HELP = "turn texts, images and numbers into files of features"
DESCRIPTION = """Encodes texts, images and numbers once, and writes a file of features for each,
which 'train' reads again. What is interrupted goes on where it was."""
EPILOG = """examples:
  torch-imf encode my_graph/ --out features
  torch-imf encode my_graph/ --out features --text-encoder all-MiniLM-L6-v2 --visual-encoder vgg16
  torch-imf train my_graph/ --text-encoder features/text.npz"""


def add_arguments(parser: argparse.ArgumentParser, words: Sequence[str]) -> None:
    r"""Adds the arguments of the command."""
    add_graph(parser)
    add_encoders(parser)
    parser.add_argument("--out", default="features", help="the folder (default: features)")


def run(options: argparse.Namespace) -> Output:
    r"""Writes the features of a graph."""
    try:
        dataset = read_graph(options)
    except KeyboardInterrupt as error:
        raise Stopped(f"what was encoded is kept. To go on:\n  {options.line}") from error
    data: Any = dataset[0]
    x_dict, mask_dict = modalities(data)
    if not x_dict:
        raise ValueError(f"{dataset} has no texts, images or numbers to encode")
    rows, values = [["modality", "entities", "values", "encoder", "file"]], {}
    for name, x in x_dict.items():
        path = Path(options.out) / f"{name}.npz"
        mask = mask_dict[name]
        ids = [data.node_ids[row] for row in mask.nonzero().view(-1).tolist()]
        with replacing(path) as file:
            np.savez(file, entity=np.array(ids), feature=x[mask].numpy())
        encoder = str(data.encoders.get(name, ""))
        about = {"file": osp.join(options.out, path.name), "encoder": encoder}
        values[name] = {"entities": len(ids), "channels": x.size(1), **about}
        rows.append(
            [name, f"{len(ids):,} of {x.size(0):,}", str(x.size(1)), encoder, about["file"]]
        )
    return Output(format_table(rows, left=(0, 3, 4)), values)
