# What the documentation says is run: its Python as it stands, for fewer epochs; of its shell, that
# scripts, targets, extras, commands and flags are there. `test_docs_html.py` builds its pages.
import contextlib
import io
import re
import shlex
import textwrap
from pathlib import Path
from typing import NamedTuple

import pytest

from torch_imf.cli import main
from torch_imf.encoders import TfidfEncoder

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "docs" / "source"
PAGES = sorted([SOURCE / "index.rst", *SOURCE.glob("tutorial/*.rst")])
BLOCK = re.compile(r"^\.\. code-block:: (\w+)\n((?:   :.*\n)*)\n((?:(?:   .*)?\n)+)", re.MULTILINE)


class Block(NamedTuple):
    language: str
    caption: str | None
    text: str
    line: int


def blocks(path: Path) -> list[Block]:
    text = path.read_text() + "\n"
    out = []
    for match in BLOCK.finditer(text):
        caption = re.search(r":caption: (.+)", match[2])
        code = textwrap.dedent(match[3]).strip("\n") + "\n"
        line = text[: match.start(3)].count("\n") + 1
        out.append(Block(match[1], caption and caption[1], code, line))
    return out


def commands(path: Path) -> list[str]:
    # A backslash at the end of a line goes on with the next one.
    text = "\n".join(block.text for block in blocks(path) if block.language == "console")
    return re.sub(r" *\\\n +", " ", text).splitlines()


@pytest.fixture(scope="module")
def encode_once():
    # Nearly all pages begin with the texts of `Countries`, the encoding of which takes longest.
    encode, done = TfidfEncoder.__call__, {}

    def call(self, texts):
        key = (repr(self), *texts)
        if key not in done:
            done[key] = *encode(self, texts), self.state_dict()
        *out, state = done[key]
        self.load_state_dict(state)
        return tuple(x.clone() for x in out)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TfidfEncoder, "__call__", call)
        yield


@pytest.mark.usefixtures("encode_once")
@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.stem)
def test_python_runs(path, tmp_path, monkeypatch):
    for package in ("PIL", "safetensors"):
        pytest.importorskip(package)
    monkeypatch.chdir(tmp_path)
    # The blocks of a page in order, in one namespace and the current folder. Files that a page
    # shows under their name are there.
    names, found = {"__name__": path.stem}, blocks(path)
    assert len(found) == path.read_text().count(".. code-block::")
    for block in found:
        assert block.language in ("python", "console", "text", "none")
        if block.caption is not None:
            Path(block.caption).write_text(block.text)
        if block.language == "python":
            code = re.sub(r"\b(epochs|trials)=\d+", r"\1=2", block.text)
            exec(compile(code, f"{path.name}, line {block.line}", "exec"), names)


@pytest.mark.parametrize("line", dict.fromkeys(x for path in PAGES for x in commands(path) if x))
def test_console(line):
    # That what is called is there, and has the flags that it is given.
    prompt, command, *args = shlex.split(re.sub(r"^[$] ([A-Z_]+=\S+ )+", "$ ", line).rstrip(" &"))
    assert prompt == "$"
    flags = [arg for arg in args if arg.startswith("--")]
    if command == "make":
        assert re.search(rf"^{args[0]}:", (ROOT / "Makefile").read_text(), re.MULTILINE), line
    elif command == "pip":
        extras = re.search(r"\[(.+)\]", line)
        setup = (ROOT / "setup.cfg").read_text()
        for extra in extras[1].split(",") if extras else []:
            assert re.search(rf"^{extra} ?=", setup, re.MULTILINE), line
    elif command == "python" and args[0].endswith(".py"):
        known = script_flags(ROOT / args[0])
        assert set(flags) <= known, f"{line}: there are {sorted(known)}"
    elif command == "torch-imf" or args[:2] == ["-m", "torch_imf"]:
        args = args if command == "torch-imf" else args[2:]
        # Its flags depend on the parts that a command names, the values of which are read before.
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            assert main([*args, "--help"]) == 0
        usage = out.getvalue()
        known = set(re.findall(r"--[\w.-]+", "\n".join(re.findall(r"^  -.+", usage, re.MULTILINE))))
        assert set(flags) <= known, f"{line}: {usage}"
    elif command == "torchrun" and "-m" in args:  # As a command of one process.
        test_console(shlex.join(["$", "python", *args[args.index("-m") :]]))
    elif command == "torchrun":
        script = next(i for i, arg in enumerate(args) if arg.endswith(".py"))
        test_console(shlex.join(["$", "python", *args[script:]]))
    elif command == "tensorboard":
        assert flags == ["--logdir"], line
    else:
        raise AssertionError(f"'{line}' is no command that the tests know")


def script_flags(path: Path) -> set[str]:
    # Those of a script, and of what is beside it if it takes its parser from there.
    text = path.read_text()
    for name in re.findall(r"^from (\w+) import .*\bparser\b", text, re.MULTILINE):
        text += (path.parent / f"{name}.py").read_text()
    return set(re.findall(r'add_argument\(\s*"(--\w+)"', text))


def test_pictures():
    # Small ones, each with a text for those who do not see it, and none that no page shows. (Those
    # that are missing are warnings when the pages are built.)
    used = set()
    for path in PAGES:
        pattern = r"^\.\. (?:figure|image):: (.+)\n(.*)\n"
        for name, option in re.findall(pattern, path.read_text(), re.MULTILINE):
            assert option.startswith("   :alt: "), f"{name} needs an ':alt:'"
            assert (path.parent / name).stat().st_size < 150_000, f"{name} is large"
            used.add((path.parent / name).resolve())
    assert set((SOURCE.parent / "_static" / "figures").resolve().iterdir()) <= used != set()


def test_error_messages_are_those_of_the_package():
    files = sorted((ROOT / "torch_imf").rglob("*.py"))
    code = "\n".join(path.read_text() for path in files)
    code = re.sub(r'"\n\s*f?"', "", code)  # Adjacent strings are one.
    for field, word in {"self.kind": "entity", "kind": "entities", "argument": "lr"}.items():
        code = code.replace(f"{{{field}}}", word)
    text = (SOURCE / "tutorial" / "trouble.rst").read_text().split("Error messages\n")[1]
    messages = re.findall(r"^``(.+)``\n   ", text, re.MULTILINE)
    assert len(messages) > 5
    for message in messages:
        for part in message.split("..."):
            assert part.strip(" '.?") in code, f"There is no message '{message}'"
