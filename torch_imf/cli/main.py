import os
import sys
from collections.abc import Sequence

import click

import torch_imf
from torch_imf.cli.answers import complete, evaluate, explain, predict
from torch_imf.cli.figures import figures
from torch_imf.cli.flags import Command, texts
from torch_imf.cli.graph import audit, encode
from torch_imf.cli.listing import describe, list_kinds
from torch_imf.cli.output import Stopped, warnings_as_lines
from torch_imf.cli.train import settings_flags, train
from torch_imf.cli.tune import tune

COMMANDS = {
    "list": Command("list", list_kinds),
    "describe": Command("describe", describe),
    "audit": Command("audit", audit),
    "encode": Command("encode", encode),
    "train": Command("train", train, extra=settings_flags),
    "evaluate": Command("evaluate", evaluate),
    "predict": Command("predict", predict),
    "explain": Command("explain", explain),
    "complete": Command("complete", complete),
    "figures": Command("figures", figures),
    "tune": Command("tune", tune),
}

#: Exit statuses: the input is not valid; the user has interrupted. Usage that is not valid is 2.
INVALID, INTERRUPTED = 1, 130


def torch_imf_command() -> None:
    r"""Finds the missing links of a knowledge graph whose entities have texts,
    pictures or numbers.

    Examples:
      torch-imf audit countries                      what is in it, and what is wrong with it
      torch-imf train countries --out runs/first     a model, selected on validation
      torch-imf evaluate runs/first --by category    filtered ranks of the test facts
      torch-imf predict runs/first --head France --relation borders
      torch-imf explain runs/first Argentina borders Paraguay
      torch-imf figures runs/first                   answers, weights and ranks as pictures
      torch-imf tune countries --trials 20           settings that do better, on validation

    In place of 'countries', which comes with the package, give a folder of your own with
    facts.tsv, texts.tsv, images/ and numbers.tsv. 'torch-imf <command> --help' tells more.
    """


def show_completion(ctx: click.Context, param: click.Parameter, shell: str | None) -> None:
    r"""Prints what makes a shell complete commands and flags."""
    from click.shell_completion import get_completion_class

    if shell is not None:
        kind = get_completion_class(shell)
        if kind is None:
            raise click.BadParameter(f"choose bash, zsh or fish (got '{shell}')", ctx, param)
        click.echo(kind(ctx.command, {}, "torch-imf", "_TORCH_IMF_COMPLETE").source())
        ctx.exit()


class Group(click.Group):
    r"""Commands in their order of use."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)


COMPLETION = click.Option(
    ["--show-completion"],
    metavar="SHELL",
    expose_value=False,
    is_eager=True,
    callback=show_completion,
    help="print what completes commands and flags in bash, zsh or fish, to be put into its "
    'start-up file: eval "$(torch-imf --show-completion bash)"',
)
GROUP = click.version_option(torch_imf.__version__, message="%(version)s")(
    Group(
        "torch-imf",
        commands=COMMANDS,
        params=[COMPLETION],
        no_args_is_help=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
        **texts(torch_imf_command),
    )
)


def main(args: Sequence[str] | None = None) -> int:
    r"""Runs the command line, :obj:`torch-imf` or
    :obj:`python -m torch_imf`.

    Args:
        args (list[str], optional): The arguments, those of the process by
            default. (default: :obj:`None`)

    Returns:
        The exit status: 0; 1 if the input was not valid or something was
        found (:obj:`audit --check`); 2 if there is no such command or flag; or
        130 if it was interrupted.
    """
    words = list(sys.argv[1:] if args is None else args)
    if os.getcwd() not in sys.path:  # Where a user has classes, as in `--scorer my_package:Twist`.
        sys.path.append(os.getcwd())
    try:
        with warnings_as_lines():
            return GROUP.main(words, prog_name="torch-imf", standalone_mode=False) or 0
    except click.ClickException as error:
        ctx = getattr(error, "ctx", None)
        path = ctx.command_path if ctx else "torch-imf"
        message = " ".join(error.format_message().split())
        if isinstance(error, click.NoSuchOption) and "." in error.option_name:
            message += " Flags of a part are there where it is chosen: '--scorer contextual'."
        return fail(f"{path}: {message} See '{path} --help'", error.exit_code)
    except BrokenPipeError:  # As of `torch-imf ... | head`.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return INVALID
    except Stopped as error:
        return fail(f"\n{command_of(words)}: {error}", INTERRUPTED)
    except click.Abort:  # As which Click raises what Ctrl-C does.
        return fail(f"{command_of(words)}: interrupted", INTERRUPTED)
    except (ValueError, RuntimeError, OSError, ImportError) as error:
        return fail(f"{command_of(words)}: {error}", INVALID)


def command_of(words: Sequence[str]) -> str:
    r"""Returns the command that words call."""
    return " ".join(["torch-imf", *(word for word in words if word in COMMANDS)][:2])


def fail(message: str, status: int) -> int:
    r"""Tells what went wrong, and returns the exit status."""
    print(message, file=sys.stderr)
    return status
