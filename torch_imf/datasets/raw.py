r"""The raw files of published graphs: which there are, the folder that holds them, and the layouts
that several of them share.
"""

import math
import os.path as osp
import re
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING
from urllib.parse import unquote

import torch
from torch import Tensor
from torch_geometric.data.dataset import MISSING
from torch_geometric.io import fs

from torch_imf.data.names import read_ids
from torch_imf.io import tables
from torch_imf.io.atomic import cache_folder, locked
from torch_imf.io.download import RawFile, download, mirror
from torch_imf.io.quantities import to_number
from torch_imf.io.tables import read_lines, read_rows, short, to_columns, where

if TYPE_CHECKING:
    import pyarrow as pa

TABLE = osp.join(osp.dirname(osp.realpath(__file__)), "files", "sources.tsv")
SHORT_YEAR = re.compile(r"^\d{1,3}(?=-\d+-\d+$)")
OPENKE = "{entity2id,relation2id,train2id,valid2id,test2id}.txt"
IMF = "{entity2id,relation2id,train,val,test}.txt"

Groups = dict[str, list[list[RawFile]]]
Facts = tuple[list[Tensor], list[str], list[str]]
Literals = tuple[list[str], list[str], list[float]]


def raw_files(*names: str) -> list[RawFile]:
    r"""Returns raw files that the table :obj:`files/sources.tsv` lists. One name may stand for
    several, as in :obj:`{train,test}.txt`.
    """
    out = []
    for name in names:
        start, _, rest = name.partition("{")
        inner, _, end = rest.partition("}")
        out += [sources()[f"{start}{part}{end}"] for part in inner.split(",")]
    return out


def derived(name: str) -> Groups:
    r"""Returns what only a mirror has of a dataset: ready features, and an index of images."""
    return {
        "visual": [raw_files(f"{name}/derived/visual_mobilenetv2.npz")],
        "images": [raw_files(f"{name}/derived/entity2image.tsv")],
    }


@cache
def sources() -> dict[str, RawFile]:
    r"""Returns all raw files by name."""
    rows = read_rows(TABLE, 4, header=True)
    return {
        name: RawFile(name, digest, url or None, hand or None) for name, digest, url, hand in rows
    }


class RawFolder:
    r"""The folder of raw files of a dataset, which are grouped by what they are for. A group is a
    list of alternatives, of which the first that can be had is taken, or the first that is there,
    unless the best is to be looked for anew (:obj:`renew`).
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
        options = self.groups.get(group, [[]])
        if group not in self.taken:
            found = self._find(options)
            if found is None:
                with locked(osp.dirname(self.folder)):
                    found = self._find(options)  # Another process may have fetched it.
                    found = self._download(options) if found is None else found
            self.taken[group] = found
        return [self.path(file.path) for file in options[self.taken[group]]]

    def check(self) -> None:
        r"""Fetches files that do not match their checksums anew."""
        for file in self.files:
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

    def may_have(self, group: str) -> bool:
        r"""Returns whether what only mirrors have is there or may be fetched."""
        options = self.groups.get(group, [])
        return any(map(self._has, options)) or (len(options) > 0 and mirror("") is not None)

    @property
    def files(self) -> list[RawFile]:
        r"""The files that were taken."""
        taken = [self.groups.get(group, [[]])[i] for group, i in self.taken.items()]
        return list(dict.fromkeys(file for files in taken for file in files))

    def _find(self, options: list[list[RawFile]]) -> int | None:
        # Which alternative is to be taken as it is there.
        if self.renew and any(options):
            return None
        return next((i for i, files in enumerate(options) if self._has(files)), None)

    def _has(self, files: list[RawFile]) -> bool:
        return all(fs.exists(self.path(file.path)) for file in files)

    def _download(self, options: list[list[RawFile]]) -> int:
        problems = []
        for i, files in enumerate(options):
            try:
                for file in files:
                    download(file, self.folder)
                return i
            except RuntimeError as e:
                # The other files have the same fate, and are named rather than waited for:
                more = [x for x in files[files.index(file) + 1 :] if not self._has([x])]
                names = ", ".join(f"'{x.path}' from '{x.origin}'" for x in more)
                in_mirror_only = any(x.url is None and x.by_hand is None for x in files)
                problems.append((in_mirror_only, f"{e}. Also needed: {names}" if more else f"{e}"))
        # That of what a person can do something about:
        raise RuntimeError(min(problems, key=lambda problem: problem[0])[1])


# Layouts ########################################################################################


def read_release(paths: Sequence[str], order: tuple[int, int, int] = (0, 1, 2)) -> Facts:
    r"""Reads a graph from its entities, its relations, and three files of facts. These are written
    with names, as in the release of `IMF <https://github.com/HestiaSky/IMF-Pytorch>`_ (head,
    relation and tail, or in another order, with or without a full stop at the end of a line), or
    with numbers, as in that of `OpenKE <https://github.com/thunlp/OpenKE>`_ (head, tail and
    relation, under a line that counts them).
    """
    ids = [read_ids(path) for path in paths[:2]]
    splits = []
    for path in paths[2:5]:
        rows = [line.rstrip().removesuffix(" .").split() for line in read_lines(path)]
        count = rows.pop(0) if rows and len(rows[0]) == 1 else None
        first = 1 + (count is not None)
        bad = next((i for i, row in enumerate(rows) if len(row) != 3), None)
        if bad is not None:
            line, row = where(path, bad + first), short(rows[bad])
            raise ValueError(f"{line}: expected head, relation and tail (got {row})")
        if not rows or count not in (None, [str(len(rows))]):
            raise ValueError(f"'{path}' does not hold as many facts as it announces, or none")
        names = ids if count is None else [list(map(str, range(len(x)))) for x in ids]
        columns = order if count is None else (0, 2, 1)
        rows = [[row[column] for column in columns] for row in rows]
        splits.append(index_facts(rows, names[0], names[1], path, first))
    return splits, ids[0], ids[1]


def index_facts(
    rows: Sequence[Sequence[str]],
    node_ids: list[str],
    rel_ids: list[str],
    path: str,
    first: int = 1,
) -> Tensor:
    r"""Returns the ids of head, relation and tail of facts that are written with names, of shape
    :obj:`[3, E]`. The first of them is in line :obj:`first` of a file.
    """
    nodes, rels = ({x: i for i, x in enumerate(names)} for names in (node_ids, rel_ids))
    facts = number_facts(to_columns(rows), nodes, rels)
    size = torch.tensor([len(node_ids), len(rel_ids), len(node_ids)])
    unknown = (facts >= size.view(3, 1)).t().nonzero()
    if unknown.numel() > 0:
        names = [
            f"{'relation' if column == 1 else 'entity'} {short(rows[row][column])}"
            for row, column in unknown.tolist()
        ]
        line, others = int(unknown[0, 0]) + first, list(dict.fromkeys(names))[1:]
        more = f" (and {len(others):,} more: {', '.join(others[:9])})" if others else ""
        raise ValueError(f"{where(path, line)}: unknown {names[0]}{more}")
    return facts


def read_literals(path: str, sep: str = "\t", header: bool = False) -> Literals:
    r"""Reads numeric literals: entity, attribute and value in each line. Dates count in years, of
    any number of digits.
    """
    rows = read_rows(path, 3, sep, header)
    dates = (SHORT_YEAR.sub(lambda match: match[0].zfill(4), row[2]) for row in rows)
    values = [to_number(text) for text in dates]
    for line, (value, row) in enumerate(zip(values, rows, strict=True), start=1 + header):
        if not math.isfinite(value):
            text = short(row[2])
            raise ValueError(f"{where(path, line)}: expected a number or a date (got {text})")
    return [row[0] for row in rows], [row[1] for row in rows], values


def read_table(path: str) -> dict[str, list[str]]:
    r"""Reads a table of texts: entity, name, short and long description under a header."""
    rows = read_rows(path, 4, header=True)
    return {node: [tidy(text) for text in texts] for node, *texts in rows}


def tidy(text: str) -> str:
    r"""Returns a text without escapes and doubled spaces."""
    return re.sub(r"\s+", " ", text.replace("\\n", " ").replace("\\", "")).strip()


def join(*parts: str) -> str:
    r"""Returns the text of an entity: its name and its descriptions."""
    return ". ".join(part for part in parts if part)


def local_name(uri: str) -> str:
    r"""Returns the name of an entity or a relation in words: its URI without the base."""
    uri = uri.strip("<>")
    if uri.startswith("http"):
        uri = re.split(r"/resource/|/ontology/|[#/](?=[^#/]+$)", uri, maxsplit=1)[1]
    return tidy(unquote(uri).replace("_", " "))


def number_facts(
    columns: Sequence["pa.ChunkedArray | pa.Array"], nodes: dict[str, int], rels: dict[str, int]
) -> Tensor:
    r"""Turns facts that are written with names into ids by first appearance."""
    head, rel, tail = columns
    (head_index, tail_index), (rel_type,) = _number([head, tail], nodes), _number([rel], rels)
    return torch.stack([head_index, rel_type, tail_index])


def codes(column: "pa.DictionaryArray") -> Tensor:
    r"""Returns the number of each value of a column."""
    return torch.from_numpy(column.indices.to_numpy().copy())


def _number(columns: Sequence["pa.ChunkedArray | pa.Array"], index: dict[str, int]) -> Tensor:
    r"""Returns the id of each name, and numbers new ones row by row."""
    coded = tables.coded(*columns)
    names = coded.dictionary.to_pylist()
    code = codes(coded).long().view(len(columns), -1)
    row = torch.arange(code.numel())
    first = row.new_full((len(names),), row.numel())
    first.scatter_reduce_(0, code.t().flatten(), row, "amin")
    for i in first.argsort().tolist():
        index.setdefault(names[i], len(index))
    return torch.tensor([index[name] for name in names], dtype=torch.long)[code]
