import re
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

from torch_imf.datasets.io import short
from torch_imf.datasets.lines import PARQUET, suffix, where


@dataclass(frozen=True)
class Column:
    r"""A column of a table.

    Args:
        name (str): What it holds, for error messages.
        words (tuple[str, ...]): The names that it goes by in a header, the
            best first.
        required (bool, optional): Whether a table needs to have it.
            (default: :obj:`True`)
        blank (bool, optional): Whether its fields may be empty.
            (default: :obj:`False`)
    """

    name: str
    words: tuple[str, ...]
    required: bool = True
    blank: bool = False


def find_header(
    path: str,
    row: list[str],
    columns: Sequence[Column],
    header: bool | None,
) -> list[int | None] | None:
    r"""Returns where each column is if the first row of a table names them
    all, and :obj:`None` if it does not.

    Raises:
        ValueError: If it looks like a header that lacks a column or has one
            twice.
    """
    if header is False and suffix(path) not in PARQUET:
        return None
    names = [simplify(field) for field in row]
    place = [
        next((names.index(word) for word in map(simplify, column.words) if word in names), None)
        for column in columns
    ]
    absent = [
        column.name
        for column, index in zip(columns, place, strict=True)
        if index is None and column.required
    ]
    if absent and not words_of(columns).issuperset(names):
        return None  # A fact, or a header of other words.
    words = {simplify(word) for column in columns for word in column.words}
    twice = [name for name in names if name in words and names.count(name) > 1]
    if absent or twice:
        problem = f"has {short(twice[0])} twice" if twice else f"lacks the {absent[0]}"
        raise ValueError(
            f"{where(path, 1)}: the header {problem} (got {short(row)}). If this is no header, "
            f"pass 'header=False'"
        )
    others = [field for i, field in enumerate(row) if i not in place]
    if others:
        warnings.warn(f"'{path}': the columns {others} are left out", stacklevel=4)
    return place


def simplify(field: str) -> str:
    r"""Returns the name of a column without case and what separates words."""
    return re.sub(r"[\W_]+", "", field).lower() or field.strip()


def words_of(columns: Sequence[Column]) -> set[str]:
    r"""Returns the names of columns, without letters, which may be anything."""
    words = {simplify(word) for column in columns for word in column.words}
    return {word for word in words if len(word) > 1}


def warn_of_words(path: str, row: list[str], columns: Sequence[Column], named: bool) -> None:
    r"""Warns of a first row that names some columns, but not all of them."""
    known = [field.strip() for field in row if simplify(field) in words_of(columns)]
    if known:
        names = ", ".join(column.name for column in columns if column.required)
        reading = f"columns that are read as {names}, in this order" if named else "data"
        hint = f"names for all of them ({names})" if named else "'header=True'"
        other = "" if named else ", and otherwise 'header=False'"
        warnings.warn(
            f"{where(path, 1)}: {short(row)} are taken for {reading}, although {short(known[0])} "
            f"is the name of a column. If this is a header, pass {hint}{other}",
            stacklevel=4,
        )
