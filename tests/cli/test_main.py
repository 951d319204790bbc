import io
import shlex
import subprocess
import sys
import warnings
from pathlib import Path
from unittest.mock import create_autospec

import pytest

from torch_imf import __version__
from torch_imf.cli import main
from torch_imf.cli.command import Output
from torch_imf.cli.main import COMMANDS
from torch_imf.io import warn


def test_installed():
    script = Path(sys.executable).with_name("torch-imf")
    if not script.exists():
        pytest.skip("The package is not installed")
    out = subprocess.run([script, "--version"], capture_output=True, text=True)
    assert out.stdout == f"{__version__}\n"


def test_pipe():
    # No warnings of others, and nothing is said if nobody listens:
    command = f"{sys.executable} -m torch_imf list datasets | head -c 9; exit ${{PIPESTATUS[0]}}"
    out = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert out.stdout == "datasets\n" and out.stderr == "" and out.returncode in (0, 1)


def test_help_is_quick():
    # It imports nothing that takes its time; only the flags of `train` depend on a model.
    script = f"""
import sys
from torch_imf.cli import main
for command in [[], *([name] for name in {sorted(COMMANDS.keys() - {"train"})})]:
    assert main([*command, "--help"]) == 0
assert not {{"torch", "numpy", "pandas", "torch_geometric", "sklearn"}} & sys.modules.keys()
"""
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert out.returncode == 0, out.stderr


def test_help(capsys):
    for args in ([], *([name] for name in COMMANDS)):
        assert main([*args, "--help"]) == 0
        out = capsys.readouterr().out
        assert out.startswith(" ".join(["Usage: torch-imf", *args]))
        assert "\n    torch-imf" in out and max(map(len, out.splitlines())) <= 104
        assert ":obj:" not in out and ":class:" not in out and "\b" not in out
        for name in COMMANDS if not args else ["--json", "--quiet", "Examples:"]:
            assert name in out
        if args == ["train"]:
            assert "--epochs int" in out and "(default: 100)" in out and "--scorer.dropout" in out
            assert "one of bique, capse" in " ".join(out.split())


@pytest.mark.parametrize("name", COMMANDS)
def test_examples(name, monkeypatch):
    # They are understood, down to each flag:
    seen = []
    monkeypatch.setattr(COMMANDS[name], "invoke", lambda ctx: seen.append(ctx.params))
    lines = (COMMANDS[name].epilog or "").replace("\\\n", " ").splitlines()
    commands = [line.strip() for line in lines if line.startswith("  torch-imf ")]
    for line in commands:
        words = shlex.split(line.split("   ")[0])[1:]
        if words[0] == name:
            assert main(words) == 0
    assert seen


@pytest.mark.parametrize(
    "args, message",
    [
        ("", "torch-imf: Missing command. See 'torch-imf --help'"),
        ("plot", "torch-imf: No such command 'plot'"),
        ("audit", "torch-imf audit: Missing argument 'GRAPH'. See 'torch-imf audit --help'"),
        ("list countries", "torch-imf list: Invalid value for '[KIND]': expected "),
        (
            "audit x --scheme dedup",
            "for '--scheme': expected one of original, clean, inductive (",
        ),
        ("list scorer", "(got 'scorer'). Did you mean 'scorers'?"),
        (f"train x --seed 1{23 * '0'}", "from -2**63 to 2**63 - 1 (got '1000"),
        (f"predict x -k {2**63}", "for '-k': expected int"),
        # No abbreviations, as names may be added:
        ("train countries --epoch 3", "No such option '--epoch'. Did you mean '--epochs'?"),
        ("train x --epochs three", "Invalid value for '--epochs': expected int (got 'three')"),
        ("train countries --scorer magic", "There is no scorer 'magic'"),
        ("train countries --model magic", "There is no model 'magic'"),
        ("train x --scorer complex --scorer.dropout 1", "part are there where it is chosen"),
    ],
)
def test_usage(capsys, args, message):
    assert main(args.split()) == 2
    out, err = capsys.readouterr()
    assert out == "" and len(err.splitlines()) == 1 and message in err


def test_dashes(monkeypatch):
    # Flags may be written as in Python; values, and what is behind `--`, are as given:
    def explain(*, head, relation, tail, view):
        assert [head, relation, tail, view] == ["--a_b", "-c_d", "--e_f=g_h", "c_d"]
        return Output("", None)

    monkeypatch.setattr(COMMANDS["explain"], "function", explain)
    words = ["--device=a_b", "r", "--view", "c_d", "--", "--a_b", "-c_d", "--e_f=g_h"]
    assert main(["explain", *words]) == 0


@pytest.mark.parametrize(
    "line, found",
    [
        ("torch-imf ev", "evaluate"),
        ("torch-imf evaluate run --tie o", "optimistic"),
        ("torch-imf train countries --scorer contextual --scorer.d", "--scorer.dropout"),
        ("torch-imf train countries --scorer comp", "complex"),
    ],
)
def test_completion(line, found, monkeypatch, capsys):
    monkeypatch.setenv("_TORCH_IMF_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(line.split()) - 1))
    with pytest.raises(SystemExit):
        main([])
    assert capsys.readouterr().out == f"plain,{found}\n"
    monkeypatch.delenv("_TORCH_IMF_COMPLETE")
    assert main(["--show-completion", "zsh"]) == 0
    assert "_TORCH_IMF_COMPLETE=zsh_complete" in capsys.readouterr().out


def test_encoding(monkeypatch):
    # A name that the terminal cannot show does not cost the others:
    monkeypatch.setattr(COMMANDS["list"], "function", lambda: Output("a é ☃ \udcff", ["é"]))
    for encoding, text in {"ascii": r"a \xe9 \u2603 \udcff", "utf-8": "a é ☃ \\udcff"}.items():
        raw = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
        assert main(["list"]) == 0
        assert raw.getvalue().decode(encoding) == text + "\n"


def test_interrupted(capsys, monkeypatch):
    stop = create_autospec(COMMANDS["list"].function, side_effect=KeyboardInterrupt)
    monkeypatch.setattr(COMMANDS["list"], "function", stop)
    assert main(["list"]) == 130
    assert capsys.readouterr().err == "\ntorch-imf list: interrupted\n"


def test_quiet(capsys, monkeypatch):
    # Neither progress nor remarks, but our warnings:
    def command():
        print("remark", file=sys.stderr)
        seen.append(sys.stderr.isatty())
        warn("ours")
        warnings.warn("not ours", stacklevel=1)
        raise ValueError("that went wrong")

    seen: list[bool] = []
    monkeypatch.setattr(COMMANDS["list"], "function", command)
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    lines = ["remark", "warning: ours", "torch-imf list: that went wrong"]
    for words in (["list"], ["list", "-q"]):
        assert main(words) == 1
        assert capsys.readouterr().err.splitlines() == lines[len(words) - 1 :]
    assert seen == [True, False]  # Bars are for terminals only.
