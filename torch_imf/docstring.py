import inspect
import re
from collections.abc import Callable
from typing import Any

#: `name (type, optional): The text, which may go on in lines that are indented further.`
ARGUMENT = re.compile(r"^ {4}(\w+) \([^\n]*?\): (.*?)(?=^ {0,4}\S|\Z)", re.MULTILINE | re.DOTALL)


def argument_help(obj: Callable[..., Any]) -> dict[str, str]:
    r"""Returns what the docstring of a class or a function says about each of
    its arguments, as plain text without its default. A class also has what
    its base classes say.
    """
    out: dict[str, str] = {}
    for owner in reversed(obj.__mro__) if isinstance(obj, type) else [obj]:
        text = inspect.cleandoc(owner.__doc__ or "")
        section = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", text, re.MULTILINE | re.DOTALL)
        if section is not None:
            out |= {name: plain_text(text) for name, text in ARGUMENT.findall(section[1])}
    return out


def plain_text(text: str) -> str:
    r"""Returns a description in reStructuredText as one line of plain text."""
    text = re.sub(r"\(default: (?:[^()]|\([^()]*\))*\)\s*$", "", text.strip())
    text = re.sub(r":math:`(.*?)`", lambda match: plain_math(match[1]), text, flags=re.DOTALL)
    text = re.sub(r":\w+:`(?:~[\w.]*\.)?(.*?)`", r"\1", text, flags=re.DOTALL)
    text = re.sub(r"\*{1,2}(\S.*?)\*{1,2}", r"\1", text)
    return " ".join(text.split())


def plain_math(text: str) -> str:
    r"""Returns a formula without its mark-up, *e.g.*, :obj:`L_adv`."""
    return re.sub(r"[\\{}]", "", re.sub(r"\\(math\w+|tilde|overline)", "", text)).strip()
