import math
import tarfile

import torch
from torch import Tensor


def read_text(path: str) -> str:
    r"""Reads a UTF-8 file, with its line ends turned into :obj:`"\\n"`.

    Raises:
        ValueError: If the file is not valid UTF-8.
    """
    with open(path, "rb") as f:
        return decode(f.read(), path)


def read_tar(path: str, names: list[str]) -> list[str]:
    r"""Reads text members of a tar archive in memory; nothing is extracted, so
    no name inside the archive can touch the file system.

    Raises:
        ValueError: If the archive lacks one of :obj:`names`.
    """
    texts = {}
    with tarfile.open(path) as archive:
        for member in archive:
            name = member.name.removeprefix("./")
            if member.isfile() and name in names:
                file = archive.extractfile(member)
                assert file is not None
                texts[name] = decode(file.read(), f"{path}:{name}")

    missing = [name for name in names if name not in texts]
    if len(missing) > 0:
        raise ValueError(f"'{path}' holds no {missing}")
    return [texts[name] for name in names]


def decode(content: bytes, file: str) -> str:
    r"""Decodes the content of a UTF-8 file, see :meth:`read_text`."""
    try:
        return content.decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as e:
        line = content[: e.start].count(b"\n") + 1
        raise ValueError(f"'{file}', line {line}: not valid UTF-8 ({e.reason})") from e


def split_rows(text: str, file: str, columns: int, header: bool = False) -> list[list[str]]:
    r"""Splits the lines of a tab separated file. Empty lines are skipped only
    at its end.

    Args:
        text (str): The content of the file.
        file (str): The name of the file, for error messages.
        columns (int): The number of fields in every line.
        header (bool, optional): Whether to leave the first line out.
            (default: :obj:`False`)

    Raises:
        ValueError: If a line has another number of fields.
    """
    rows = [line.split("\t") for line in text.rstrip("\n").split("\n")] if text.strip() else []
    for i, row in enumerate(rows):
        if len(row) != columns:
            raise ValueError(
                f"'{file}', line {i + 1}: expected {columns} fields separated by tabs "
                f"(got {short(row)})"
            )
    return rows[1:] if header else rows


def index_triples(
    rows: list[list[str]],
    node_index: dict[str, int],
    rel_index: dict[str, int],
    file: str,
    offset: int = 1,
) -> Tensor:
    r"""Turns the names of triples into ids.

    Args:
        rows (list[list[str]]): Head, relation and tail of each triple.
        node_index (dict[str, int]): The id of each entity.
        rel_index (dict[str, int]): The id of each relation.
        file (str): The name of the file, for error messages.
        offset (int, optional): The line of the first row in the file.
            (default: :obj:`1`)

    Returns:
        Head, relation and tail ids, of shape :obj:`[3, E]`.

    Raises:
        ValueError: If a name has no id.
    """
    for i, (head, rel, tail) in enumerate(rows):
        if head not in node_index or tail not in node_index or rel not in rel_index:
            unknown = rel if rel not in rel_index else head if head not in node_index else tail
            kind = "relation" if rel not in rel_index else "entity"
            raise ValueError(f"'{file}', line {i + offset}: unknown {kind} {short(unknown)}")
    ids = [[node_index[h], rel_index[r], node_index[t]] for h, r, t in rows]
    return torch.tensor(ids, dtype=torch.long).view(-1, 3).t().contiguous()


def read_pairs(path: str) -> dict[str, str]:
    r"""Reads a file of names and texts, one pair in each line.

    Raises:
        ValueError: If a line cannot be read.
    """
    return {name: text for name, text in split_rows(read_text(path), path, columns=2)}


def read_literals(path: str) -> tuple[list[str], list[str], list[float]]:
    r"""Reads numeric literals: entity, attribute and value in each line.

    Raises:
        ValueError: If a line cannot be read or a value is not a finite number.
    """
    nodes, attributes, values = [], [], []
    for i, (node, attribute, text) in enumerate(split_rows(read_text(path), path, 3)):
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not math.isfinite(value):
            raise ValueError(f"'{path}', line {i + 1}: expected a number (got {short(text)})")
        nodes.append(node)
        attributes.append(attribute)
        values.append(value)
    return nodes, attributes, values


def short(value: object) -> str:
    r"""Returns a quotation of a value that fits an error message."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
