r"""Flags of the command line, read off signatures, and parsed by Click.

What may go by its position is an argument of the command line, what is keyword-only a flag, and a
dataclass stands for its fields. Typer and jsonargparse do not carry what there is to set of a
model: Typer 0.29 refuses the types (`lr: float | dict[str, float]`) and lists of words (`--by
category relation`); jsonargparse 4.53 refuses `--scorer contextual --scorer.dropout 0.2`, and asks
for sizes of a scorer that its model gives to it.
"""

import contextlib
import dataclasses
import inspect
import io
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

import click
from click.core import ParameterSource

from torch_imf.cli.output import Output, show
from torch_imf.registry import union_types

CONTEXT: dict[str, Any] = {
    "help_option_names": ["-h", "--help"],
    "max_content_width": 100,
    "token_normalize_func": lambda name: name.replace("_", "-"),  # `--batch_size`, as in Python.
}


class Command(click.Command):
    r"""A command that calls a function with what was typed, and leaves the rest to its defaults.
    Flags of `extra`, which depend on the words that were typed, are its argument `settings`.
    """

    def __init__(
        self,
        name: str,
        function: Callable[..., Output],
        extra: Callable[[Sequence[str]], "list[Flag]"] = lambda words: [],
    ) -> None:
        self.function, self.extra = function, extra
        output = [
            click.Option(["--json"], is_flag=True, help="print the result as JSON"),
            click.Option(["-q", "--quiet"], is_flag=True, help="show no progress and no remarks"),
        ]
        params = [*signature_params(function), *output]
        super().__init__(name, params=params, context_settings=CONTEXT, **texts(function.__doc__))

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        if "flags" not in ctx.meta:
            try:
                ctx.meta["flags"] = self.extra(ctx.meta.get("words", []))
            except ValueError as error:  # Such as a part that is not there, or half typed.
                if not ctx.resilient_parsing:
                    raise click.UsageError(str(error), ctx) from error
                ctx.meta["flags"] = self.extra([])
        params = super().get_params(ctx)
        return [*params[:-3], *ctx.meta["flags"], *params[-3:]]  # `--json`, `--quiet`, `--help`.

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta["words"], ctx.meta["line"] = args, f"{ctx.command_path} {shlex.join(args)}"
        return super().parse_args(ctx, repeat_flags(args, self.get_params(ctx)))

    def invoke(self, ctx: click.Context) -> int:
        sources = {name: ctx.get_parameter_source(name) for name in ctx.params}
        typed = [name for name, source in sources.items() if source is ParameterSource.COMMANDLINE]
        given = {name.replace("__", "."): ctx.params[name] for name in typed}

        def some(names: Sequence[str]) -> dict[str, Any]:
            return {name: given[name] for name in names if name in given}

        arguments: dict[str, Any] = {}
        for name, parameter in inspect.signature(self.function).parameters.items():
            kind: Any = parameter.annotation
            if dataclasses.is_dataclass(parameter.annotation):
                arguments[name] = kind(**some([field.name for field in dataclasses.fields(kind)]))
            elif name == "settings":
                arguments[name] = some([flag.key for flag in ctx.meta["flags"]])
            else:
                arguments |= some([name])
        with contextlib.redirect_stderr(io.StringIO() if "quiet" in given else sys.stderr):
            output = self.function(**arguments)
        show(output, as_json="json" in given)
        return output.status

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            if record := param.get_help_record(ctx):
                groups.setdefault(getattr(param, "group", "output"), []).append(record)
        for group, records in groups.items():
            with formatter.section(group):
                formatter.write_dl(records)


class Word(click.Argument):
    r"""An argument that goes by its position."""

    group = "arguments"

    def __init__(self, key: str, parameter: inspect.Parameter) -> None:
        self.text, self.annotation = help_and_type(parameter.annotation)
        required = parameter.default is parameter.empty
        super().__init__([key], required=required, type=click.UNPROCESSED, callback=read)

    def get_help_record(self, ctx: click.Context) -> tuple[str, str]:
        return self.opts[0].upper(), self.text


class Flag(click.Option):
    r"""A flag that is read as one of the types of a parameter. Its key may have dots; help shows it
    under the title `group`; `choices` are names to choose of, others not excluded.
    """

    def __init__(
        self, key: str, parameter: inspect.Parameter, group: str, choices: Sequence[str] = ()
    ) -> None:
        self.key, self.parameter, self.group = key, parameter, group
        text, self.annotation = help_and_type(parameter.annotation)
        types = [x for x in union_types(self.annotation) if x is not NoneType]
        kinds = [*types, *(y for x in types for y in items(x))]
        words = choices or [y for x in kinds if get_origin(x) is Literal for y in get_args(x)]
        text += f" one of {', '.join(words)}" if words else ""
        if parameter.default is parameter.empty:
            text += " (required)"
        elif parameter.default not in (None, ()) and parameter.default is not False:
            text += f" (default: {parameter.default})"
        flag = f"-{key}" if len(key) == 1 else f"--{key.replace('_', '-')}"
        reader: dict[str, Any] = {"type": bool}
        if types != [bool]:
            reader = {"type": click.UNPROCESSED, "callback": read}
            reader["metavar"] = "NAME" if words else type_name(self.annotation)
        super().__init__(
            # An option needs a name that is an identifier:
            [key.replace(".", "__"), flag + f"/--no-{flag[2:]}" * (types == [bool])],
            default=None,
            multiple=any(map(items, types)),
            help=text.strip(),
            shell_complete=lambda ctx, param, start: [x for x in words if x.startswith(start)],
            **reader,
        )


# Signatures #####################################################################################


def signature_params(function: Callable[..., Any], group: str = "options") -> list[click.Parameter]:
    r"""Returns the arguments and flags of a function, or of a dataclass."""
    out: list[click.Parameter] = []
    for name, parameter in inspect.signature(function).parameters.items():
        kind: Any = parameter.annotation
        if dataclasses.is_dataclass(parameter.annotation):
            out += signature_params(kind, str(kind.__doc__).rstrip("."))
        elif parameter.kind is parameter.KEYWORD_ONLY:
            out.append(Flag(name, parameter, group))
        elif name != "settings":
            out.append(Word(name, parameter))
    return out


def texts(docstring: str | None) -> dict[str, Any]:
    r"""Returns the texts that help shows before and after the flags."""
    text, _, examples = inspect.cleandoc(docstring or "").partition("\nExamples:\n")
    lines = f"\b\nExamples:\n{examples}".replace("\n\n", "\n\n\b\n")  # Which are not wrapped.
    return {"help": text.strip(), "epilog": lines}


def help_and_type(annotation: Any) -> tuple[str, Any]:
    r"""Returns the help text that a type is annotated with, and the type."""
    if get_origin(annotation) is not Annotated:
        return "", annotation
    return annotation.__metadata__[0], annotation.__origin__


def type_name(annotation: Any) -> str:
    r"""Returns a type as one writes it."""
    return re.sub(r"\b(\w+\.)+(?=\w)", "", inspect.formatannotation(annotation))


# Words ##########################################################################################


def repeat_flags(words: Sequence[str], params: Sequence[click.Parameter]) -> list[str]:
    r"""Writes `--by category relation` as Click reads it, `--by category --by relation`."""
    many = {name for x in params if isinstance(x, Flag) and x.multiple for name in x.opts}
    out: list[str] = []
    flag = None  # The one whose words are being read.
    for i, word in enumerate(words):
        if word == "--":
            return [*out, *words[i:]]
        if flag is None or word.startswith("-"):
            name = word.partition("=")[0].replace("_", "-")
            flag = name if name in many else None
            out.append(word)
        else:
            out += [word] if out[-1].replace("_", "-") == flag else [flag, word]
    return out


def flag_words(name: str, value: Any) -> list[str]:
    r"""Returns the words of a command line that give a flag a value."""
    flag = f"--{name.replace('_', '-')}"
    if isinstance(value, bool):
        return [flag if value else f"--no-{flag[2:]}"]
    if isinstance(value, Mapping):
        value = [f"{key}={x}" for key, x in value.items()]
    words = [str(x) for x in (value if isinstance(value, list | tuple) else [value])]
    if len(words) == 1 and words[0].startswith("-"):
        return [f"{flag}={words[0]}"]  # Which might be read as a flag.
    return [flag, *words]


def read(ctx: click.Context, param: Any, value: Any) -> Any:
    r"""Reads the words of a flag or an argument as one of its types."""
    if value in (None, ()):
        return None
    try:
        return read_value([value] if isinstance(value, str) else value, param.annotation)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error


def read_value(words: Sequence[str], annotation: Any) -> Any:
    r"""Reads words as the first type of a union that fits: numbers before names, which any word may
    be, and one value before many.

    Raises:
        ValueError: If none does.
    """
    types = union_types(annotation)
    if NoneType in types and [word.lower() for word in words] == ["none"]:
        return None
    order = (bool, int, float)
    for kind in sorted(types, key=lambda x: order.index(x) if x in order else 3 + (x is str)):
        parts, origin = items(kind), get_origin(kind)
        with contextlib.suppress(ValueError):
            if origin is dict:
                pairs = [word.split("=", 1) for word in words]
                return {key: read_word(value, parts[1]) for key, value in pairs}
            if origin is tuple and parts[-1] is not Ellipsis:
                return tuple(read_word(x, y) for x, y in zip(words, parts, strict=True))
            if parts:
                return [read_word(word, parts[0]) for word in words]
            if len(words) == 1:
                return read_word(words[0], kind)
    raise ValueError(f"expected {type_name(annotation)} (got '{' '.join(words)}')")


def read_word(word: str, kind: Any) -> Any:
    r"""Reads one word as a type, or raises a :class:`ValueError`."""
    if get_origin(kind) is tuple:  # Such as a pair of names, `text,visual`.
        return tuple(read_word(x, y) for x, y in zip(word.split(","), get_args(kind), strict=True))
    if kind in (int, float, str):
        return kind(word)
    known = {x: x for x in get_args(kind)}  # Of a literal.
    if kind is bool:
        known, word = {"true": True, "false": False}, word.lower()
    if word not in known:
        raise ValueError(f"'{word}' is no {type_name(kind)}")
    return known[word]


def items(kind: Any) -> tuple[Any, ...]:
    r"""Returns the types of what a list, a tuple or a dictionary holds."""
    origin = get_origin(kind)
    many = isinstance(origin, type) and issubclass(origin, Sequence | Mapping)
    return get_args(kind) if many else ()
