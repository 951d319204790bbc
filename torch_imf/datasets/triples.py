from array import array
from collections import Counter
from collections.abc import Sequence

import torch
from torch import Tensor

from torch_imf.datasets.fields import FieldTable
from torch_imf.datasets.io import read_text, short

OPENKE = ("entity2id", "relation2id", "train2id", "valid2id", "test2id")
IMF = ("entity2id", "relation2id", "train", "val", "test")

BLOCK = 2**26  # Characters that are read at once, which bounds memory.

Facts = tuple[list[str], list[str], list[Tensor]]


def read_openke(paths: Sequence[str]) -> Facts:
    r"""Reads a graph in the layout of `OpenKE
    <https://github.com/thunlp/OpenKE>`_, ids under a line that counts them.

    Args:
        paths (list[str]): The paths of the files :obj:`OPENKE`, in this order;
            others may follow.

    Returns:
        The names of entities, those of relations, and the facts of each split,
        of shape :obj:`[3, E]` (head, relation, tail).

    Raises:
        ValueError: If a file is malformed.
    """
    nodes, rels, *splits = paths[:5]
    return read_ids(nodes), read_ids(rels), [read_id_triples(split) for split in splits]


def read_named(paths: Sequence[str], order: tuple[int, int, int] = (0, 1, 2)) -> Facts:
    r"""Reads a graph whose facts are written with names, as in the release of
    `IMF <https://github.com/HestiaSky/IMF-Pytorch>`_.

    Args:
        paths (list[str]): The paths of the files :obj:`IMF`, in this order;
            others may follow.
        order (tuple[int, int, int], optional): The columns of head, relation
            and tail. (default: :obj:`(0, 1, 2)`)

    Returns:
        As :meth:`read_openke`.

    Raises:
        ValueError: If a file is malformed, or a name has no id.
    """
    nodes, rels, *splits = paths[:5]
    node_ids, rel_ids = read_ids(nodes), read_ids(rels)
    node_index = {node: i for i, node in enumerate(node_ids)}
    rel_index = {rel: i for i, rel in enumerate(rel_ids)}
    triples = [read_name_triples(split, node_index, rel_index, order) for split in splits]
    return node_ids, rel_ids, triples


def read_ids(path: str) -> list[str]:
    r"""Reads the names of entities or relations in the order of their ids: a
    name and an id in each line, with any white space in between, and with or
    without a line before them that says how many there are.

    Raises:
        ValueError: If a line cannot be read, ids are not
            :math:`0, 1, \ldots`, a name occurs twice, or their number is not
            the one stated.
    """
    lines, offset = split_count(path)
    names: dict[int, str] = {}
    for i, line in enumerate(lines):
        fields = line.rsplit(None, 1)
        if len(fields) != 2 or not fields[1].isdecimal():
            raise ValueError(
                f"'{path}', line {i + offset}: expected a name and an id (got {short(line)})"
            )
        if int(fields[1]) in names:
            raise ValueError(f"'{path}', line {i + offset}: the id {fields[1]} is taken")
        names[int(fields[1])] = fields[0]
    if set(names) != set(range(len(names))):
        first = next(i for i in range(len(names)) if i not in names)
        raise ValueError(f"'{path}': no name has the id {first}, but {len(names)} have one")
    out = [names[i] for i in range(len(names))]
    if len(set(out)) < len(out):
        twice = Counter(out).most_common(1)[0][0]
        raise ValueError(f"'{path}': the name {short(twice)} occurs twice")
    return out


def read_id_triples(path: str) -> Tensor:
    r"""Reads facts as ids in the layout of OpenKE: a line that says how many
    there are, and then head, tail and relation in each line.

    Returns:
        Head, relation and tail ids, of shape :obj:`[3, E]`.

    Raises:
        ValueError: If a line cannot be read, or their number is not the one
            stated.
    """
    lines, offset = split_count(path)
    try:
        rows = [[int(head), int(rel), int(tail)] for head, tail, rel in map(str.split, lines)]
    except ValueError:
        for i, line in enumerate(lines):
            if len(line.split()) != 3 or not all(map(str.isdecimal, line.split())):
                raise ValueError(
                    f"'{path}', line {i + offset}: expected the ids of head, tail and relation "
                    f"(got {short(line)})"
                ) from None
        raise
    return torch.tensor(rows, dtype=torch.long).view(-1, 3).t().contiguous()


def read_name_triples(
    path: str,
    node_index: dict[str, int],
    rel_index: dict[str, int],
    order: tuple[int, int, int] = (0, 1, 2),
) -> Tensor:
    r"""Reads facts as names with white space in between, and with or without a
    full stop at the end of a line.

    Args:
        path (str): The path of the file.
        node_index (dict[str, int]): The id of each entity.
        rel_index (dict[str, int]): The id of each relation.
        order (tuple[int, int, int], optional): The columns of head, relation
            and tail. (default: :obj:`(0, 1, 2)`)

    Returns:
        Head, relation and tail ids, of shape :obj:`[3, E]`.

    Raises:
        ValueError: If a line cannot be read, or a name has no id.
    """
    rows = []
    for i, line in enumerate(read_text(path).rstrip("\n").split("\n")):
        fields = line.removesuffix(" .").split()
        if len(fields) != 3:
            raise ValueError(
                f"'{path}', line {i + 1}: expected head, relation and tail (got {short(line)})"
            )
        rows.append([fields[column] for column in order])
    return index_triples(rows, node_index, rel_index, path)


def split_count(path: str) -> tuple[list[str], int]:
    r"""Returns the lines of a file without the number of lines that may come
    first, and the number of the first line returned.

    Raises:
        ValueError: If this is not their number.
    """
    lines = read_text(path).rstrip("\n").split("\n")
    if not lines[0].strip().isdecimal():
        return lines, 1
    if int(lines[0]) != len(lines) - 1:
        raise ValueError(
            f"'{path}' holds {len(lines) - 1} lines rather than the {int(lines[0])} it announces"
        )
    return lines[1:], 2


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


def number_triples(
    text: str,
    node_index: dict[str, int],
    rel_index: dict[str, int],
    file: str,
) -> Tensor:
    r"""Turns facts as names, separated by tabs, into ids by first appearance.

    Args:
        text (str): Head, relation and tail in each line.
        node_index (dict[str, int]): The id of each entity, which new ones are
            added to.
        rel_index (dict[str, int]): The id of each relation, likewise.
        file (str): The name of the file, for error messages.

    Returns:
        Head, relation and tail ids, of shape :obj:`[3, E]`.

    Raises:
        ValueError: If a line cannot be read.
    """
    end = len(text)
    while text.endswith("\n", 0, end):
        end -= 1
    out, start, line = [torch.empty(3, 0, dtype=torch.long)], 0, 1
    while start < end and not text.isspace():
        stop = text.find("\n", start + BLOCK, end)
        block = text[start : stop if stop >= 0 else end]
        try:
            fields = FieldTable(block)
            (nodes, node), (rels, rel) = fields.distinct([0, 2]), fields.distinct([1])
        except ValueError:  # Line by line, to tell which one is wrong, if any.
            out.append(number_lines(block.split("\n"), node_index, rel_index, file, line))
        else:
            node, rel = add_names(nodes, node_index)[node], add_names(rels, rel_index)[rel]
            out.append(torch.stack([node[:, 0], rel[:, 0], node[:, 1]]))
        start, line = start + len(block) + 1, line + out[-1].size(1)
    return torch.cat(out, dim=1)


def add_names(names: list[str], index: dict[str, int]) -> Tensor:
    r"""Numbers those names that have no id yet, and returns the id of each."""
    ids = [index.setdefault(name, len(index)) for name in names]
    return torch.tensor(ids, dtype=torch.long)


def number_lines(
    lines: list[str],
    node_index: dict[str, int],
    rel_index: dict[str, int],
    file: str,
    offset: int = 1,
) -> Tensor:
    r"""Does what :meth:`number_triples` does line by line, and tells which one
    cannot be read. The first one is the line :obj:`offset` of the file.
    """
    ids = array("q")
    for i, line in enumerate(lines):
        fields = line.split("\t")
        if len(fields) != 3:
            raise ValueError(
                f"'{file}', line {i + offset}: expected 3 fields separated by tabs "
                f"(got {short(line)})"
            )
        head, rel, tail = fields
        ids.append(node_index.setdefault(head, len(node_index)))
        ids.append(rel_index.setdefault(rel, len(rel_index)))
        ids.append(node_index.setdefault(tail, len(node_index)))
    return torch.tensor(ids, dtype=torch.long).view(-1, 3).t().contiguous()
