r"""Files: tables, RDF, features, images, downloads, and writing in one step."""

import difflib
import os
import stat
import sys
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from importlib.util import find_spec
from types import FrameType

_NOTES: ContextVar[list[str] | None] = ContextVar("notes", default=None)


class TorchIMFWarning(UserWarning):
    r"""What this package warns of."""


def some(items: Sequence[object], most: int = 10) -> str:
    r"""Returns the first of some things, in quotes, and how many more there are."""
    more = f" and {len(items) - most:,} more" if len(items) > most else ""
    return ", ".join(f"'{str(item):.80}'" for item in items[:most]) + more


@contextmanager
def noted() -> Iterator[list[str]]:
    r"""Collects what :meth:`warn` says inside of it, whether it is shown or not: what a reader has
    decided, converted or left out belongs into the report of a graph.
    """
    outer, notes = _NOTES.get(), list[str]()
    token = _NOTES.set(notes)
    try:
        yield notes
    finally:
        _NOTES.reset(token)
        if outer is not None:
            outer += [note for note in notes if note not in outer]


def warn(message: str) -> None:
    r"""Warns of something that the user's line has led to: the one that has called this package,
    however deep inside of it the warning arises. Inside of :meth:`noted`, it is kept, too.
    """
    notes = _NOTES.get()
    if notes is not None and message not in notes:
        notes.append(message)
    user: FrameType = sys._getframe(1)
    frame: FrameType | None = user
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] == "torch_imf":
            user = frame.f_back or frame
        frame = frame.f_back
    where = user.f_code.co_filename, user.f_lineno, user.f_globals.get("__name__")
    registry = user.f_globals.setdefault("__warningregistry__", {})
    warnings.warn_explicit(message, TorchIMFWarning, *where, registry=registry)


def check_regular(path: str | os.PathLike[str]) -> None:
    r"""Raises a :class:`ValueError` if a path is that of a pipe or device, which may never end."""
    with suppress(OSError):  # Who opens it will say so.
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise ValueError(
                f"'{os.fspath(path)}' is no file but a pipe or device. Please write its content to "
                f"a file, and pass that"
            )


def nearest(word: str, choices: Iterable[str]) -> str:
    r"""Returns a sentence that suggests the choice which a word is most like, if it is like any."""
    found = difflib.get_close_matches(word, choices, n=1)
    return f" Did you mean '{found[0]}'?" if found else ""


def require(package: str, what: str, extra: str) -> None:
    r"""Raises an :class:`ImportError` that says how to install a package, as an extra of this one,
    if something needs it and it is not there.
    """
    if find_spec(package) is None:
        raise ImportError(f"{what} need '{package}', run 'pip install \"torch_imf[{extra}]\"'")
