import dataclasses
import math
import os
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor

from torch_imf.answers.tables import format_table

METRICS = ("mrr", "mr", "hits@1", "hits@3", "hits@10")


@dataclasses.dataclass(frozen=True)
class Output:
    r"""What a command has found.

    Args:
        text (str): For people.
        values (object): For machines, see :meth:`plain`.
        status (int): The exit status. (default: :obj:`0`)
    """

    text: str
    values: Any
    status: int = 0


class Stopped(Exception):
    r"""A command was interrupted, and says how to go on."""


def say(text: str, quiet: bool = False) -> None:
    r"""Tells people what is going on, apart from what a command has found."""
    if not quiet:
        print(text, file=sys.stderr, flush=True)


def plain(x: Any) -> Any:
    r"""Returns a value as JSON has it: objects by their fields, tensors as
    lists, and nothing for numbers that are not finite.
    """
    if dataclasses.is_dataclass(x) and not isinstance(x, type):
        return {field.name: plain(getattr(x, field.name)) for field in dataclasses.fields(x)}
    if isinstance(x, Tensor):
        return plain(x.tolist())
    if isinstance(x, Mapping):
        return {str(key): plain(value) for key, value in x.items()}
    if isinstance(x, Sequence) and not isinstance(x, str):
        return [plain(value) for value in x]
    if isinstance(x, float):
        return x if math.isfinite(x) else None
    if x is None or isinstance(x, bool | int | str):
        return x
    return os.fspath(x) if isinstance(x, os.PathLike) else str(x)


def metrics_table(metrics: Mapping[str, Any]) -> str:
    r"""Returns the metrics of :meth:`torch_imf.evaluate` as a table: both
    sides together and apart, and each break-down.
    """
    rows = [["", *(name.upper() for name in METRICS)], _row("both sides", metrics)]
    for name, values in metrics.items():
        if name in ("head", "tail"):
            rows.append(_row(f"{name}s", values))
        elif isinstance(values, Mapping):
            rows += [_row(f"{name} {group}", entry) for group, entry in values.items()]
    return format_table(rows, left=(0,))


def _row(name: str, metrics: Mapping[str, float]) -> list[str]:
    return [
        name,
        *(f"{metrics[key]:.1f}" if key == "mr" else f"{metrics[key]:.3f}" for key in METRICS),
    ]
