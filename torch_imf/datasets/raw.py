r"""The raw files of published graphs: which there are, the folder that holds them, and the layouts
that several of them share.
"""

import os.path as osp
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch_geometric.data.dataset import MISSING
from torch_geometric.io import fs

from torch_imf.data.names import read_ids
from torch_imf.io.atomic import cache_folder, locked
from torch_imf.io.download import RawFile, download
from torch_imf.io.tables import read_lines, read_rows, short, to_columns, to_finite, where

if TYPE_CHECKING:
    import pyarrow as pa

TABLE = osp.join(osp.dirname(osp.realpath(__file__)), "files", "sources.tsv")
OPENKE = ("entity2id", "relation2id", "train2id", "valid2id", "test2id")
IMF = ("entity2id", "relation2id", "train", "val", "test")

Groups = dict[str, list[list[RawFile]]]
Facts = tuple[list[Tensor], list[str], list[str]]
Literals = tuple[list[str], list[str], list[float]]


def raw_files(*names: str) -> list[RawFile]:
    r"""Returns raw files that the table :obj:`files/sources.tsv` lists."""
    out = []
    for name in names:
        start, brace, rest = name.partition("{")
        inner, _, end = rest.partition("}")
        out += [f"{start}{part}{end}" for part in inner.split(",")] if brace else [name]
    return [sources()[name] for name in out]


@cache
def sources() -> dict[str, RawFile]:
    r"""Returns all raw files by name."""
    rows = read_rows(TABLE, 4, header=True)
    return {
        name: RawFile(name, digest, url or None, hand or None) for name, digest, url, hand in rows
    }


class RawFolder:
    r"""The folder of raw files of a dataset, which are grouped by what they are for. A group is a
    list of alternatives, of which the first that can be had is taken.

    Args:
        folder (str): The folder.
        groups (dict[str, list[list[RawFile]]]): The alternatives of each group.
        renew (bool, optional): Whether to look for better alternatives than those that are there.
            (default: :obj:`False`)
    """

    def __init__(self, folder: str, groups: Groups, renew: bool = False) -> None:
        self.folder = folder
        self.groups = groups
        self.renew = renew
        self.taken: dict[str, int] = {}

    def fetch(self, group: str) -> list[str]:
        r"""Brings the files of a group into the folder, and returns their paths. What is there is
        taken as it is, see :meth:`check`.
        """
        alternatives = self.groups.get(group, [[]])
        if group not in self.taken:
            found = self._find(alternatives)
            if found is None:
                with self.lock():
                    found = self._find(alternatives)  # Another process may have fetched it.
                    found = self._download(alternatives) if found is None else found
            self.taken[group] = found
        return [self.path(file.path) for file in alternatives[self.taken[group]]]

    def check(self) -> None:
        r"""Fetches files that do not match their checksums anew."""
        for file in self._taken_files():
            download(file, self.folder)

    def path(self, file: str) -> str:
        r"""Returns the path of a file by its name in the folder."""
        return osp.join(self.folder, file)

    def disk_path(self, file: str) -> str:
        r"""Returns a path on disk for what needs to be there, such as images: in the folder, or in
        the cache if the folder is on another file system or there is none.
        """
        if self.folder.startswith(MISSING) or not fs.isdisk(self.folder):
            return osp.join(cache_folder(), "images", file)
        return self.path(file)

    def has(self, group: str) -> bool:
        r"""Returns whether all files of a group are there."""
        return any(self._has(files) for files in self.groups.get(group, []))

    @property
    def files(self) -> list[str]:
        r"""The names of the files that were taken, in the folder."""
        return list(dict.fromkeys(file.path for file in self._taken_files()))

    @property
    def second_choices(self) -> list[str]:
        r"""A name for each group of which the first choice was not to be had."""
        return [f"{group}.{i + 1}" for group, i in self.taken.items() if i > 0]

    def lock(self) -> AbstractContextManager[None]:
        r"""Returns a block that one process at a time may enter, see
        :meth:`~torch_imf.io.atomic.locked`. It is that of the whole dataset.
        """
        return locked(osp.dirname(self.folder))

    def _taken_files(self) -> list[RawFile]:
        return [x for group, i in self.taken.items() for x in self.groups.get(group, [[]])[i]]

    def _find(self, alternatives: list[list[RawFile]]) -> int | None:
        # Which alternative is to be taken as it is there.
        if self.renew and any(alternatives):
            return None
        return next((i for i, files in enumerate(alternatives) if self._has(files)), None)

    def _has(self, files: list[RawFile]) -> bool:
        return all(fs.exists(self.path(file.path)) for file in files)

    def _download(self, alternatives: list[list[RawFile]]) -> int:
        problems = []
        missing = [sum(not self._has([file]) for file in files) for files in alternatives]
        for i, files in enumerate(alternatives):
            for j, file in enumerate(files):
                try:
                    download(file, self.folder)
                except RuntimeError as e:
                    # The other files have the same fate, and are named rather than waited for:
                    more = [other for other in files[j + 1 :] if not self._has([other])]
                    names = ", ".join(f"'{other.path}' from '{other.origin}'" for other in more)
                    needed = f". Also needed: {names}" if more else ""
                    in_mirror_only = any(x.url is None and x.by_hand is None for x in files)
                    problems.append((missing[i], in_mirror_only, i, f"{e}{needed}"))
                    break
            else:
                return i
        # The least to do for a person, of what a person can do something about:
        raise RuntimeError(min(problems)[-1])

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}('{self.folder}', {self.taken})"


# Layouts ########################################################################################


def read_openke(paths: Sequence[str]) -> Facts:
    r"""Reads a graph in the layout of `OpenKE <https://github.com/thunlp/OpenKE>`_: ids of head,
    tail and relation, under a line that counts them.
    """
    splits = []
    for path in paths[2:5]:
        rows = [line.split() for line in read_lines(path)]
        try:
            (size,) = map(int, rows[0])
            ids = [[int(head), int(rel), int(tail)] for head, tail, rel in rows[1:]]
        except (ValueError, IndexError):
            for i, row in enumerate(rows, start=1):
                if len(row) != (1 if i == 1 else 3) or not all(map(str.isdecimal, row)):
                    raise ValueError(
                        f"{where(path, i)}: expected the ids of a fact (got {short(row)})"
                    ) from None
            raise ValueError(f"'{path}' holds no facts") from None
        if size != len(ids):
            raise ValueError(f"'{path}' does not hold as many facts as it announces")
        splits.append(torch.tensor(ids, dtype=torch.long).view(-1, 3).t().contiguous())
    return splits, read_ids(paths[0]), read_ids(paths[1])


def read_named(paths: Sequence[str], order: tuple[int, int, int] = (0, 1, 2)) -> Facts:
    r"""Reads a graph whose facts are written with names, as in the release of `IMF
    <https://github.com/HestiaSky/IMF-Pytorch>`_, with or without a full stop at the end of a line.
    """
    node_ids, rel_ids = read_ids(paths[0]), read_ids(paths[1])
    splits = []
    for path in paths[2:5]:
        rows = [line.rstrip().removesuffix(" .").split() for line in read_lines(path)]
        for i, row in enumerate(rows, start=1):
            if len(row) != 3:
                raise ValueError(
                    f"{where(path, i)}: expected head, relation and tail (got {short(row)})"
                )
        rows = [[row[column] for column in order] for row in rows]
        splits.append(index_facts(rows, node_ids, rel_ids, path))
    return splits, node_ids, rel_ids


def index_facts(
    rows: Sequence[Sequence[str]],
    node_ids: list[str],
    rel_ids: list[str],
    path: str,
    first: int = 1,
) -> Tensor:
    r"""Returns the ids of head, relation and tail of facts that are written with names, of shape
    :obj:`[3, E]`.
    """
    nodes, rels = ({x: i for i, x in enumerate(names)} for names in (node_ids, rel_ids))
    facts = number_facts(to_columns(rows), nodes, rels)
    size = torch.tensor([len(node_ids), len(rel_ids), len(node_ids)])
    unknown = (facts >= size.view(3, 1)).t().nonzero()
    if unknown.numel() > 0:
        row, column = unknown[0].tolist()
        kind, name = "relation" if column == 1 else "entity", rows[row][column]
        raise ValueError(f"{where(path, row + first)}: unknown {kind} {short(name)}")
    return facts


def read_literals(path: str, sep: str = "\t", header: bool = False) -> Literals:
    r"""Reads numeric literals: entity, attribute and value in each line. Dates count in years."""
    rows = read_rows(path, 3, sep, header)
    values = [
        to_finite(row[2], where(path, line)) for line, row in enumerate(rows, start=1 + header)
    ]
    return [row[0] for row in rows], [row[1] for row in rows], values


def read_links(path: str) -> list[tuple[str, str]]:
    r"""Reads the links of MMKB, :obj:`<Freebase id> <SameAs> <name> .` in each line, as pairs of a
    name and a Freebase id. An entity may have several.
    """
    return [(name, node) for node, _, name, _ in read_rows(path, 4, sep=" ")]


def number_facts(
    columns: Sequence["pa.ChunkedArray"], nodes: dict[str, int], rels: dict[str, int]
) -> Tensor:
    r"""Turns facts that are written with names into ids by first appearance."""
    head, rel, tail = columns
    (head_index, tail_index), (rel_type,) = _number([head, tail], nodes), _number([rel], rels)
    return torch.stack([head_index, rel_type, tail_index])


def _number(columns: Sequence["pa.ChunkedArray"], index: dict[str, int]) -> Tensor:
    r"""Returns the id of each name, and numbers new ones row by row."""
    import pyarrow as pa

    chunks = [chunk for column in columns for chunk in column.chunks]
    coded = pa.chunked_array(chunks, pa.string()).dictionary_encode().combine_chunks()
    names = coded.dictionary.to_pylist()
    code = torch.from_numpy(coded.indices.to_numpy().copy()).long().view(len(columns), -1)
    row = torch.arange(code.numel())
    first = row.new_full((len(names),), row.numel())
    first.scatter_reduce_(0, code.t().flatten(), row, "amin")
    for i in first.argsort().tolist():
        index.setdefault(names[i], len(index))
    return torch.tensor([index[name] for name in names], dtype=torch.long)[code]
