import argparse
import inspect
from collections.abc import Callable, Mapping, Sequence
from types import NoneType
from typing import Any, get_args, get_origin

from torch_imf.registry import Setting, union_types

PLAIN = (bool, int, float, str)


def settings_of(function: Callable[..., Any], names: Sequence[str]) -> dict[str, Setting]:
    r"""Returns the named arguments of a function."""
    parameters = inspect.signature(function).parameters
    return {name: Setting(parameters[name]) for name in names}


def add_flags(
    parser: argparse.ArgumentParser | argparse._ArgumentGroup, settings: Mapping[str, Setting]
) -> None:
    r"""Adds a flag for each setting: its name, type, default and help are
    those of the signature. Flags that are not given leave no trace, so that
    defaults stay where they are.
    """
    for name, setting in settings.items():
        flag, default = f"--{name.replace('_', '-')}", setting.parameter.default
        text = ""
        if setting.choices:
            text += f" One of {', '.join(setting.choices)}."
        if default is setting.parameter.empty:
            text += " (required)"
        elif default is not None and default != ():
            text += f" (default: {default})"
        types = [x for x in union_types(setting.parameter.annotation) if x is not NoneType]
        if types == [bool]:
            parser.add_argument(
                *(flag,),
                dest=name,
                action=argparse.BooleanOptionalAction,
                default=argparse.SUPPRESS,
                help=text,
            )
            continue
        parser.add_argument(
            flag,
            dest=name,
            nargs="+" if any(_items(x) for x in types) else None,
            action=Value,
            setting=setting,
            default=argparse.SUPPRESS,
            metavar=_metavar(types, name),
            help=text,
        )


def given(options: argparse.Namespace, settings: Mapping[str, Setting]) -> dict[str, Any]:
    r"""Returns the settings that were given as flags."""
    return {name: value for name, value in vars(options).items() if name in settings}


def flag_words(name: str, *values: str) -> list[str]:
    r"""Returns the words of a command line that give a flag some values."""
    flag = f"--{name.replace('_', '-')}"
    if len(values) == 1 and values[0].startswith("-"):
        return [f"{flag}={values[0]}"]  # Which would be read as a flag.
    return [flag, *values]


class Value(argparse.Action):
    r"""Reads the words of a flag as one of the types of a setting."""

    def __init__(self, *args: Any, setting: Setting, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.annotation = setting.parameter.annotation

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        try:
            value = read_value([values] if isinstance(values, str) else values, self.annotation)
        except ValueError as error:
            raise argparse.ArgumentError(self, str(error)) from error
        setattr(namespace, self.dest, value)


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
        items = _items(kind)
        try:
            if kind in PLAIN and len(words) == 1:
                return _read_word(words[0], kind)
            if get_origin(kind) is dict and all(value for *_, value in pairs):
                return {key: _read_word(value, items[1]) for key, _, value in pairs}
            if items and get_origin(kind) is not dict:
                return [_read_word(word, items[0]) for word in words]
        except ValueError:
            continue
    names = " or ".join(_name(x) for x in types)
    raise ValueError(f"expected {names} (got '{' '.join(words)}')")


def _read_word(word: str, kind: Any) -> Any:
    if get_origin(kind) is tuple:  # Such as a pair of names, `text,visual`.
        parts, kinds = word.split(","), get_args(kind)
        if len(parts) != len(kinds):
            raise ValueError(f"expected {len(kinds)} parts")
        return tuple(_read_word(part, x) for part, x in zip(parts, kinds, strict=True))
    if kind is bool:
        if word.lower() not in ("true", "false", "yes", "no"):
            raise ValueError(f"expected true or false (got '{word}')")
        return word.lower() in ("true", "yes")
    if kind not in PLAIN:
        raise ValueError(f"'{word}' is no {_name(kind)}")
    return kind(word)


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
    items = _items(kind)
    return f"{_name(items[0])} ..." if items else getattr(kind, "__name__", str(kind))


def _metavar(types: Sequence[Any], name: str) -> str:
    kinds = {x for kind in types for x in (_items(kind)[-1:] or (kind,))}
    if str in kinds:
        return name.rpartition(".")[2].upper()
    return "X" if float in kinds else "N"
