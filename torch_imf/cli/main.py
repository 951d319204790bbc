r"""Finds the missing links of a knowledge graph whose entities have texts, pictures or numbers.

Examples:
  torch-imf audit countries                      what is in it, and what is wrong with it
  torch-imf train countries --out runs/first     a model, selected on validation
  torch-imf evaluate runs/first --by category    filtered ranks of the test facts
  torch-imf predict runs/first --head France --relation borders
  torch-imf explain runs/first Argentina borders Paraguay

In place of 'countries', which comes with the package, give a folder of your own with facts.tsv,
texts.tsv, images/ and numbers.tsv: 'torch-imf new my_graph/' writes one to begin with.
'torch-imf <command> --help' tells more.
"""

import os
import shlex
import sys
import warnings
from collections.abc import Sequence

import click
from click.shell_completion import shell_complete

import torch_imf
from torch_imf.cli.add import add
from torch_imf.cli.answers import complete, evaluate, explain, figures, predict
from torch_imf.cli.command import Command, as_typed, say, shown, texts
from torch_imf.cli.export import export
from torch_imf.cli.listing import audit, describe, encode, list_kinds
from torch_imf.cli.serve import serve
from torch_imf.cli.start import doctor, new
from torch_imf.cli.train import settings_flags, train, tune
from torch_imf.io import TorchIMFWarning

ASK = (evaluate, predict, explain, complete, add, export, figures, serve)
FUNCTIONS = (audit, encode, *ASK, tune, describe, doctor)
COMMANDS = {
    "new": Command("new", new),
    "list": Command("list", list_kinds),
    "train": Command("train", train, settings_flags),
    **{function.__name__: Command(function.__name__, function) for function in FUNCTIONS},
}


def show_completion(ctx: click.Context, param: click.Parameter, shell: str | None) -> None:
    r"""Prints what makes a shell complete commands and flags."""
    if shell:
        names = ("torch-imf", "_TORCH_IMF_COMPLETE")
        ctx.exit(shell_complete(ctx.command, {}, *names, f"{shell}_source"))


@click.group(
    "torch-imf",
    commands=COMMANDS,
    no_args_is_help=False,
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
        "token_normalize_func": lambda name: name.replace("_", "-"),  # As in Python.
    },
    **texts(__doc__),
)
@click.option(
    "--show-completion",
    type=click.Choice(["bash", "zsh", "fish"]),
    expose_value=False,
    is_eager=True,
    callback=show_completion,
    help="print what completes commands and flags in a shell, for its start-up file: "
    'eval "$(torch-imf --show-completion bash)"',
)
@click.version_option(torch_imf.__version__, message="%(version)s")
def group() -> None: ...


def limit_caches() -> None:
    r"""Lets PyTorch and oneDNN keep few of the products in bf16 that they compile for each size. As
    sizes differ from batch to batch, the thousand that they keep by default come to gigabytes.
    """
    for name in ("LRU_CACHE_CAPACITY", "ONEDNN_PRIMITIVE_CACHE_CAPACITY"):
        os.environ.setdefault(name, "64")


def main(args: Sequence[str] | None = None) -> int:
    r"""Runs the command line, :obj:`torch-imf` or :obj:`python -m torch_imf`, with some arguments,
    by default those of the process.

    Returns:
        The exit status: 0; 1 if the input was not valid or something was found (:obj:`audit
        --check`); 2 if there is no such command or flag; or 130 if it was interrupted.
    """
    words = list(sys.argv[1:] if args is None else args)
    limit_caches()
    if os.getcwd() not in sys.path:  # Where a user has classes, as in `--scorer my_package:Twist`.
        sys.path.append(os.getcwd())
    name = " ".join(["torch-imf", *(word for word in words if word in COMMANDS)][:2])
    params = next((COMMANDS[word].params for word in words if word in COMMANDS), [])
    errors, is_job = sys.stderr, "TORCHELASTIC_RUN_ID" in os.environ
    if is_job and os.environ["RANK"] != "0":  # One process of those of 'torchrun' prints.
        sys.stdout = sys.stderr = open(os.devnull, "w")
    stream = sys.stderr  # In which warnings are shown even if the rest of it is silenced.
    try:
        with warnings.catch_warnings():  # Those of others are not about what the user gave.
            warnings.showwarning = lambda text, *_: print(  # type: ignore
                shown(f"warning: {as_typed(str(text), params)}"), file=stream
            )
            warnings.simplefilter("ignore")
            warnings.simplefilter("always", TorchIMFWarning)
            return group.main(words, prog_name="torch-imf", standalone_mode=False) or 0
    except click.ClickException as error:
        message, status = " ".join(error.format_message().split()), error.exit_code
        if isinstance(error, click.NoSuchOption) and "." in error.option_name:
            message += " Flags of a part are there where it is chosen: '--scorer contextual'."
        message += f" See '{name} --help'"
    except click.Abort as error:  # As which Click raises what Ctrl-C does, in a new line.
        message, status = str(error.__cause__ or ""), 130
        again = shlex.join(["torch-imf", *(word for word in words if word != "--restart")])
        message = f"{message}. To go on:\n  {again}" if message else "interrupted"
    except (ValueError, RuntimeError, OSError, ImportError) as error:
        message, status = as_typed(str(error), params), 1
    if is_job:
        from torch_imf.data.distributed import is_first_to_tell

        sys.stderr = errors if is_first_to_tell() else sys.stderr
    say(f"{name}: {message}")
    return status
