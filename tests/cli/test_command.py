import inspect
import re
from collections.abc import Sequence
from typing import Literal

import pytest

from torch_imf import build_model, complete, evaluate, explain, fit, predict, tune
from torch_imf.cli.command import (
    Command,
    Flag,
    Output,
    as_typed,
    flag_words,
    read_value,
    repeat_flags,
)
from torch_imf.cli.main import COMMANDS
from torch_imf.cli.train import settings_flags
from torch_imf.registry import class_names

Triple = tuple[float, float, float]


@pytest.mark.parametrize(
    "words, annotation, value",
    [
        ("3", float | None, 3.0),
        ("None", float | None, None),
        ("none", str, "none"),
        ("0.1 0.2", float | Sequence[float], [0.1, 0.2]),
        ("0.8 0.1 0.1", Triple | None, (0.8, 0.1, 0.1)),
        ("1e-3", int | float, 0.001),
        ("7", str | int, 7),
        ("true", bool | float, True),
        ("png", Literal["png", "pdf"], "png"),
        ("text,visual a,b", list[tuple[str, str]], [("text", "visual"), ("a", "b")]),
        ("text=0.5 fused=1", dict[str, float] | float | None, {"text": 0.5, "fused": 1.0}),
    ],
)
def test_read_value(words, annotation, value):
    out = read_value(words.split(), annotation)
    assert out == value and type(out) is type(value)


@pytest.mark.parametrize(
    "words, annotation, name",
    [
        ("3.5", int, "int"),
        ("1 x", float | Sequence[float], "float | Sequence[float]"),
        ("0.8 0.2", Triple, "tuple[float, float, float]"),
        ("a,b,c", list[tuple[str, str]], "list[tuple[str, str]]"),
        ("text= fused=1", dict[str, float] | float, "dict[str, float] | float"),
        ("maybe", bool | None, "bool | None"),
        ("gif", Literal["png", "pdf"], "one of png, pdf"),
        # Of more bits than a tensor has:
        ("1" + 19 * "0", int, "int from -2**63 to 2**63 - 1"),
    ],
)
def test_read_value_fails(words, annotation, name):
    with pytest.raises(ValueError, match=re.escape(f"expected {name} (got '{words}')")):
        read_value(words.split(), annotation)


@pytest.mark.parametrize(
    "words, expected",
    [
        ("--by a b --k 3 c", "--by a --by b --k 3 c"),
        ("--by=a b --by c", "--by=a --by b --by c"),
        ("--by a -- b", "--by a -- b"),
        ("--by_ten a b", "--by_ten a --by-ten b"),
        ("--by -a b", "--by -a b"),
    ],
)
def test_repeat_flags(words, expected):
    kinds = {"by": list[str], "by_ten": list[str], "k": int}
    kind = inspect.Parameter.KEYWORD_ONLY
    flags = [Flag(x, inspect.Parameter(x, kind, annotation=y), "") for x, y in kinds.items()]
    assert repeat_flags(words.split(), flags) == expected.split()


def settings_of(*words: str) -> dict:
    # What `train` would be given of the settings of a model, and of training:
    seen: dict = {}
    run = lambda settings: seen.update(settings) or Output("", None)  # noqa: E731
    Command("train", run, settings_flags).main(list(words), standalone_mode=False)
    return seen


def test_fit():
    words = ["--epochs", "3", "--lr", "model=0.1", "generator=0.01", "--patience", "none"]
    lr = {"model": 0.1, "generator": 0.01}
    assert settings_of(*words) == {"epochs": 3, "lr": lr, "patience": None}
    assert settings_of() == {}  # Defaults stay with the function.
    names = {flag.key for flag in settings_flags([]) if flag.group == "training"}
    others = {"model", "data", "checkpoint", "callback", "progress"}
    assert names == set(inspect.signature(fit).parameters) - others


@pytest.mark.parametrize("name", class_names("model"))
def test_models(name, fake):
    # Each flag of each model takes its own default:
    words, expected = ["--model", name], {}
    for flag in settings_flags(words)[1:]:
        default = flag.parameter.default
        if expected.get(flag.key.split(".")[0]) is False:  # A part that is not there.
            continue
        if isinstance(default, int | float | str | list | tuple) and default != ():
            words += flag_words(flag.key, default)
            expected[flag.key] = list(default) if isinstance(default, tuple) else default
    out = settings_of(*words)
    assert out == {**expected, "model": name} and len(out) > 10
    others = {"model", *inspect.signature(fit).parameters}
    settings = {x: out[x] for x in out if x not in others and not x.startswith("adversary")}
    assert type(build_model(name, fake, **{**settings, "hidden_channels": 8})).__name__ == name


@pytest.mark.parametrize("function", [evaluate, predict, explain, complete, tune])
def test_defaults(function):
    # Commands repeat those of functions, so that their help is quick to show:
    own = inspect.signature(COMMANDS[function.__name__].function).parameters
    defaults = {name: x.default for name, x in inspect.signature(function).parameters.items()}
    others = ("model", "head", "relation", "tail", "space")
    shared = [x for x in own if defaults.get(x, inspect.Parameter.empty) is not own[x].empty]
    assert len(shared) >= 2
    assert all(own[x].default == defaults[x] for x in shared if x not in others)


@pytest.mark.parametrize(
    "text, expected",
    [
        ("pass 'strict=False' or 'header=True'", "pass '--no-strict' or '--header'"),
        ("as 'columns=\"1,3,2\"'", "as '--columns 1,3,2'"),
        ("Invalid 'shares' argument (got 'shares')", "Invalid '--shares' argument (got 'shares')"),
        ("Pass 'text=None'", "Pass '--text-encoder None'"),
        ("'cache=False', 'k=1', 'split_seed=x y'", "'cache=False', 'k=1', 'split_seed=x y'"),
    ],
)
def test_messages_name_flags(text, expected):
    assert as_typed(text, COMMANDS["encode"].params) == expected
