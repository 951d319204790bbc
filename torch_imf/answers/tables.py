import re
from collections.abc import Iterable, Sequence


def format_table(rows: Sequence[Sequence[str]], left: Iterable[int] = ()) -> str:
    r"""Aligns the columns of a table. Columns that hold nothing below their title are left out.

    Args:
        rows (list[list[str]]): The rows, titles first.
        left (list[int], optional): The columns to align to the left rather than to the right.
            (default: :obj:`()`)
    """
    columns = list(zip(*rows, strict=True))
    kept = [i for i, column in enumerate(columns) if any(column[1:])]
    lines = []
    for row in rows:
        cells = []
        for i in kept:
            width = max(map(len, columns[i]))
            cells.append(row[i].ljust(width) if i in left else row[i].rjust(width))
        lines.append("  " + "  ".join(cells).rstrip())
    return "\n".join(lines)


def tsv_line(cells: Iterable[str]) -> bytes:
    r"""Writes a line of cells with tabs between them. Tabs and line breaks within a cell, which
    would make two cells or lines of it, become spaces.
    """
    return ("\t".join(re.sub(r"[\t\r\n]", " ", cell) for cell in cells) + "\n").encode()


def percent(value: float | None) -> str:
    r"""Writes a probability, if there is one, in per cent."""
    if value is None:
        return ""
    return "< 0.1 %" if value < 0.001 else f"{100 * value:.1f} %"
