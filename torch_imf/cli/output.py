import contextlib
import json
import math
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import click

from torch_imf.io import TorchIMFWarning

METRICS = {"mrr": ".3f", "mr": ".1f", "hits@1": ".3f", "hits@3": ".3f", "hits@10": ".3f"}


@dataclass(frozen=True)
class Output:
    r"""What a command has found: a text for people, values for machines, and an exit status."""

    text: str
    values: Any
    status: int = 0


class Stopped(Exception):
    r"""A command was interrupted, and says how to go on."""


def typed() -> str:
    r"""Returns the command as it was typed."""
    return click.get_current_context().meta["line"]


def say(text: str) -> None:
    r"""Tells people what is going on, apart from what a command has found."""
    print(text, file=sys.stderr, flush=True)


@contextlib.contextmanager
def warnings_as_lines() -> Iterator[None]:
    r"""Shows warnings of this package in one line each, and those of others not at all, as they are
    not about what the user gave.
    """
    stream = sys.stderr  # Which they are shown in even if the rest of it is silenced.

    def show_warning(message: Warning | str, *args: object) -> None:
        print(f"warning: {message}", file=stream)

    with warnings.catch_warnings():
        warnings.showwarning = show_warning  # type: ignore[assignment]
        warnings.simplefilter("ignore")
        warnings.simplefilter("always", TorchIMFWarning)
        yield


def show(output: Output, as_json: bool = False) -> None:
    r"""Prints what a command has found. What the encoding of a pipe or a terminal lacks is escaped,
    as in messages.
    """
    text = json.dumps(plain(output.values), indent=2) if as_json else output.text
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)


def plain(x: Any) -> Any:
    r"""Returns a value as JSON has it: objects by their fields, tensors as lists, and nothing for
    numbers that are not finite.
    """
    if is_dataclass(x):
        return {field.name: plain(getattr(x, field.name)) for field in fields(x)}
    if isinstance(x, Mapping):
        return {str(key): plain(value) for key, value in x.items()}
    if hasattr(x, "tolist"):  # A tensor.
        return plain(x.tolist())
    if isinstance(x, Sequence) and not isinstance(x, str):
        return [plain(value) for value in x]
    if isinstance(x, float):
        return x if math.isfinite(x) else None
    return x if x is None or isinstance(x, int | str) else str(x)


def metrics_table(metrics: Mapping[str, Any]) -> str:
    r"""Returns the metrics of :meth:`torch_imf.evaluate` as a table: both sides together and apart,
    and each break-down.
    """
    from torch_imf.answers.results import format_table

    entries = {"both sides": metrics}
    for name, values in metrics.items():
        if name in ("head", "tail"):
            entries[f"{name}s"] = values
        elif isinstance(values, Mapping):
            entries |= {f"{name} {group}": entry for group, entry in values.items()}
    rows = [["", *map(str.upper, METRICS)]]
    for name, entry in entries.items():
        rows.append([name, *(format(entry[key], form) for key, form in METRICS.items())])
    return format_table(rows, left=(0,))
