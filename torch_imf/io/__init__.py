r"""Files: tables, RDF, features, images, downloads, and writing in one step."""

import os
import stat
import sys
import warnings
from contextlib import suppress
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


def check_regular(path: str | os.PathLike[str]) -> None:
    r"""Raises a :class:`ValueError` if a path is that of a pipe or device, which may never end."""
    with suppress(OSError):  # Who opens it will say so.
        mode = os.stat(path).st_mode
        if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):
            raise ValueError(
                f"'{os.fspath(path)}' is no file but a pipe or device. Please write its content to "
                f"a file, and pass that"
            )
