r"""Flags of the command line, read off signatures, and parsed by Click.

What may go by its position is an argument of the command line, what is keyword-only a flag, and a
dataclass stands for its fields. Typer and jsonargparse do not carry what there is to set of a
model: `lr: float | dict[str, float]`, `--by category relation`, or flags of the part that another
flag chooses.
"""

import contextlib
import dataclasses
import inspect
import re
from collections.abc import Callable, Mapping, Sequence
from types import NoneType
from typing import Annotated, Any, Literal, get_args, get_origin

import click

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
        kinds = [*types, *(y for x in types for y in items(x))]
        words = choices or [y for x in kinds if get_origin(x) is Literal for y in get_args(x)]
        text += f" one of {', '.join(words)}" if words else ""
        if parameter.default is parameter.empty:
            text += " (required)"
        elif parameter.default not in (None, ()) and parameter.default is not False:
            text += f" (default: {parameter.default})"
        flag = f"-{key}" if len(key) == 1 else f"--{key.replace('_', '-')}"
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
            return {"true": True, "false": False}[word.lower()] if kind is bool else kind(word)
    raise ValueError(f"expected {type_name(annotation)} (got '{' '.join(words)}')")
