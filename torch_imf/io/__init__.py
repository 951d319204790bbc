r"""Files: tables, RDF, features, images, downloads, and writing in one step."""

import difflib
import sys
import warnings
from collections.abc import Iterable
from importlib.util import find_spec
from types import FrameType


class TorchIMFWarning(UserWarning):
    r"""What this package warns of."""


def warn(message: str) -> None:
    r"""Warns of something that the user's line has led to: the one that has called this package,
    however deep inside of it the warning arises.
    """
    user: FrameType = sys._getframe(1)
    frame: FrameType | None = user
    while frame is not None:
        if frame.f_globals.get("__name__", "").partition(".")[0] == "torch_imf":
            user = frame.f_back or frame
        frame = frame.f_back
    where = user.f_code.co_filename, user.f_lineno, user.f_globals.get("__name__")
    registry = user.f_globals.setdefault("__warningregistry__", {})
    warnings.warn_explicit(message, TorchIMFWarning, *where, registry=registry)


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
