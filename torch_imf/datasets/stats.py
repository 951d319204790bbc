import re


def read_stats(cls: type) -> list[dict[str, str]]:
    r"""Returns the rows of the table of statistics in the docstring of a
    dataset, one for each of its versions: column name to entry.
    """
    _, _, table = (cls.__doc__ or "").partition("**STATS:**")
    rows: list[list[str]] = []
    for start, entry in re.findall(r"^\s*(\*\s+)?-\s+(.+?)\s*$", table, flags=re.MULTILINE):
        if start:
            rows.append([])
        rows[-1].append(entry)
    return [dict(zip(rows[0], row, strict=True)) for row in rows[1:]]
