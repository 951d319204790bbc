import argparse
import inspect
from collections.abc import Sequence

import pytest

from torch_imf import build_model, fit
from torch_imf.cli.flags import add_flags, given, read_value, settings_of
from torch_imf.cli.train import FIT
from torch_imf.registry import class_names
from torch_imf.registry import describe_settings


@pytest.mark.parametrize(
    "words, annotation, value",
    [
        ("3", int, 3),
        ("3", float | None, 3.0),
        ("none", float | None, None),
        ("None", str | None, None),
        ("none", str, "none"),
        ("0.1", float | Sequence[float], 0.1),
        ("0.1 0.2", float | Sequence[float], [0.1, 0.2]),
        ("1e-3", int | float, 0.001),
        ("7", str | int, 7),
        ("true", bool | float, True),
        ("struct fused", list[str] | None, ["struct", "fused"]),
        ("struct", list[str] | None, ["struct"]),
        (
            "text,visual struct,text",
            list[tuple[str, str]],
            [("text", "visual"), ("struct", "text")],
        ),
        ("text=0.5 fused=1", dict[str, float] | float | None, {"text": 0.5, "fused": 1.0}),
        ("0.5", dict[str, float] | float | None, 0.5),
    ],
)
def test_read_value(words, annotation, value):
    out = read_value(words.split(), annotation)
    assert out == value and type(out) is type(value)


@pytest.mark.parametrize(
    "words, annotation, message",
    [
        ("3.5", int, r"expected int \(got '3.5'\)"),
        ("x", float | None, r"expected float or none \(got 'x'\)"),
        ("1 x", float | Sequence[float], r"expected float or float ... \(got '1 x'\)"),
        ("a,b,c", list[tuple[str, str]], r"got 'a,b,c'"),
        ("text= fused=1", dict[str, float] | float, "expected name=value ... or float"),
        ("maybe", bool | None, r"got 'maybe'"),
    ],
)
def test_read_value_fails(words, annotation, message):
    with pytest.raises(ValueError, match=message):
        read_value(words.split(), annotation)


def parse(settings, *words):
    parser = argparse.ArgumentParser(exit_on_error=False)
    add_flags(parser, settings)
    return given(parser.parse_args(words), settings), parser.format_help()


def test_fit():
    names = set(inspect.signature(fit).parameters)
    assert set(FIT) == names - {"model", "data", "checkpoint", "callback", "progress"}
    out, text = parse(FIT, "--epochs", "3", "--lr", "0.1", "0.01", "--patience", "none")
    assert out == {"epochs": 3, "lr": [0.1, 0.01], "patience": None}
    assert parse(FIT)[0] == {}  # Defaults stay with the function.
    assert "The number of epochs. (default: 100)" in text
    assert "(default: adamw)" in text


@pytest.mark.parametrize("name", class_names("model"))
def test_models(name, fake):
    # Each flag of each model takes its own default:
    settings = describe_settings(name)
    words = []
    for key, setting in settings.items():
        default, flag = setting.parameter.default, f"--{key.replace('_', '-')}"
        if isinstance(default, bool):
            words.append(flag if default else flag.replace("--", "--no-"))
        elif isinstance(default, int | float | str):
            words += [flag, str(default)]
        elif isinstance(default, list | tuple):
            words += [flag, *map(str, default)]
    words += ["--hidden-channels", "8"] if "--hidden-channels" not in words else []
    out, text = parse(settings, *words)
    assert all(f"--{key.replace('_', '-')}" in text for key in settings)
    for key, value in out.items():
        default = settings[key].parameter.default
        expected = list(default) if isinstance(default, tuple) else default
        assert value == expected or key == "hidden_channels"
    out = {key: x for key, x in out.items() if not key.startswith("adversary")}
    model = build_model(name, fake, **{**out, "hidden_channels": 8})
    assert type(model).__name__ == name


def test_settings_of():
    def function(x: int, names: list[str] | None = None) -> None:
        r"""Does nothing.

        Args:
            x (int): The :obj:`x` of 50% (in one
                line).
            names (list[str], optional): The names. (default: :obj:`None`)
        """

    out, text = parse(settings_of(function, ["x", "names"]), "--x", "4", "--names", "a", "b")
    assert out == {"x": 4, "names": ["a", "b"]}
    assert "The x of 50% (in one line). (required)" in " ".join(text.split())
