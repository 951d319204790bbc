import argparse
import os.path as osp
from collections.abc import Sequence

from torch_imf import datasets
from torch_imf.data import audit
from torch_imf.datasets.stats import read_stats

COLUMNS = ("version", "#entities", "#relations", "#train", "#val", "#test")


def main(args: Sequence[str] | None = None) -> int:
    r"""Runs the command line, :obj:`python -m torch_imf`.

    Args:
        args (list[str], optional): The arguments, those of the process by
            default. (default: :obj:`None`)

    Returns:
        The exit status: 0, or 1 if the input was not valid.
    """
    parser = argparse.ArgumentParser(
        prog="python -m torch_imf", description="Multimodal knowledge graph completion."
    )
    commands = parser.add_subparsers(required=True, metavar="command")

    command = commands.add_parser("list", help="show all datasets with sizes and modalities")
    command.set_defaults(run=lambda _: print(list_datasets()))

    command = commands.add_parser("audit", help="look for repetitions and leaks in a dataset")
    command.add_argument("dataset", help="its name, as in 'list'")
    command.add_argument("--root", help="the folder to keep it in, 'data/<dataset>' by default")
    command.add_argument("--version", help="its version, as in 'list'")
    command.add_argument("--split", default="original", help="'original' (default) or 'clean'")
    command.set_defaults(run=print_audit)

    options = parser.parse_args(args)
    try:
        options.run(options)
    except (ValueError, RuntimeError, OSError) as e:
        parser.exit(1, f"{parser.prog}: {e}\n")
    return 0


def list_datasets() -> str:
    r"""Returns a table of all datasets with sizes and modalities."""
    rows = [["dataset", *COLUMNS, "entities with"]]
    for name in datasets.classes:
        for stats in read_stats(getattr(datasets, name)):
            covered = [
                f"{key.removeprefix('with ')} {value}"
                for key, value in stats.items()
                if key.startswith("with ")
            ]
            sizes = [stats.get(column, "-") for column in COLUMNS]
            rows.append([name, *sizes, ", ".join(covered)])
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    lines = []
    for row in rows:
        cells = [
            cell.rjust(width) if 2 <= i <= len(COLUMNS) else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(cells).replace("#", " ").rstrip())
    lines += [
        "",
        "Sizes are as published. Images, as in a mirror; of YAGO15K, a mirror may hold no more",
        "than 29,198 of the training facts.",
    ]
    return "\n".join(lines)


def print_audit(options: argparse.Namespace) -> None:
    r"""Prints what :meth:`torch_imf.data.audit` finds in a dataset."""
    classes = {name.lower(): getattr(datasets, name) for name in datasets.classes}
    cls = classes.get(options.dataset.lower().replace("-", "").replace("_", ""))
    if cls is None or not read_stats(cls):
        names = [name for name in datasets.classes if read_stats(getattr(datasets, name))]
        raise ValueError(f"There is no dataset '{options.dataset}', expected one of {names}")
    root = osp.join("data", cls.__name__) if cls.files else None
    dataset = cls(
        options.root or root,
        version=options.version,
        split=options.split,
        **dict.fromkeys(["text", "visual", "numeric"]),
    )
    print(f"{dataset}\n{audit(dataset[0])}")
