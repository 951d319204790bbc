import argparse
import difflib
import json
import os
import shlex
import sys
import warnings
from collections.abc import Sequence
from contextlib import ExitStack, redirect_stderr
from functools import partial
from types import ModuleType
from typing import Any, TextIO

import torch_imf
from torch_imf.cli import (
    audit,
    complete,
    encode,
    evaluate,
    explain,
    figures,
    listing,
    predict,
    train,
    tuning,
)
from torch_imf.cli.output import Output, Stopped, plain

COMMANDS: dict[str, ModuleType] = {
    "list": listing,
    "audit": audit,
    "encode": encode,
    "train": train,
    "evaluate": evaluate,
    "predict": predict,
    "explain": explain,
    "complete": complete,
    "figures": figures,
    "tune": tuning,
}
DESCRIPTION = """Finds the missing links of a knowledge graph whose entities have texts, pictures
or numbers."""
EPILOG = """A first session, with the graph that comes with the package:

  torch-imf audit countries                      what is in it, and what is wrong with it
  torch-imf train countries --out runs/first     a model, selected on validation
  torch-imf evaluate runs/first --by category    filtered ranks of the test facts
  torch-imf predict runs/first --head France --relation borders
  torch-imf explain runs/first Argentina borders Paraguay
  torch-imf figures runs/first                   answers, weights and ranks as pictures
  torch-imf tune countries --trials 20           settings that do better, on validation

In place of 'countries', give a folder of your own with facts.tsv, texts.tsv, images/ and
numbers.tsv. 'torch-imf <command> --help' tells more."""

#: Exit statuses: all went well, the input is not valid, and (by argparse) the usage is not.
OK, INVALID, INTERRUPTED = 0, 1, 130


def main(args: Sequence[str] | None = None) -> int:
    r"""Runs the command line, :obj:`torch-imf` or
    :obj:`python -m torch_imf`.

    Args:
        args (list[str], optional): The arguments, those of the process by
            default. (default: :obj:`None`)

    Returns:
        The exit status: 0; 1 if the input was not valid or something was
        found (:obj:`audit --check`); or 130 if it was interrupted.
    """
    words = list(sys.argv[1:] if args is None else args)
    end = words.index("--") if "--" in words else len(words)  # Behind it, nothing is a flag.
    words = [*map(_dashed, words[:end]), *words[end:]]
    parser, commands = _parser(words)
    options, unknown = parser.parse_known_args(words)
    if unknown:
        commands.choices[options.command].error(_unrecognized(unknown, commands, options.command))
    prog = f"torch-imf {options.command}"
    options.line = f"torch-imf {shlex.join(words)}"
    try:
        with warnings.catch_warnings(), ExitStack() as stack:
            warnings.showwarning = partial(_show_warning, sys.stderr)
            if options.quiet:  # Of all that is said on the way, warnings are left.
                stack.enter_context(redirect_stderr(stack.enter_context(open(os.devnull, "w"))))
            output: Output = COMMANDS[options.command].run(options)
        text = json.dumps(plain(output.values), indent=2) if options.json else output.text
        _print(text)
    except BrokenPipeError:  # As of `torch-imf ... | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return INVALID
    except Stopped as error:
        print(f"\n{prog}: {error}", file=sys.stderr)
        return INTERRUPTED
    except KeyboardInterrupt:
        print(f"\n{prog}: interrupted", file=sys.stderr)
        return INTERRUPTED
    except (ValueError, RuntimeError, OSError, ImportError) as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return INVALID
    return output.status


def _print(text: str) -> None:
    # Names that the encoding of a pipe or terminal lacks are escaped, as in messages.
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    print(text.encode(encoding, "backslashreplace").decode(encoding), flush=True)


def _unrecognized(unknown: Sequence[str], commands: Any, command: str) -> str:
    known = commands.choices[command]._option_string_actions
    flags = [word.partition("=")[0] for word in unknown if word.startswith("--")]
    near = [x for flag in flags for x in difflib.get_close_matches(flag, known, n=1)]
    text = f"unrecognized arguments: {' '.join(unknown)}"
    text += f" (did you mean {', '.join(near)}?)" if near else ""
    if any("." in flag for flag in flags):
        text += "; flags of a part are there where it is chosen, as in '--scorer contextual'"
    return text


class Formatter(argparse.HelpFormatter):
    r"""Wraps texts, but for those with examples, which keep their lines."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        if "\n  torch-imf" not in text:
            return super()._fill_text(text, width, indent)
        return "\n".join(indent + line for line in text.splitlines())


def _parser(words: Sequence[str]) -> tuple[argparse.ArgumentParser, Any]:
    parser = argparse.ArgumentParser(
        prog="torch-imf",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=Formatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=torch_imf.__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="command")
    chosen = next((word for word in words if word in COMMANDS), None)
    for name, module in COMMANDS.items():
        command = commands.add_parser(
            name,
            help=module.HELP,
            description=module.DESCRIPTION,
            epilog=module.EPILOG,
            usage=getattr(module, "USAGE", None),
            formatter_class=Formatter,
            allow_abbrev=False,
        )
        if name == chosen:  # Flags are read off signatures, which takes its time.
            module.add_arguments(command, words)
        group = command.add_argument_group("output")
        group.add_argument("--json", action="store_true", help="print the result as JSON")
        group.add_argument(
            "-q", "--quiet", action="store_true", help="show no progress and no remarks"
        )
    return parser, commands


def _dashed(word: str) -> str:
    # `--batch_size`, as in Python, is the same as `--batch-size`.
    name, equals, value = word.partition("=")
    return name.replace("_", "-") + equals + value if name.startswith("--") else word


def _show_warning(
    stream: TextIO,
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: Any = None,
    line: str | None = None,
) -> None:
    # Those of other packages are not about what the user gave.
    if issubclass(category, UserWarning) and "torch_imf" in filename:
        print(f"warning: {message}", file=stream)
