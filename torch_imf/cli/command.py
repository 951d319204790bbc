r"""A function as a command: its arguments come from words, and what it returns is printed.

What may go by its position is an argument of the command line, what is keyword-only a flag, and a
dataclass stands for its fields. Typer and jsonargparse do not carry what there is to set of a
model: `lr: float | dict[str, float]`, `--by category relation`, or flags of the part that another
flag chooses. Click parses what is read off signatures.
"""

import ast
import contextlib
import dataclasses
import inspect
import io
import json
import re
import shlex
import sys
from collections.abc import Callable, Mapping, Sequence
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

import click
from click.core import ParameterSource

from torch_imf.answers.results import shown
from torch_imf.io import nearest
from torch_imf.registry import union_types


class Word(click.Argument):
    r"""An argument that goes by its position."""

    group = "arguments"

    def __init__(self, key: str, parameter: inspect.Parameter) -> None:
        self.text, self.annotation = help_and_type(parameter)
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
        text, self.annotation = help_and_type(parameter)
        types = [x for x in union_types(self.annotation) if x is not NoneType]
        words = choices or choices_of(self.annotation)
        text += f" one of {', '.join(words)}" if words else ""
        if parameter.default is parameter.empty:
            text += " (required)"
        elif parameter.default not in (None, ()) and parameter.default is not False:
            text += f" (default: {parameter.default})"
        word = key.rstrip("_").replace("_", "-")  # Of 'with_', which Python keeps for itself.
        flag = f"-{key}" if len(key) == 1 else f"--{word}"
        is_bool = types == [bool]
        super().__init__(
            # An option needs a name that is an identifier:
            [key.replace(".", "__"), flag + f"/--no-{flag[2:]}" * is_bool],
            default=None,
            multiple=any(map(items, types)),
            help=text.strip(),
            metavar="NAME" if words else type_name(self.annotation),
            shell_complete=lambda ctx, param, start: [x for x in words if x.startswith(start)],
            type=bool if is_bool else click.UNPROCESSED,
            callback=read,
        )


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


def help_and_type(parameter: inspect.Parameter) -> tuple[str, Any]:
    r"""Returns the help text that the type of a parameter is annotated with, and the type."""
    kind = parameter.annotation
    return (kind.__metadata__[0], kind.__origin__) if get_origin(kind) is Annotated else ("", kind)


def items(kind: Any) -> tuple[Any, ...]:
    r"""Returns the types of what a list, a tuple or a dictionary holds."""
    origin = get_origin(kind)
    many = isinstance(origin, type) and issubclass(origin, Sequence | Mapping)
    return get_args(kind) if many else ()


def type_name(annotation: Any) -> str:
    r"""Returns a type as one writes it."""
    return re.sub(r"\b(\w+\.)+(?=\w)", "", inspect.formatannotation(annotation))


# Words, and the values they stand for ###########################################################


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


def as_typed(text: str, params: Sequence[click.Parameter]) -> str:
    r"""Writes a message about arguments in the words of a command line that has flags for them:
    `'strict=False'` as `'--no-strict'`, and `the 'shares' argument` as `the '--shares' argument`.
    """
    flags = {param.name for param in params if isinstance(param, click.Option)}

    def flag(match: re.Match[str]) -> str:
        name, value = match.groups()
        name = f"{name}_encoder" if f"{name}_encoder" in flags else name  # A modality.
        if name not in flags:
            return match[0]
        with contextlib.suppress(ValueError, SyntaxError):
            words = [] if value is None else flag_words(name, ast.literal_eval(value))
            return f"'{shlex.join(words) or flag_words(name, '')[0]}'"
        return match[0]

    return re.sub(r"'(\w+)(?:=([^']*)'|'(?= argument))", flag, text)


def read(ctx: click.Context, param: Any, value: Any) -> Any:
    r"""Reads the words of a flag or an argument as one of its types."""
    if value in (None, (), True, False):
        return value
    try:
        return read_value([value] if isinstance(value, str) else value, param.annotation)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error


def read_value(words: Sequence[str], annotation: Any) -> Any:
    r"""Reads words as the first type of a union that fits: numbers before names, which any word may
    be, and one value before many. A tuple within a list is one word, `text,visual`.

    Raises:
        ValueError: If none does.
    """
    types = union_types(annotation)
    if NoneType in types and [word.lower() for word in words] == ["none"]:
        return None
    order = (bool, int, float)
    for kind in sorted(types, key=lambda x: order.index(x) if x in order else 3 + (x is str)):
        parts, origin = get_args(kind), get_origin(kind)
        with contextlib.suppress(ValueError, TypeError, KeyError):
            if origin is dict:
                pairs = [word.split("=", 1) for word in words]
                return {key: read_value([x], parts[1]) for key, x in pairs}
            if origin is tuple and parts[-1] is not Ellipsis:
                given = words if len(words) > 1 else words[0].split(",")
                return tuple(read_value([x], y) for x, y in zip(given, parts, strict=True))
            if items(kind):
                return [read_value([word], parts[0]) for word in words]
            (word,) = words
            if origin is Literal:
                return {x: x for x in parts}[word]
            value = {"true": True, "false": False}[word.lower()] if kind is bool else kind(word)
            if kind is int and value.bit_length() > 63:
                raise ValueError
            return value
    choices = choices_of(annotation)
    expected = f"one of {', '.join(choices)}" if choices else type_name(annotation)
    if int in types and all(map(re.compile("-?[0-9]+").fullmatch, words)):
        expected += " from -2**63 to 2**63 - 1"
    wrong = [word for word in words if word not in choices]
    hint = f".{nearest(wrong[0], choices)}" if wrong else ""
    raise ValueError(f"expected {expected} (got '{' '.join(words)}'){hint.rstrip('.')}")


def choices_of(annotation: Any) -> list[str]:
    r"""Returns the words to choose of, if a type has some, alone or in a list."""
    types = union_types(annotation)
    kinds = [*types, *(y for x in types for y in items(x))]
    return [str(y) for x in kinds if get_origin(x) is Literal for y in get_args(x)]


# Commands #######################################################################################


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
        text = shown(as_typed(output.text, self.params))
        text = json.dumps(plain(output.values), indent=2) if as_json else text
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
    click.echo(shown(text), err=True)
