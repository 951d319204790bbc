r"""A function as a command: its arguments come from words, and what it returns is printed."""

import contextlib
import dataclasses
import inspect
import io
import json
import shlex
import sys
from collections.abc import Callable, Sequence
from typing import Any

import click
from click.core import ParameterSource

from torch_imf.cli.flags import Flag, repeat_flags, signature_params

OUTPUT = [
    click.Option(["--json"], is_flag=True, help="print the result as JSON"),
    click.Option(["-q", "--quiet"], is_flag=True, help="show no progress and no remarks"),
]


@dataclasses.dataclass(frozen=True)
class Output:
    r"""What a command has found: a text for people, values for machines, and an exit status."""

    text: str
    values: Any
    status: int = 0


class Command(click.Command):
    r"""A command that calls a function with what was typed, and leaves the rest to its defaults.
    Flags of `extra`, which depend on the words that were typed, are its argument `settings`.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Output],
        extra: Callable[[Sequence[str]], list[Flag]] = lambda words: [],
    ) -> None:
        self.function, self.extra, self.own = function, extra, signature_params(function)
        super().__init__(name, params=[*self.own, *OUTPUT], **texts(function.__doc__))

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta["typed"] = f"{ctx.command_path} {shlex.join(args)}"
        try:
            flags = self.extra(args)
        except ValueError as error:  # Such as a part that is not there, or half typed.
            if not ctx.resilient_parsing:
                raise click.UsageError(str(error), ctx) from error
            flags = self.extra([])
        self.params = [*self.own, *flags, *OUTPUT]
        return super().parse_args(ctx, repeat_flags(args, self.params))

    def invoke(self, ctx: click.Context) -> int:
        source, typed = ctx.get_parameter_source, ParameterSource.COMMANDLINE
        given = {x.replace("__", "."): y for x, y in ctx.params.items() if source(x) is typed}
        as_json, quiet = given.pop("json", False), given.pop("quiet", False)
        arguments: dict[str, Any] = {}
        for name, parameter in inspect.signature(self.function).parameters.items():
            kind: Any = parameter.annotation
            if dataclasses.is_dataclass(parameter.annotation):
                fields = [field.name for field in dataclasses.fields(kind) if field.name in given]
                arguments[name] = kind(**{field: given.pop(field) for field in fields})
            elif name == "settings":
                arguments[name] = given  # What is left in the end.
            elif name in given:
                arguments[name] = given.pop(name)
        with contextlib.redirect_stderr(io.StringIO() if quiet else sys.stderr):
            output = self.function(**arguments)
        text = json.dumps(plain(output.values), indent=2) if as_json else output.text
        # What the encoding of a pipe or a terminal lacks is escaped, as in messages:
        encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
        print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)
        return output.status

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            if record := param.get_help_record(ctx):
                groups.setdefault(getattr(param, "group", "output"), []).append(record)
        for group, records in groups.items():
            with formatter.section(group):
                formatter.write_dl(records)


def texts(docstring: str | None) -> dict[str, Any]:
    r"""Returns the texts that help shows before and after the flags."""
    text, _, examples = inspect.cleandoc(docstring or "").partition("\nExamples:\n")
    lines = f"\b\nExamples:\n{examples}".replace("\n\n", "\n\n\b\n")  # Which are not wrapped.
    return {"help": text.strip(), "epilog": lines}


def plain(values: Any) -> Any:
    r"""Returns values as JSON has them: objects by their fields, tensors as lists, and nothing for
    numbers that are not finite.
    """

    def known(x: Any) -> Any:
        if dataclasses.is_dataclass(x):
            return vars(x)
        return x.tolist() if hasattr(x, "tolist") else str(x)

    return json.loads(json.dumps(values, default=known), parse_constant=lambda name: None)


def say(text: str) -> None:
    r"""Tells people what is going on, apart from what a command has found."""
    click.echo(text, err=True)
