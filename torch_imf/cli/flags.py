r"""Flags of the command line, read off signatures, and parsed by Click.

A parameter of a command is an argument of the command line if it may go by its
position, and a flag if it is keyword-only; one whose type is a dataclass stands
for the fields of it. Its type may be annotated with a help text and a name for
its value.

Typer and jsonargparse do not carry what there is to set of a model: Typer 0.29
refuses the types (`lr: float | Sequence[float]`, "doesn't support Union types")
and lists of words (`--by category relation`); jsonargparse 4.53 refuses
`--scorer contextual --scorer.dropout 0.2` ("Expected a dot import path string"),
and asks for sizes of a scorer that its model gives to it.
"""

import contextlib
import dataclasses
import inspect
import shlex
from collections.abc import Callable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import click
from click.core import ParameterSource

from torch_imf.cli.output import Output, show, silence

PLAIN = (bool, int, float, str)
Extra = Callable[[Sequence[str]], "list[Flag]"]


class Command(click.Command):
    r"""A command that calls a function with what was typed. What was not typed
    is left to the defaults of the function. Examples of its docstring are shown
    as they are.

    Args:
        name (str): Its name.
        function (callable): The function.
        extra (callable, optional): Makes further flags, which depend on the
            words that were typed. Their values are the argument
            :obj:`settings` of the function. (default: :obj:`None`)
    """

    def __init__(
        self, name: str, function: Callable[..., Output], extra: Extra | None = None
    ) -> None:
        self.function, self.extra = function, extra
        params = signature_params(function)
        params += [
            click.Option(["--json"], is_flag=True, help="print the result as JSON"),
            click.Option(["-q", "--quiet"], is_flag=True, help="show no progress and no remarks"),
        ]
        super().__init__(
            name,
            params=params,
            context_settings={
                "help_option_names": ["-h", "--help"],
                "max_content_width": 100,
                "token_normalize_func": lambda name: name.replace("_", "-"),
            },
            **texts(function),
        )

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        if "flags" not in ctx.meta:
            ctx.meta["flags"] = self._extra_flags(ctx)
        params = super().get_params(ctx)
        return [*params[:-3], *ctx.meta["flags"], *params[-3:]]  # `--json`, `--quiet`, `--help`.

    def _extra_flags(self, ctx: click.Context) -> list["Flag"]:
        if self.extra is None:
            return []
        try:
            return self.extra(ctx.meta["words"])
        except ValueError as error:  # Such as a part that is not there, or not yet typed in full.
            if ctx.resilient_parsing:
                return self.extra([])
            raise click.UsageError(str(error), ctx) from error

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta["words"], ctx.meta["line"] = args, shlex.join([ctx.command_path, *args])
        return super().parse_args(ctx, repeat_flags(args, self.get_params(ctx), ctx))

    def invoke(self, ctx: click.Context) -> int:
        given, settings = {}, {}
        for param in self.get_params(ctx):
            name = param.name or ""
            if ctx.get_parameter_source(name) is ParameterSource.COMMANDLINE:
                key = getattr(param, "key", name)
                (settings if param in ctx.meta["flags"] else given)[key] = ctx.params[name]
        with silence() if given.pop("quiet", False) else contextlib.nullcontext():
            output = self.function(**self._arguments(given, settings))
        show(output, as_json=given.pop("json", False))
        return output.status

    def _arguments(self, given: dict[str, Any], settings: dict[str, Any]) -> dict[str, Any]:
        out: dict[str, Any] = {} if self.extra is None else {"settings": settings}
        for name, parameter in inspect.signature(self.function).parameters.items():
            kind = parameter.annotation
            if dataclasses.is_dataclass(kind):
                own = {
                    key: given[key] for key in inspect.signature(kind).parameters if key in given
                }
                out[name] = kind(**own)
            elif name in given:
                out[name] = given[name]
        return out

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                groups.setdefault(getattr(param, "group", "output"), []).append(record)
        for group, records in groups.items():
            with formatter.section(group):
                formatter.write_dl(records)


class Word(click.Argument):
    r"""An argument that goes by its position."""

    group = "arguments"

    def __init__(self, key: str, parameter: inspect.Parameter) -> None:
        text, metavar, self.annotation = notes(parameter.annotation)
        super().__init__(
            [key],
            required=parameter.default is parameter.empty,
            metavar=metavar or key.upper(),
            type=click.UNPROCESSED,
            callback=read,
            shell_complete=completer(choices_of(self.annotation)),
        )
        self.record = (self.metavar or "", text)

    def get_help_record(self, ctx: click.Context) -> tuple[str, str]:
        return self.record


class Flag(click.Option):
    r"""A flag that is read as one of the types of a parameter.

    Args:
        key (str): The name, which may have dots.
        parameter (inspect.Parameter): Its type and default.
        group (str): The title under which help shows it.
        choices (tuple[str], optional): Names to choose of, others not excluded.
            (default: :obj:`()`)
    """

    def __init__(
        self,
        key: str,
        parameter: inspect.Parameter,
        group: str,
        choices: Sequence[str] = (),
    ) -> None:
        self.key, self.group = key, group
        text, metavar, self.annotation = notes(parameter.annotation)
        types = [x for x in union_types(self.annotation) if x is not NoneType]
        choices = choices or choices_of(self.annotation)
        if choices:
            text += f" one of {', '.join(choices)}"
        if parameter.default is parameter.empty:
            text += " (required)"
        elif parameter.default not in (None, ()) and parameter.default is not False:
            text += f" (default: {parameter.default})"
        flag = f"-{key}" if len(key) == 1 else f"--{key.replace('_', '-')}"
        is_switch = types == [bool]
        super().__init__(
            # An option needs a name of its own, which is an identifier:
            ["flag_" + key.replace(".", "__"), f"{flag}/--no-{flag[2:]}" if is_switch else flag],
            default=None,
            multiple=any(_items(x) for x in types),
            metavar=None if is_switch else metavar or _metavar(types, key),
            help=text.strip(),
            type=bool if is_switch else click.UNPROCESSED,
            callback=None if is_switch else read,
            shell_complete=completer(choices),
        )


# Signatures #####################################################################################


def signature_params(function: Callable[..., Any], group: str = "options") -> list[click.Parameter]:
    r"""Returns the arguments and flags of a function, or of a dataclass."""
    out: list[click.Parameter] = []
    for name, parameter in inspect.signature(function).parameters.items():
        kind = parameter.annotation
        if dataclasses.is_dataclass(kind):
            out += signature_params(kind, (kind.__doc__ or "").partition(".")[0])  # type: ignore
        elif parameter.kind is parameter.KEYWORD_ONLY:
            out.append(Flag(name, parameter, group))
        elif name != "settings":
            out.append(Word(name, parameter))
    return out


def texts(function: Callable[..., Any]) -> dict[str, str]:
    r"""Returns the texts that help shows before and after the flags."""
    text, _, examples = (inspect.getdoc(function) or "").partition("\nExamples:\n")
    lines = f"Examples:\n{examples}".replace("\n\n", "\n\n\b\n")  # Which are not wrapped.
    return {"help": text.strip(), "epilog": f"\b\n{lines}"}


def notes(annotation: Any) -> tuple[str, str | None, Any]:
    r"""Returns the help text of a type, the name of its value, and the type."""
    if get_origin(annotation) is not Annotated:
        return "", None, annotation
    kind, text, *metavar = get_args(annotation)
    return text, metavar[0] if metavar else None, kind


def union_types(annotation: Any) -> tuple[Any, ...]:
    r"""Returns the types that an annotation joins."""
    is_union = get_origin(annotation) in (Union, UnionType)
    return get_args(annotation) if is_union else (annotation,)


def choices_of(annotation: Any) -> tuple[str, ...]:
    r"""Returns the words that an annotation allows, if it names them."""
    kinds = [*union_types(annotation), *(y for x in union_types(annotation) for y in _items(x))]
    return tuple(word for x in kinds if get_origin(x) is Literal for word in get_args(x))


# Words ##########################################################################################


def repeat_flags(
    words: Sequence[str], params: Sequence[click.Parameter], ctx: click.Context
) -> list[str]:
    r"""Writes flags of several words, as in :obj:`--by category relation`, as
    Click reads them, :obj:`--by category --by relation`.
    """
    many = {name for x in params if isinstance(x, Flag) and x.multiple for name in x.opts}
    out: list[str] = []
    flag = None  # The one whose further words are being read.
    for i, word in enumerate(words):
        if word == "--":
            return [*out, *words[i:]]
        if flag is not None and not word.startswith("-"):
            out += [word] if out[-1] == flag else [flag, word]
            continue
        name = word.partition("=")[0].replace("_", "-")
        flag = name if name in many else None
        out.append(word if flag is None or "=" in word else flag)
    return out


def flag_words(name: str, *values: str) -> list[str]:
    r"""Returns the words of a command line that give a flag some values."""
    flag = f"--{name.replace('_', '-')}"
    if len(values) == 1 and values[0].startswith("-"):
        return [f"{flag}={values[0]}"]  # Which might be read as a flag.
    return [flag, *values]


def completer(choices: Sequence[str]) -> Callable[..., list[str]] | None:
    r"""Completes words in a shell."""
    if not choices:
        return None
    return lambda ctx, param, start: [choice for choice in choices if choice.startswith(start)]


def read(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
    r"""Reads the words of a flag or an argument as one of its types."""
    if value is None or value == ():
        return None
    try:
        return read_value([value] if isinstance(value, str) else value, param.annotation)  # type: ignore[attr-defined]
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from error


def read_value(words: Sequence[str], annotation: Any) -> Any:
    r"""Reads words as one of the types that an annotation joins, the first
    that fits.

    Raises:
        ValueError: If none does.
    """
    types = union_types(annotation)
    if NoneType in types and [word.lower() for word in words] == ["none"]:
        return None
    pairs = [word.partition("=") for word in words]
    for kind in sorted(types, key=_order):
        origin, items = get_origin(kind), _items(kind)
        with contextlib.suppress(ValueError):
            if origin is dict:
                if not all(value for *_, value in pairs):
                    raise ValueError("expected name=value")
                return {key: _read_word(value, items[1]) for key, _, value in pairs}
            if origin is tuple and items[-1] is not Ellipsis:
                return tuple(_read_word(x, y) for x, y in zip(words, items, strict=True))
            if items:
                return [_read_word(word, items[0]) for word in words]
            if len(words) == 1:
                return _read_word(words[0], kind)
    names = " or ".join(map(_name, types))
    raise ValueError(f"expected {names} (got '{' '.join(words)}')")


def _read_word(word: str, kind: Any) -> Any:
    if get_origin(kind) is tuple:  # Such as a pair of names, `text,visual`.
        return tuple(_read_word(x, y) for x, y in zip(word.split(","), get_args(kind), strict=True))
    words = {"true": True, "yes": True, "false": False, "no": False}
    if kind is bool and word.lower() in words:
        return words[word.lower()]
    if get_origin(kind) is Literal and word in get_args(kind):
        return word
    if kind in (int, float, str):
        return kind(word)
    raise ValueError(f"'{word}' is no {_name(kind)}")


def _order(kind: Any) -> int:
    # Numbers before names, which any word may be, and one value before many.
    return PLAIN.index(kind) if kind in (bool, int, float) else (8 if kind is str else 4)


def _items(kind: Any) -> tuple[Any, ...]:
    origin = get_origin(kind)
    many = isinstance(origin, type) and issubclass(origin, Sequence | Mapping)
    return get_args(kind) if many else ()


def _name(kind: Any) -> str:
    if kind is NoneType:
        return "none"
    if get_origin(kind) is dict:
        return "name=value ..."
    if get_origin(kind) is Literal:
        return f"one of {', '.join(get_args(kind))}"
    items = _items(kind)
    if get_origin(kind) is tuple and items[-1] is not Ellipsis:
        return " ".join(map(_name, items))
    return f"{_name(items[0])} ..." if items else getattr(kind, "__name__", str(kind))


def _metavar(types: Sequence[Any], key: str) -> str:
    kinds = {x for kind in types for x in (_items(kind)[-1:] or (kind,))}
    many = " ..." if any(_items(x) for x in types) else ""
    if kinds <= {int, float}:
        return ("X" if float in kinds else "N") + many
    return key.rpartition(".")[2].upper() + many
