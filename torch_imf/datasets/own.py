import difflib
import math
import os
import os.path as osp
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache, partial
from itertools import compress
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, TypeAlias, TypedDict
from urllib.parse import unquote

import torch
from torch import Tensor
from torch_geometric.data import Data

from torch_imf.data.audit import SPLITS
from torch_imf.data.index import TripletIndex
from torch_imf.data.names import UNKNOWN, NameIndex, normalize, read_ids, unbracketed
from torch_imf.data.split import check_shares, draw_splits, inductive_split
from torch_imf.datasets.base import Encoder, Given, KGDataset, Record
from torch_imf.datasets.foreign import FOREIGN, as_frame, read_foreign
from torch_imf.datasets.numbers import ENTITY, find_layout
from torch_imf.datasets.raw import Literals, codes, join
from torch_imf.encoders import PixelEncoder, default_text_encoder
from torch_imf.io import noted, some, tables, warn
from torch_imf.io.facts import TYPES, read_fact_table, split_types
from torch_imf.io.hash import hash_content
from torch_imf.io.images import ARCHIVES, INDEX, find_images, image_names, read_index
from torch_imf.io.quantities import MISSING, to_numbers
from torch_imf.io.rdf import FORMATS, Content, read_rdf
from torch_imf.io.tables import FRAME, GRAPHS, SEPARATORS, TABLES, Column, short, suffix, where

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    from typing_extensions import Unpack

Path = str | os.PathLike[str]
Paths: TypeAlias = Path | Sequence[Path]
Source: TypeAlias = "Path | pd.DataFrame | Sequence[Sequence[str]]"
Triples: TypeAlias = "Source | Iterable[Source] | Mapping[str, Source]"
Counts = dict[str, int]

# The argument that holds each modality:
CONTENT = {"text": "texts", "visual": "images", "numeric": "numbers"}
SHARES = (0.8, 0.1, 0.1)
HEADERS = ("triples", "texts", "numbers")
FACT_FORMATS = (*TABLES, *GRAPHS, *FORMATS)
# How files are called in a folder, and their formats. No suffix is that of a folder:
NAMED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "triples": (("facts", "triples", "graph", "edges"), FACT_FORMATS),
    "train": (("train", "train2id"), FACT_FORMATS),
    "val": (("valid", "val", "validation", "dev", "valid2id"), FACT_FORMATS),
    "test": (("test", "test2id"), FACT_FORMATS),
    "texts": (
        ("texts", "text", "descriptions", "description", "entity2textlong", "entity2text", "nodes"),
        TABLES,
    ),
    "images": (
        ("images", "image", "pictures", "picture", "photos", "img", "imgs"),
        ("", ".tsv", ".txt", *ARCHIVES),
    ),
    "numbers": (("numbers", "number", "numeric", "numerical", "numeric_literals"), TABLES),
}
OPENKE_NAMES = ("entity2id", "relation2id")
# What is not read where there is another: KG-BERT has both of the first.
RIVALS = {"entity2text": {"entity2textlong"}, "nodes": {"texts", "text", "descriptions"}}
RIVALS |= dict.fromkeys(("graph", "edges"), {"facts", "triples", "train"})
KINDS = {name: kind for kind, (names, _) in NAMED.items() for name in names}

# As for facts, in common languages:
NAMES = (
    *("name", "label", "title", "nom", "nombre", "nome", "naam", "namn", "navn", "nazwa", "имя"),
    *("название", "名称", "名字", "名前", "이름"),
)
WORDS = (
    "text description abstract summary comment texte texto testo tekst beschreibung descripción "
    "descrição descrizione beschrijving opis текст описание 文本 描述 テキスト 説明 텍스트 설명"
)
TEXTS = (
    Column("entity", (*ENTITY, "id", "node", "key", "uri", "iri", "entity_id", "node_id", *NAMES)),
    # Of a table of names and types alone, names are the texts, and of types alone, these:
    Column("text", (*WORDS.split(), *NAMES, *TYPES), True, True, False),
    Column("name", NAMES, required=False, ids=False),
    Column("type", TYPES, required=False, ids=False),
)


class Options(TypedDict, total=False):
    r"""The arguments of :class:`MultimodalKG` apart from its files."""

    shares: tuple[float, float, float]
    seed: int
    header: bool | None | Mapping[str, bool]
    columns: str | Sequence[str | int] | None
    strict: bool
    scheme: str
    encoders: Mapping[str, Given] | None
    root: str | None
    transform: Callable | None
    pre_transform: Callable | None
    force_reload: bool


class MultimodalKG(KGDataset):
    r"""A multimodal knowledge graph from files of your own: facts, texts, images and numbers.

    .. code-block:: python

        dataset = MultimodalKG.from_files("facts.tsv", "texts.tsv", "images/")
        print(dataset.report())
        data = dataset[0]

    Tables are TSV (:obj:`.tsv`, :obj:`.txt`), CSV, JSON, JSONL, Parquet or Excel (with
    :obj:`openpyxl`); all text files may be gzipped. A repeated fact counts once.

    Args:
        triples (str, DataFrame, array, tuple or dict): The facts: a table of head, relation and
            tail, GraphML, or RDF (N-Triples, Turtle, N-Quads, TriG, RDF/XML or JSON-LD, whose
            literals are names, texts and numbers). Ready splits are a folder of :obj:`train`,
            :obj:`valid` and :obj:`test` files, three files (or tables) in this order, or a
            dictionary of :obj:`"train"`, :obj:`"val"` and :obj:`"test"`, or a table with a column
            :obj:`split` that says so of each fact. A graph of NetworkX and a factory of PyKEEN are
            tables as well, and :obj:`"pykeen:codexsmall"` and :obj:`"ogbl-biokg"` are datasets of
            PyKEEN and OGB.
        texts (str or list, optional): A table of entity and text (and name, if its header says so),
            or JSON (:obj:`{"entity": "text"}`), or several of them, of which the last one that has
            an entity counts. (default: :obj:`None`)
        images (str, optional): A folder of :obj:`<entity>.png` or :obj:`<entity>/<any>.jpg`, an
            index file or an archive, see :class:`KGDataset`. (default: :obj:`None`)
        numbers (str, optional): A table of entity, attribute and value (and unit), or of entities
            and a column for each attribute, which its header names. Values are numbers, dates or
            times, or missing. (default: :obj:`None`)
        shares (tuple[float, float, float], optional): The shares of training, validation and test
            facts of a single file. They are drawn such that every entity and relation is in
            training, whatever the order of lines. Of :obj:`scheme="inductive"`, they are shares of
            the entities, whose facts may be in several files. (default: :obj:`(0.8, 0.1, 0.1)`)
        seed (int, optional): The seed of the draw. (default: :obj:`0`)
        header (bool or dict, optional): Whether all tables begin with a header, or those of
            :obj:`"triples"`, :obj:`"texts"` and :obj:`"numbers"`. If :obj:`None`, the first line is
            one if it names all columns, as :obj:`head`, :obj:`relation`, :obj:`tail` do, and, in a
            table of facts, its cells do not recur as those of a fact do. (default: :obj:`None`)
        columns (str or list, optional): The columns of head, relation and tail in tables of facts,
            by their names or their places from 1, as in :obj:`"subject,verb,object"` or
            :obj:`"1,3,2"`. By default, names and what recurs tell them. (default: :obj:`None`)
        strict (bool, optional): Whether texts and numbers of an entity that is in no fact, and
            values that are no numbers, are an error, rather than left out. (default: :obj:`True`)
        encoders (dict, optional): The encoders of :obj:`"text"`, :obj:`"visual"` and
            :obj:`"numeric"`, as in :class:`KGDataset`; a file of features takes the place of
            images, say. That of texts is :obj:`TfidfEncoder()`, with MiniLM beside it if that is on
            this machine (:meth:`~torch_imf.encoders.default_text_encoder`); that of images is
            :obj:`PixelEncoder()`, which knows colour and layout only: for photographs, pass
            :obj:`{"visual": VisualEncoder()}`. (default: :obj:`None`)
        root (str, optional): The folder to keep the processed file in, which is made again if a
            file or an argument changes. Without it, the graph is built in memory. (default:
            :obj:`None`)
        scheme, transform, pre_transform, force_reload: As in :class:`KGDataset`.

    Raises:
        ValueError: If a file or a line of it cannot be read, or an argument is not valid.
    """

    aliases: ClassVar[dict] = {}

    def __init__(
        self,
        triples: Triples,
        texts: Paths | None = None,
        images: Path | None = None,
        numbers: Path | None = None,
        shares: tuple[float, float, float] = SHARES,
        seed: int = 0,
        header: bool | None | Mapping[str, bool] = None,
        columns: str | Sequence[str | int] | None = None,
        strict: bool = True,
        scheme: str = "original",
        encoders: Mapping[str, Given] | None = None,
        root: str | None = None,
        transform: Callable | None = None,
        pre_transform: Callable | None = None,
        force_reload: bool = False,
    ) -> None:
        self.triples = to_sources(triples)
        self.texts_paths = as_list(texts)
        self.numbers_path, images_path = (
            None if path is None else as_path(path) for path in (numbers, images)
        )
        for path in self._tables():
            if not osp.isfile(path):
                raise ValueError(f"There is no file '{path}'")
        is_divided = len(self.triples) > 1 and scheme != "inductive"
        if check_shares(shares) != SHARES and is_divided:
            raise ValueError(f"'shares' divide one file of facts, not those of {self.triples}")
        listed = columns.split(",") if isinstance(columns, str) else list(columns or ())
        self.columns = [str(x).strip() for x in listed] or None
        if len(listed) not in (0, 3) or len(set(listed)) < len(listed):
            raise ValueError(
                f"Invalid 'columns' argument (got {columns!r}), expected those of head, relation "
                f"and tail, by names or places, as in '1,3,2'"
            )
        self.header = header if isinstance(header, Mapping) else dict.fromkeys(HEADERS, header)
        are_flags = all(isinstance(x, bool | None) for x in self.header.values())
        if not are_flags or not set(self.header) <= set(HEADERS):
            raise ValueError(
                f"Invalid 'header' argument (got {header!r}), expected True, False, None, or a "
                f"dictionary of these for some of {list(HEADERS)}"
            )
        self.shares, self.seed, self.strict = shares, seed, strict
        chosen: dict[str, Given] = {**dict.fromkeys(CONTENT, "auto"), **(encoders or {})}
        if len(chosen) > len(CONTENT):
            raise ValueError(
                f"Invalid 'encoders' argument (got the keys {list(encoders or ())}), expected some "
                f"of {list(CONTENT)}"
            )
        files = {"text": texts, "visual": images, "numeric": numbers}
        # Whether RDF holds texts, images and numbers is known once it is read:
        rdf = any(suffix(x) in FORMATS for x in self.triples if isinstance(x, str))
        maybe = {x for x in files if rdf and files[x] is None}
        self.modalities = tuple(x for x in files if files[x] is not None or x in maybe)
        self._maybe = {x for x in maybe if chosen[x] == "auto"}
        self._texts: list[str | None] | None = None
        self._literals: Literals | None = None
        self._images: list[tuple[str, str]] | None = None
        text, visual, numeric = (chosen[modality] for modality in CONTENT)
        rest = (transform, pre_transform, force_reload)
        super().__init__(root, None, scheme, text, visual, numeric, images_path, *rest)
        self._forget({x for x in self._maybe if f"x_{x}" not in self._data})

    @classmethod
    def from_files(
        cls,
        triples: Triples,
        texts: Paths | None = None,
        images: Path | None = None,
        numbers: Path | None = None,
        **options: "Unpack[Options]",
    ) -> "MultimodalKG":
        r"""Reads a graph from files. All arguments are those of the class."""
        return cls(triples, texts, images, numbers, **options)

    @classmethod
    def from_folder(
        cls,
        folder: Path,
        texts: Paths | None = None,
        images: Path | None = None,
        numbers: Path | None = None,
        **options: "Unpack[Options]",
    ) -> "MultimodalKG":
        r"""Reads a graph from what a folder holds: facts (:obj:`facts.*`, :obj:`triples.*`,
        :obj:`edges.*` or :obj:`graph.*`, or the ready splits :obj:`train.*`, :obj:`valid.*`,
        :obj:`val.*` or :obj:`dev.*`, and :obj:`test.*`), and what there is of texts
        (:obj:`texts.*`, :obj:`descriptions.*`, :obj:`nodes.*` or :obj:`entity2text.*`), images (a
        folder, archive or index file :obj:`images`, :obj:`pictures` or :obj:`photos`) and numbers
        (:obj:`numbers.*` or :obj:`numeric.*`), in the singular or plural. Tables for neo4j-admin
        are facts and texts by their headers, under any name. A file that is given takes the place
        of that in the folder, and what is not read is told. All other arguments are those of the
        class.

        Raises:
            ValueError: If there are no facts, or two files for one thing, and as the class.
        """
        paths = {"texts": texts, "images": images, "numbers": numbers}
        given = {name: path for name, path in paths.items() if path is not None}
        with noted() as notes:
            known = {**given, "root": options.get("root")}
            files = find_content(osp.expanduser(os.fspath(folder)), known)
            out = cls(files.pop("triples"), **{**files, **given}, **options)  # type: ignore[arg-type]
        out.notes = notes
        return out

    @property
    def revision(self) -> str:
        # All settings, and the places, sizes and times of the files:
        parts = [repr((self.shares, self.seed, self.header, self.columns, self.strict))]
        parts += [x.to_csv() for x in self.triples if not isinstance(x, str)]
        for path in self._tables():
            info = os.stat(path)
            parts.append(f"{osp.abspath(path)} {info.st_size} {info.st_mtime_ns}")
        return hash_content("\n".join(parts))[:8]

    def names(self, data: Data | None = None) -> NameIndex:
        data = self._data if data is None else data
        return index_names(data.node_ids, data.node_names)

    def default_encoder(self, modality: str) -> Encoder | None:
        if modality == "visual" and modality in self.modalities:
            return PixelEncoder()
        if modality == "text" and modality in self.modalities:
            return default_text_encoder()
        return super().default_encoder(modality)

    def read(self) -> Record:
        facts = read_facts(self.triples, self.header.get("triples"), self.columns)
        splits, node_ids, rel_ids, sources = facts[:4]
        if len(splits) == 1 and self.scheme == "inductive":
            splits = [splits[0], *torch.empty(2, 3, 0, dtype=torch.long)]
        elif self.shares != SHARES and len(self.triples) < len(splits):
            raise ValueError(
                f"'shares' divide facts, but '{next(iter(sources))}' has a column 'split', which "
                f"says so of each: leave one of them out"
            )
        elif len(splits) == 1:
            try:
                splits = draw_splits(splits[0], self.shares, len(node_ids), len(rel_ids), self.seed)
            except ValueError as e:
                how = "; ".join(filter(None, facts.columns.values()))
                raise ValueError(f"{e}{how and f' (facts were read so: {how})'}") from e
        names = [facts.names.get(x) or to_label(x) for x in node_ids]
        rel_names = [facts.rel_names.get(x) or to_label(x) for x in rel_ids]
        types = [sorted(set(facts.types.get(x, ()))) for x in node_ids]
        # Tables come before what RDF says:
        labels, texts = facts.content.names, facts.content.texts
        self._texts = [None] * len(node_ids)
        if labels or texts:
            self._texts = [join(labels.get(x, ""), texts.get(x, "")) or None for x in node_ids]
        for path in self.texts_paths:
            index = index_names(node_ids, names)
            args = (path, index, self.header.get("texts"), self.strict)
            own_names, own_texts, own_types, sources[path] = read_texts(*args)
            types = [x or y for x, y in zip(own_types, types, strict=True)]
            names = [own or name for own, name in zip(own_names, names, strict=True)]
            self._texts = [own or x for own, x in zip(own_texts, self._texts, strict=True)]
        numbers: Literals = ([], [], [])
        self._literals = numbers
        self._images = facts.images
        about = names, rel_names, sources, facts.columns
        record = Record(splits, node_ids, rel_ids, *about, types if any(types) else None)
        if self.numbers_path is None and not facts.content.numbers:
            return record
        index = index_names(node_ids, names)
        if self.numbers_path is not None:
            args = (self.numbers_path, index, self.header.get("numbers"), self.strict)
            numbers, sources[self.numbers_path] = read_numbers(*args)
        known = set(node_ids)
        given = {(index.find(node), attribute) for node, attribute, _ in zip(*numbers, strict=True)}
        for entry in facts.content.numbers:
            if entry[0] in known and (index.find(entry[0]), entry[1]) not in given:
                numbers[0].append(entry[0])
                numbers[1].append(entry[1])
                numbers[2].append(entry[2])
        self._literals = numbers
        return record

    def split_entities(self, data: Data) -> Data:
        return inductive_split(data, *self.shares[1:], seed=self.seed)

    def encode(self, data: Data) -> None:
        texts, literals = self._texts or [], self._literals or ([], [], [])
        kept, has = self.encoders, {"text": any(texts), "numeric": len(literals[0]) > 0}
        known = set(data.node_ids)
        has["visual"] = any(node in known for node, _ in self._images or ())
        try:
            self._forget({x for x in self._maybe if not has[x]})
            super().encode(data)
        finally:
            self.encoders = kept  # Which name the processed file.

    def _forget(self, absent: set[str]) -> None:
        self.encoders = {x: None if x in absent else y for x, y in self.encoders.items()}

    def read_texts(self, data: Data) -> list[str | None]:
        if self._texts is None:
            self.read()
        return self._texts or []

    def read_literals(self) -> Literals:
        if self._literals is None:
            self.read()
        return self._literals or ([], [], [])

    def read_images(self, names: NameIndex) -> Sequence[object]:
        if self.images_source is not None:
            return super().read_images(names)
        if self._images is None:
            self.read()
        out: list[list[str] | None] = [None] * len(names)
        for node, path in self._images or ():  # As RDF names them.
            if (row := names.find(node)) >= 0:
                out[row] = sorted({*(out[row] or ()), path})
        return out

    def _tables(self) -> list[str]:
        paths = (*self.triples, *self.texts_paths, self.numbers_path)
        return [path for path in paths if isinstance(path, str)]


def to_sources(triples: Triples) -> "tuple[str | pd.DataFrame, ...]":
    r"""Returns the file or table of facts, or those of training, validation and test."""
    if (table := as_frame(triples)) is not None:
        return (table,)
    if isinstance(triples, str) and FOREIGN.fullmatch(triples) and not osp.exists(triples):
        return read_foreign(triples)
    if isinstance(triples, str | os.PathLike):
        path = osp.expanduser(os.fspath(triples))
        others = dict.fromkeys(tuple(NAMED)[-3:])
        found = find_content(path, others)["triples"] if osp.isdir(path) else path
        return (found,) if isinstance(found, str) else tuple(found)
    given = list(triples)
    files = given
    if isinstance(triples, Mapping):
        by_split = {KINDS.get(key): path for key, path in triples.items()}
        files = [by_split[split] for split in SPLITS if split in by_split]
    if len(given) != 3 or len(files) != 3:
        raise ValueError(
            f"Invalid 'triples' argument (got {given}), expected one file to split, or three: "
            f"those of {list(SPLITS)}"
        )
    pairs = zip(map(as_frame, files), files, strict=True)
    return tuple(osp.expanduser(os.fspath(y)) if x is None else x for x, y in pairs)


def as_path(path: Any) -> str:
    r"""Returns the path of texts, images or numbers, or raises if it is something else."""
    if not isinstance(path, str | os.PathLike):
        kind = type(path).__name__
        raise ValueError(f"Texts, images and numbers are given as files (got a '{kind}')")
    return osp.expanduser(os.fspath(path))


def as_list(paths: Paths | None) -> list[str]:
    r"""Returns one or several paths, or none, as a list."""
    if paths is None:
        return []
    return [as_path(x) for x in (paths if isinstance(paths, list | tuple) else [paths])]


def find_content(
    folder: str, given: Mapping[str, object] | None = None, needs_facts: bool = True
) -> dict[str, str | list[str]]:
    r"""Returns the files of a graph that a folder holds by their names: facts (:obj:`"triples"`,
    three of them if they are ready splits), and those of :obj:`"texts"`, :obj:`"images"` and
    :obj:`"numbers"` that are there, apart from those that are given. What else there is is told.
    """
    given = given or {}
    if not osp.isdir(folder):
        raise ValueError(f"There is no folder '{folder}'")
    found: dict[str, str | list[str]] = {}
    names = sorted(os.listdir(folder), key=lambda name: ("2id" in name, name))
    stems = {name: name.split(".")[0].lower() for name in names}
    unread = []
    paths = {osp.realpath(x) for x in given.values() if isinstance(x, str | os.PathLike)}
    for name, stem in stems.items():
        path = osp.join(folder, name)
        kind = KINDS.get(stem) or _kind_of_neo4j(path)
        archive = next((x for x in ARCHIVES if name.lower().endswith(x)), None)
        ending = "" if osp.isdir(path) else archive or suffix(name) or "none"
        if kind in given or osp.realpath(path) in paths or stem in ("", *OPENKE_NAMES):
            continue  # Hidden, or read with the facts.
        if kind not in NAMED or RIVALS.get(stem, set()) & {*stems.values()}:
            unread.append(name)
        elif ending not in NAMED[kind][1]:
            formats = [x or "a folder" for x in NAMED[kind][1]]
            warn(f"'{path}' cannot be read as '{kind}', expected one of {formats}")
        elif kind in found and "2id" in name:
            continue  # The same facts in numbers.
        elif kind in found and kind == _kind_of_neo4j(path) == "texts":
            found[kind] = [*as_list(found[kind]), path]
        elif kind in found:
            raise ValueError(
                f"'{found[kind]}' and '{path}' may both be the '{kind}'. Please leave one, join "
                f"them, or pass one to 'from_files'"
            )
        else:
            found[kind] = path
    # What an index lists, and a link leads to, is read:
    images = str(found.get("images") or given.get("images"))
    listed: list[str] = []
    if images.endswith(INDEX):
        with suppress(ValueError):  # Which is told when it is read.
            _, listed = read_index(images, osp.dirname(images))
    read = {osp.relpath(x, folder).split(os.sep)[0] for x in listed}
    target = osp.realpath(images)
    unread = [x for x in unread if x not in read and osp.realpath(osp.join(folder, x)) != target]
    if unread:
        near = {name: _nearest(stems[name]) for name in unread if stems[name] not in KINDS}
        known = {*found, *given, *(SPLITS if "triples" in found else ())}
        hints = [
            f"'{name}' to be '{NAMED[kind][0][0]}{name[len(stems[name]) :]}'"
            for name, kind in near.items()
            if kind is not None
            and kind not in known
            and {name[len(stems[name]) :].lower(), suffix(name)} & {*NAMED[kind][1]}
        ]
        hint = f". Did you mean {', '.join(hints)}?" if hints else ""
        warn(f"Not read in '{folder}': {some(unread)}{hint}")
    splits = [found.pop(split) for split in SPLITS if split in found]
    if len(splits) == 3 and "triples" not in found:
        found["triples"] = list(map(str, splits))
    elif splits or (needs_facts and "triples" not in found):
        raise ValueError(
            f"The folder '{folder}' holds no facts, or too few or too many files of them. Expected "
            f"'facts.tsv', or 'train.tsv', 'valid.tsv' and 'test.tsv' (got {names[:10]})"
        )
    return found


def read_entities(
    folder: Path, header: bool | None = None, strict: bool = True
) -> tuple[list[dict[str, object]], list[tuple[str, str, str]]]:
    r"""Reads what a folder says of new entities, as :meth:`~torch_imf.add_entities` takes it: the
    entities that its texts, images and numbers are of, and its facts, all of which are there as
    for :class:`MultimodalKG`, and optional. An entity of which there are facts alone is a row of
    the texts without a text.

    Raises:
        ValueError: If a file or a line of it cannot be read, or there are no entities. With
            :obj:`strict=False`, numbers that are none are left out, of which a warning tells.
    """
    folder = osp.expanduser(os.fspath(folder))
    found: dict = find_content(folder, needs_facts=False)
    out: dict[str, dict[str, object]] = {}

    def entity(node: str) -> dict[str, object]:
        return out.setdefault(node, {"id": node, "name": to_label(node)})

    def index() -> NameIndex:  # As files further below may call them.
        return index_names(list(out), [str(x["name"]) for x in out.values()])

    for table in as_list(found.get("texts")):
        for line, (node, text, name, kinds) in tables.read_table(table, TEXTS, header):
            text = unicodedata.normalize("NFC", join(name, "" if text == name else text))
            if out.get(node, {}).get("text", text) != text:
                raise ValueError(
                    f"{where(table, line)}: {short(node)} has another text already. Please join "
                    f"them into one"
                )
            entity(node).update({"text": text, "name": name or to_label(node)})
            if kinds:
                types: Any = entity(node).setdefault("types", [])
                types += [x for x in split_types(kinds) if x not in types]
    if path := found.get("images"):
        if path.lower().endswith(ARCHIVES):
            raise ValueError(f"'{path}' is an archive. Please unpack it, as the folder 'images'")
        for name in image_names(path, index()):
            entity(name)
        for x, files in zip(out.values(), find_images(path, index()), strict=True):
            x |= {"image": files} if files else {}
    if path := found.get("numbers"):
        names = index()
        columns, has_header, attributes = find_layout(path, names, header)
        cells = list(tables.read_table(path, columns, has_header))
        literals = to_literals(path, cells, attributes, strict)
        for node, attribute, value in zip(*literals, strict=True):
            row = names.find(node)
            numbers = entity(node if row < 0 else names.node_ids[row]).setdefault("numbers", {})
            numbers[attribute] = value  # type: ignore[index]
    if not out:
        raise ValueError(
            f"The folder '{folder}' holds no entities. Expected 'texts.tsv', 'images' or "
            f"'numbers.tsv'"
        )
    facts = []
    if "triples" in found:
        read = read_facts([found["triples"]], header)
        head, rel, tail = torch.cat(read.splits, dim=1).tolist()
        nodes, rels = read.node_ids, read.rel_ids
        facts = [(nodes[h], rels[r], nodes[t]) for h, r, t in zip(head, rel, tail, strict=True)]
    return list(out.values()), facts


def _kind_of_neo4j(path: str) -> str:
    # What a table is that has a name of its own, as its header tells neo4j-admin.
    first = ""
    if suffix(path) in SEPARATORS and osp.isfile(path):
        with suppress(ValueError):  # A file that nobody asks for may be damaged.
            first = next(tables.read_lines(path), "")
    is_node = re.search(r":ID\b", first) is not None
    return "triples" if ":START_ID" in first else "texts" if is_node else "none"


def _nearest(stem: str) -> str | None:
    # What a file may be that is nearly called so.
    near = difflib.get_close_matches(stem, KINDS, 1, 0.8)
    near += [x for x in KINDS if len(stem) > 2 and (x.startswith(stem) or stem.startswith(x))]
    return KINDS[near[0]] if near else None


def index_names(node_ids: list[str], names: list[str]) -> NameIndex:
    r"""Returns the index of entities by identifier and name. A name of several finds none."""
    count = Counter(map(normalize, names))
    pairs = zip(node_ids, names, strict=True)
    aliases = [pair for pair in pairs if count[normalize(pair[1])] == 1]
    return NameIndex(node_ids, aliases, is_sorted=True)


def read_texts(
    path: str, index: NameIndex, header: bool | None = None, strict: bool = True
) -> tuple[list[str | None], list[str | None], list[list[str]], Counts]:
    r"""Returns the name, the text (which begins with the name) and the types of each entity, and
    how many :obj:`"rows"` there are and how many of them are of :obj:`"unknown"` entities.
    """
    found: dict[int, tuple[str, str, int]] = {}
    types: list[list[str]] = [[] for _ in range(len(index))]
    rows, counts = _read_known(path, TEXTS, index, header, strict)
    for line, row, (node, text, name, kinds) in rows:
        text = "" if text == name else text
        types[row] += split_types(kinds)
        if row in found and found[row][:2] != (name, text):
            raise ValueError(
                f"{where(path, line)}: {short(node)} has another text already "
                f"({where(path, found[row][2])}). Please join them into one"
            )
        found[row] = (name, text, line)
    entries = [found.get(row, ("", "", 0)) for row in range(len(index))]
    texts = [unicodedata.normalize("NFC", join(*entry[:2])) or None for entry in entries]
    types = [list(dict.fromkeys(x)) for x in types]
    return [name or None for name, *_ in entries], texts, types, counts


def read_numbers(
    path: str, index: NameIndex, header: bool | None = None, strict: bool = True
) -> tuple[Literals, Counts]:
    r"""Returns entities, attributes and values of numeric literals, and counts as above."""
    columns, header, attributes = find_layout(path, index, header)
    rows, counts = _read_known(path, columns, index, header, strict)
    cells = [(line, fields) for line, _, fields in rows]
    return to_literals(path, cells, attributes, strict), counts


def to_literals(
    path: str,
    cells: list[tuple[int, list[str]]],
    attributes: Sequence[str] | None,
    strict: bool = True,
) -> Literals:
    r"""Returns entities, attributes and values of the rows of a table, each with its line."""
    if attributes is not None:
        wide = ((line, node, zip(attributes, row, strict=True)) for line, (node, *row) in cells)
        cells = [(line, [node, *pair]) for line, node, pairs in wide for pair in pairs]
    cells = [cell for cell in cells if cell[1][2].lower() not in MISSING]
    nodes, names, texts = ([fields[i] for _, fields in cells] for i in range(3))
    try:
        values, notes = to_numbers(texts, names, ["".join(fields[3:]) for _, fields in cells])
    except ValueError as e:
        raise ValueError(f"'{path}': {e}") from e
    for note in notes:
        warn(f"'{path}': {note}")
    good = list(map(math.isfinite, values))
    bad = [(line, fields[2]) for (line, fields), keep in zip(cells, good, strict=True) if not keep]
    _refuse(path, bad, "expected a number or a date, as 1952-03-11 (got {})", strict)
    return list(compress(nodes, good)), list(compress(names, good)), list(compress(values, good))


def _read_known(
    path: str, columns: Sequence[Column], index: NameIndex, header: bool | None, strict: bool
) -> tuple[list[tuple[int, int, list[str]]], Counts]:
    # The line, entity and fields of each row of a table, apart from those of unknown entities.
    rows = [
        (i, index.find(fields[0]), fields) for i, fields in tables.read_table(path, columns, header)
    ]
    known = [entry for entry in rows if entry[1] != UNKNOWN]
    bad = [(line, fields[0]) for line, row, fields in rows if row == UNKNOWN]
    may_be_header = header is None and suffix(path) in (*tables.SEPARATORS, ".xlsx")
    is_first = may_be_header and [line for line, _ in bad[:1]] == [1]
    hint = f"If this is a header, call its columns {tables.required(columns)}. " if is_first else ""
    reason = "the entity {} is in no fact, or its name is that of several"
    _refuse(path, bad, reason, strict, hint)
    return known, {"rows": len(rows), "unknown": len(bad)}


def _refuse(
    path: str, bad: Sequence[tuple[int, str]], reason: str, strict: bool, hint: str = ""
) -> None:
    # Raises for what lines hold, the first ten of them, or warns that these are left out.
    if not bad:
        return
    line, value = bad[0]
    more = [f"{short(x)} in {where(path, i).rpartition(', ')[2]}" for i, x in bad[1:10]]
    others = f" ({len(bad) - 1:,} more: {', '.join(more)}{', ...' * (len(bad) > 10)})"
    message = f"{where(path, line)}: {reason.format(short(value))}{others if more else ''}"
    if strict:
        raise ValueError(f"{message}. {hint}Mend it, or pass 'strict=False' to leave such rows out")
    warn(f"{message}: left out")


class Facts(NamedTuple):
    r"""What files of facts say: head, relation and tail ids of each file, the identifiers of
    entities and relations, counts of each file, names by identifier, what literals of RDF say, how
    each file was read, in words, types by identifier, and entities and their image files.
    """

    splits: list[Tensor]
    node_ids: list[str]
    rel_ids: list[str]
    counts: dict[str, Counts]
    names: dict[str, str]
    rel_names: dict[str, str]
    content: Content
    columns: dict[str, str]
    types: dict[str, list[str]]
    images: list[tuple[str, str]]


def read_facts(
    sources: "Sequence[str | pd.DataFrame]",
    header: bool | None = None,
    columns: Sequence[str] | None = None,
) -> Facts:
    r"""Reads files or tables of facts into ids. Names are numbered in alphabetical order (those
    that are numbers, by their value), so that ids do not depend on the order of lines, and a fact
    that a file repeats is left out. The blank nodes of several files of RDF are told apart by the
    names of these.
    """
    names: dict[str, str] = {}
    rel_names: dict[str, str] = {}
    how: dict[str, str] = {}
    types: dict[str, list[str]] = {}
    images: list[tuple[str, str]] = []
    content = Content()
    frames = iter([FRAME, f"{FRAME} 2", f"{FRAME} 3"])
    paths = [x if isinstance(x, str) else next(frames) for x in sources]
    counts = {path: {"rows": 0, "repeated": 0, "literals": 0} for path in paths}
    files = [osp.dirname(osp.abspath(x)) for x in sources if isinstance(x, str)]
    folder = osp.commonpath(files) if files else ""

    def triples(path: str) -> Iterator[Sequence[str]]:
        scope, kinds = f"@{osp.relpath(path, folder)}" if len(paths) > 1 else "", Counter[str]()
        for head, rel, tail in read_rdf(path, scope):
            kind = content.add(head, rel, tail)
            if kind == "facts":
                yield head, rel, str(tail)
            else:
                kinds[kind] += 1
        images.extend(content.image_files(osp.dirname(path)))
        content.images.clear()
        counts[path] |= {"rows": kinds.total(), "literals": kinds.pop("", 0)}
        how[path] = ", ".join(f"{number:,} {kind}" for kind, number in sorted(kinds.items()))

    rows: list[Sequence] = []
    origin: list[str] = []
    places = None  # Of head, relation and tail in the file of training facts.
    for path, source in zip(paths, sources, strict=True):
        if isinstance(source, str) and suffix(path) not in FACT_FORMATS:
            raise ValueError(f"'{path}' holds no facts, expected one of {FACT_FORMATS} (or .gz)")
        split = None
        if suffix(path) in FORMATS:
            table = tables.to_columns(triples(path))
        else:
            ids = cache(partial(read_id_files, osp.dirname(path)))
            found = read_fact_table(source, header, columns, ids, places)
            table, places = found.columns, places or found.order
            how[path], split = found.note, found.split
            names |= found.names
            rel_names |= found.rel_names
            types |= {node: [*types.get(node, ()), *x] for node, x in found.types.items()}
            if found.are_numbers and ids():
                table = name_numbers(table, ids(), path)
        if len(table[0]) == 0:
            raise ValueError(f"'{path}' holds no facts")
        parts = [table] if split is None else _divided(table, split, path, len(paths) == 1)
        rows += parts
        origin += [path] * len(parts)
        counts[path]["rows"] += len(table[0])

    node_ids, nodes = _in_order([x for head, _, tail in rows for x in (head, tail)])
    rel_ids, rels = _in_order([rel for _, rel, _ in rows])
    facts = []
    for path, head_index, rel_type, tail_index in zip(
        origin, nodes[::2], rels, nodes[1::2], strict=True
    ):
        facts.append(TripletIndex(head_index, rel_type, tail_index).facts())
        counts[path]["repeated"] += head_index.numel() - facts[-1].size(1)
    labels = content.names
    names, rel_names = labels | names, labels | rel_names
    for node, kinds in content.types.items():
        types[node] = [*types.get(node, ()), *(labels.get(x) or to_label(x) for x in kinds)]
    return Facts(facts, node_ids, rel_ids, counts, names, rel_names, content, how, types, images)


def _divided(
    table: "Sequence[pa.DictionaryArray]", split: "pa.Array", path: str, is_only: bool
) -> "list[Sequence[pa.DictionaryArray]]":
    # The facts of each split as a column tells them, if it does so of all facts of the only table.
    import pyarrow.compute as pc

    masks = [pc.fill_null(pc.equal(split, x), False) for x in SPLITS]
    if is_only and split.null_count == 0 and all(pc.any(mask).as_py() for mask in masks):
        return [[column.filter(mask) for column in table] for mask in masks]
    if is_only and split.null_count < len(split):
        lacks = [x for x, mask in zip(SPLITS, masks, strict=True) if not pc.any(mask).as_py()]
        what = f"names no fact of {lacks}" if lacks else f"is empty for {split.null_count:,} facts"
        raise ValueError(
            f"'{path}': its column 'split' {what}. Complete it, or leave it out, to draw splits"
        )
    warn(f"'{path}': its column 'split' is left out, as it does not tell all facts of {SPLITS}")
    return [table]


def read_id_files(folder: str) -> tuple[list[str], ...]:
    r"""Returns the names that the numbers of heads, relations and tails stand for, as OpenKE has
    them in :obj:`entity2id.txt` and :obj:`relation2id.txt`, and nothing where these are not there.
    """
    paths = [osp.join(folder, f"{kind}2id.txt") for kind in ("entity", "relation", "entity")]
    return tuple(map(read_ids, paths)) if all(map(osp.isfile, paths)) else ()


def name_numbers(
    columns: "list[pa.DictionaryArray]", ids: tuple[list[str], ...], path: str
) -> "list[pa.DictionaryArray]":
    r"""Returns the names of facts that are written with numbers."""
    import pyarrow as pa
    import pyarrow.compute as pc

    out = []
    for kind, column, names in zip(("entity", "relation", "entity"), columns, ids, strict=True):
        numbers = column.dictionary.cast(pa.int64())
        if (largest := pc.max(numbers).as_py()) >= len(names):
            raise ValueError(
                f"'{path}': there is no {kind} {largest}, '{kind}2id.txt' has {len(names):,}"
            )
        words = pa.array(names, pa.string()).take(numbers)
        out.append(pa.DictionaryArray.from_arrays(column.indices, words))
    return out


def _in_order(columns: "Sequence[pa.ChunkedArray | pa.Array]") -> tuple[list[str], list[Tensor]]:
    # The distinct names of columns, in order (as `order` has it), and their places in each column.
    import pyarrow as pa
    import pyarrow.compute as pc

    coded = tables.coded(*columns)
    names = coded.dictionary
    is_number = pc.match_substring_regex(names, "^[0-9]+$")
    digits = pc.if_else(is_number, pc.utf8_ltrim(names, "0"), "")
    keys = {"kind": pc.invert(is_number), "size": pc.binary_length(digits), "digits": digits}
    table = pa.table({**keys, "name": names} if pc.any(is_number).as_py() else {"name": names})
    index = pc.sort_indices(table, [(key, "ascending") for key in table.column_names])
    rank = torch.empty(len(names), dtype=torch.int32)
    rank[torch.from_numpy(index.to_numpy().astype("int64"))] = torch.arange(len(names)).int()
    places = rank[codes(coded)]
    return names.take(index).to_pylist(), list(places.split(list(map(len, columns))))


def to_label(node: str) -> str:
    r"""Returns a name for people: the last part of an IRI without escapes, and any other identifier
    as it is.
    """
    if "://" not in node:
        return node
    iri = unbracketed(node)
    last = iri.rstrip("/#").replace("#", "/").rsplit("/", 1)[-1]
    return unquote(last).replace("_", " ") or node
