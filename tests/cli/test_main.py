import io
import shlex
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

from torch_imf import __version__
from torch_imf.cli import main
from torch_imf.cli.main import COMMANDS, EPILOG
from torch_imf.cli.output import Output


def run(*args: str, **kwargs) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "torch_imf", *args]
    return subprocess.run(command, capture_output=True, text=True, **kwargs)


def test_module():
    out = run("list", "datasets")
    assert out.returncode == 0 and out.stderr == ""  # No warnings of others.
    assert out.stdout.startswith("datasets\n  dataset ")


def test_installed():
    script = Path(sys.executable).with_name("torch-imf")
    if not script.exists():
        pytest.skip("The package is not installed")
    out = subprocess.run([script, "--version"], capture_output=True, text=True)
    assert out.stdout == f"{__version__}\n"


def test_pipe():
    # As of `torch-imf list | head -1`:
    command = f"{sys.executable} -m torch_imf list | head -c 1; exit ${{PIPESTATUS[0]}}"
    out = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert out.stdout == "d" and out.stderr == "" and out.returncode in (0, 1)


def test_encoding(monkeypatch, capsys):
    # A name that the terminal cannot show does not cost the others:
    monkeypatch.setattr(COMMANDS["list"], "run", lambda options: Output("a é ☃ \udcff", ["é"]))
    for encoding, text in {"ascii": r"a \xe9 \u2603 \udcff", "utf-8": "a é ☃ \\udcff"}.items():
        raw = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
        assert main(["list"]) == 0
        assert raw.getvalue().decode(encoding) == text + "\n"


def test_help(capsys):
    for args in ([], *([name] for name in COMMANDS)):
        with pytest.raises(SystemExit) as error:
            main([*args, "--help"])
        assert error.value.code == 0
        out = capsys.readouterr().out
        assert out.startswith(" ".join(["usage: torch-imf", *args]))
        assert "  torch-imf" in out and max(map(len, out.splitlines())) <= 100
        assert ":obj:" not in out and ":class:" not in out
        for name in COMMANDS if not args else ["--json", "--quiet", "examples:"]:
            assert name in out
    # What help shows as examples can be typed:
    names = {line.split()[1] for line in EPILOG.splitlines() if line.startswith("  torch-imf")}
    assert names <= set(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_examples(name, monkeypatch):
    # They are understood, down to each flag:
    seen = []
    monkeypatch.setattr(COMMANDS[name], "run", lambda options: seen.append(options) or exit(0))
    lines = COMMANDS[name].EPILOG.replace("\\\n", " ").splitlines()
    commands = [line for line in lines if line.startswith("  torch-imf ")]
    assert commands
    for line in commands:
        words = shlex.split(line.strip().split("   ")[0])[1:]
        if words[0] == name:
            with pytest.raises(SystemExit) as error:
                main(words)
            assert error.value.code == 0
    assert seen


@pytest.mark.parametrize(
    "args",
    [
        *([], ["audit"], ["plot"], ["list", "countries"], ["predict"], ["explain", "runs/first"]),
        ["train", "countries", "--epoch", "3"],  # No abbreviations: names may be added.
        ["train", "countries", "--epochs", "three"],
        ["train", "countries", "--scorer", "magic"],
        ["train", "countries", "--model", "magic"],
        ["train", "countries", "--scorer", "complex", "--scorer.dropout", "0.5"],
    ],
)
def test_usage(capsys, args):
    with pytest.raises(SystemExit) as error:
        main(args)
    assert error.value.code == 2
    out, err = capsys.readouterr()
    assert out == "" and err.startswith("usage: torch-imf") and "error: " in err


def test_dashes(capsys, monkeypatch):
    # Flags may be written as in Python; values, and what is behind `--`, are as given:
    seen = []
    monkeypatch.setattr(COMMANDS["explain"], "run", lambda options: seen.append(options) or exit(0))
    words = ["--device=a_b", "r", "--view", "c_d", "--", "--a_b", "-c_d", "--e_f=g_h"]
    with pytest.raises(SystemExit):
        main(["explain", *words])
    (options,) = seen
    assert [options.head, options.relation, options.tail] == ["--a_b", "-c_d", "--e_f=g_h"]
    assert (options.device, options.view) == ("a_b", "c_d")


def test_interrupted(capsys, monkeypatch):
    def run(options):
        raise KeyboardInterrupt

    monkeypatch.setattr(COMMANDS["list"], "run", run)
    assert main(["list"]) == 130
    assert capsys.readouterr().err == "\ntorch-imf list: interrupted\n"


def test_warnings(capsys, monkeypatch):
    source = compile(Path(__file__).read_text(), "/package/torch_imf/x.py", "exec")
    namespace: dict = {"__name__": "torch_imf.x"}
    exec(source, namespace)  # As if it were in the package.
    monkeypatch.setattr(COMMANDS["list"], "run", namespace["_warn"])
    assert main(["list"]) == 1
    assert capsys.readouterr().err == "warning: this is ours\ntorch-imf list: that went wrong\n"


def _warn(options):
    warnings.warn("this is ours")
    warnings.warn_explicit("not ours", UserWarning, "/site-packages/other/file.py", 3)
    raise ValueError("that went wrong")


def test_quiet(capsys, monkeypatch):
    # Neither progress nor remarks, but warnings:
    def run(options):
        print("remark", file=sys.stderr)
        seen.append(sys.stderr.isatty())
        _run_warn(options)

    seen: list[bool] = []
    namespace: dict = {"__name__": "torch_imf.x"}
    exec(compile(Path(__file__).read_text(), "/package/torch_imf/x.py", "exec"), namespace)
    _run_warn = namespace["_warn"]
    monkeypatch.setattr(COMMANDS["list"], "run", run)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    assert main(["list"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        *("remark", "warning: this is ours", "torch-imf list: that went wrong")
    ]
    assert main(["list", "-q"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        *("warning: this is ours", "torch-imf list: that went wrong")
    ]
    assert seen == [True, False]  # Bars are for terminals only.


def test_unrecognized(capsys):
    for words, message in {
        ("--epoch", "3"): "unrecognized arguments: --epoch 3 (did you mean --epochs?)",
        ("--scorer", "complex", "--scorer.dropout", "1"): "of a part are there where it is chosen",
    }.items():
        with pytest.raises(SystemExit) as error:
            main(["train", "countries", *words])
        assert error.value.code == 2
        assert message in capsys.readouterr().err
