import re
from collections.abc import Iterator

from torch_imf.datasets.io import short
from torch_imf.datasets.lines import read_lines, where

IRI = r"<[^<>\"\s]+>"
BLANK = r"_:[^\s<>\"]+?"
LITERAL = rf"\"(?:[^\"\\]|\\.)*\"(?:@[\w-]+|\^\^{IRI})?"
TRIPLE = re.compile(
    rf"\s*({IRI}|{BLANK})\s*({IRI})\s*(?:({IRI}|{BLANK})|{LITERAL})\s*\.\s*(?:#.*)?"
)
# A surrogate, or a number past the last character, stays as it is:
ESCAPE = re.compile(
    r"\\u((?![Dd][89A-Fa-f])[0-9A-Fa-f]{4})|\\U(000[0-9A-Fa-f]{5}|0010[0-9A-Fa-f]{4})"
)


def read_ntriples(path: str, scope: str = "") -> Iterator[tuple[int, list[str] | None]]:
    r"""Streams the facts of an `N-Triples
    <https://www.w3.org/TR/n-triples/>`_ file, gzipped or not. IRIs lose their
    brackets, and their escapes are resolved.

    Args:
        path (str): The path of the file.
        scope (str, optional): What to add to blank nodes, as those of two files
            are never the same. (default: :obj:`""`)

    Yields:
        The line, and head, relation and tail, or :obj:`None` if the tail is a
        literal rather than an entity.

    Raises:
        ValueError: If a line cannot be read.
    """
    for line, text in enumerate(read_lines(path), start=1):
        if not text.strip() or text.lstrip().startswith("#"):
            continue
        match = TRIPLE.fullmatch(text.rstrip())
        if match is None:
            raise ValueError(
                f"{where(path, line)}: expected '<head> <relation> <tail> .' (got "
                f"{short(text.strip())})"
            )
        head, rel, tail = match.groups()
        yield line, None if tail is None else [to_name(x, scope) for x in (head, rel, tail)]


def to_name(term: str, scope: str = "") -> str:
    r"""Returns an IRI without brackets and escapes, and a blank node with the
    scope of its label.
    """
    if not term.startswith("<"):
        return term + scope
    term = term[1:-1]
    return ESCAPE.sub(lambda match: chr(int(match[1] or match[2], 16)), term)
