import hashlib
import math
import os
import os.path as osp
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, ClassVar, TypedDict

from torch_geometric.data import Data

from torch_imf.data import audit
from torch_imf.datasets.base import KGDataset, Record
from torch_imf.datasets.encoder import Encoder, Given
from torch_imf.datasets.own_files import (
    OwnNames,
    Path,
    Triples,
    find_content,
    read_facts,
    read_numbers,
    read_texts,
    split_facts,
    to_label,
    to_paths,
)
from torch_imf.datasets.raw import Literals
from torch_imf.datasets.report import Report, Summary
from torch_imf.encoders import PixelEncoder

if TYPE_CHECKING:
    from typing_extensions import Unpack

SHARES = (0.8, 0.1, 0.1)
# The argument that holds each modality:
CONTENT = {"text": "texts", "visual": "images", "numeric": "numbers"}
TABLES = ("triples", "texts", "numbers")


class Options(TypedDict, total=False):
    r"""The arguments of :class:`MultimodalKG` apart from its files."""

    shares: tuple[float, float, float]
    seed: int
    header: bool | None | Mapping[str, bool]
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
        triples (str, tuple or dict): The facts: a table of head, relation and tail, or RDF
            (N-Triples, Turtle, N-Quads, TriG, RDF/XML or JSON-LD; facts about literals are left
            out). Ready splits are a folder of :obj:`train`, :obj:`valid` and :obj:`test` files,
            three files in this order, or a dictionary of :obj:`"train"`, :obj:`"val"` and
            :obj:`"test"`.
        texts (str, optional): The texts of entities: a table of entity and text (and name, if its
            header says so), or JSON (:obj:`{"entity": "text"}`). (default: :obj:`None`)
        images (str, optional): The images of entities: a folder of :obj:`<entity>.png` or
            :obj:`<entity>/<any>.jpg`, an index file or an archive, see :class:`KGDataset`.
            (default: :obj:`None`)
        numbers (str, optional): A table of entity, attribute and value, a number, a date or a time.
            (default: :obj:`None`)
        shares (tuple[float, float, float], optional): The shares of training, validation and test
            facts of a single file. They are drawn such that every entity and relation is in
            training, whatever the order of lines. (default: :obj:`(0.8, 0.1, 0.1)`)
        seed (int, optional): The seed of the draw. (default: :obj:`0`)
        header (bool or dict, optional): Whether all tables begin with a header, or those of
            :obj:`"triples"`, :obj:`"texts"` and :obj:`"numbers"`. If :obj:`None`, the first line is
            one if it names all columns, as in :obj:`head`, :obj:`relation` and :obj:`tail`.
            (default: :obj:`None`)
        strict (bool, optional): Whether texts and numbers of an entity that is in no fact are an
            error, rather than left out. (default: :obj:`True`)
        scheme (str, optional): :obj:`"original"`, or :obj:`"clean"` to take facts of one ready
            split out of the others, see :meth:`~torch_imf.data.clean_split`. (default:
            :obj:`"original"`)
        encoders (dict, optional): The encoders of :obj:`"text"`, :obj:`"visual"` and
            :obj:`"numeric"`, each one an encoder, a file of features (which takes the place of the
            images, say), or :obj:`None` to leave a modality out, see :class:`KGDataset`. The others
            are :obj:`TfidfEncoder()`, :obj:`NumericEncoder()` and :obj:`PixelEncoder()`, which
            knows colour and layout only: for photographs, pass :obj:`{"visual": VisualEncoder()}`.
            (default: :obj:`None`)
        root (str, optional): The folder to keep the processed file in, which is made again if a
            file or an argument changes. Without it, the graph is built in memory. (default:
            :obj:`None`)
        transform, pre_transform, force_reload: As in :class:`KGDataset`.

    Raises:
        ValueError: If a file or a line of it cannot be read, or an argument is not valid.
    """

    aliases: ClassVar[dict] = {}

    def __init__(
        self,
        triples: Triples,
        texts: Path | None = None,
        images: Path | None = None,
        numbers: Path | None = None,
        shares: tuple[float, float, float] = SHARES,
        seed: int = 0,
        header: bool | None | Mapping[str, bool] = None,
        strict: bool = True,
        scheme: str = "original",
        encoders: Mapping[str, Given] | None = None,
        root: str | None = None,
        transform: Callable | None = None,
        pre_transform: Callable | None = None,
        force_reload: bool = False,
    ) -> None:
        self.triples = to_paths(triples)
        self.texts_path, self.numbers_path, images_path = (
            None if path is None else osp.expanduser(os.fspath(path))
            for path in (texts, numbers, images)
        )
        for path in self._tables():
            if not osp.isfile(path):
                raise ValueError(f"There is no file '{path}'")
        given = list(shares) if isinstance(shares, Iterable) else []
        positive = len(given) == 3 and all(isinstance(x, int | float) and x > 0 for x in given)
        if not positive or not math.isclose(sum(given), 1, abs_tol=1e-6):
            raise ValueError(
                f"Invalid 'shares' argument (got {shares}), expected the shares of training, "
                f"validation and test, three positive numbers with a sum of 1"
            )
        if len(self.triples) > 1 and given != list(SHARES):
            raise ValueError(f"'shares' divide one file of facts, not those of {self.triples}")
        self.header = dict(header) if isinstance(header, Mapping) else dict.fromkeys(TABLES, header)
        flags = self.header.values()
        if not set(self.header) <= set(TABLES) or not all(
            isinstance(x, bool | None) for x in flags
        ):
            raise ValueError(
                f"Invalid 'header' argument (got {header!r}), expected True, False, None, or a "
                f"dictionary of these for some of {list(TABLES)}"
            )
        self.shares, self.seed, self.strict = shares, seed, strict
        chosen: dict[str, Given] = {**dict.fromkeys(CONTENT, "auto"), **(encoders or {})}
        if len(chosen) > len(CONTENT):
            raise ValueError(
                f"Invalid 'encoders' argument (got the keys {list(encoders or ())}), expected some "
                f"of {list(CONTENT)}"
            )
        files = {"text": texts, "visual": images, "numeric": numbers}
        self.modalities = tuple(modality for modality in files if files[modality] is not None)
        self._texts: list[str | None] | None = None
        self._literals: Literals | None = None
        super().__init__(
            root,
            None,
            scheme,
            chosen["text"],
            chosen["visual"],
            chosen["numeric"],
            images_path,
            transform,
            pre_transform,
            force_reload,
        )

    @classmethod
    def from_files(
        cls,
        triples: Triples,
        texts: Path | None = None,
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
        texts: Path | None = None,
        images: Path | None = None,
        numbers: Path | None = None,
        **options: "Unpack[Options]",
    ) -> "MultimodalKG":
        r"""Reads a graph from what a folder holds:

        * **facts**: :obj:`facts.*` or :obj:`triples.*`, or the ready splits :obj:`train.*`,
          :obj:`valid.*` (or :obj:`val.*`, :obj:`dev.*`) and :obj:`test.*`
        * **texts**: :obj:`texts.*` or :obj:`descriptions.*`, if there are any
        * **images**: the folder, archive or index file :obj:`images`, likewise
        * **numbers**: :obj:`numbers.*` or :obj:`numeric.*`, likewise

        A file that is given takes the place of that in the folder. All other arguments are those of
        the class.

        Raises:
            ValueError: If there are no facts, or two files for one thing, and as the class.
        """
        paths = {"texts": texts, "images": images, "numbers": numbers}
        given = {name: path for name, path in paths.items() if path is not None}
        files = find_content(osp.expanduser(os.fspath(folder)), list(given))
        return cls(files.pop("triples"), **{**files, **given}, **options)  # type: ignore[arg-type]

    @property
    def revision(self) -> str:
        # All settings, and the places, sizes and times of the files:
        parts = [repr((self.shares, self.seed, self.header, self.strict))]
        for path in self._tables():
            info = os.stat(path)
            parts.append(f"{osp.abspath(path)} {info.st_size} {info.st_mtime_ns}")
        return hashlib.sha256("\n".join(parts).encode(errors="replace")).hexdigest()[:8]

    def report(self) -> Report:
        r"""Returns what is in the graph, what was left out, and what to know about its splits."""
        return Report(self.summary(), audit(self._data), self._data.get("sources", {}))

    def summary(self) -> Summary:
        return Summary.of(self._data, self.__class__.__name__)

    def names(self, data: Data | None = None) -> OwnNames:
        data = self._data if data is None else data
        return OwnNames(data.node_ids, zip(data.node_ids, data.node_names, strict=True))

    def default_encoder(self, modality: str) -> Encoder | None:
        if modality == "visual" and modality in self.modalities:
            return PixelEncoder()
        return super().default_encoder(modality)

    def read(self) -> Record:
        splits, node_ids, rel_ids, sources = read_facts(self.triples, self.header.get("triples"))
        if len(splits) == 1:
            splits = split_facts(splits[0], self.shares, len(node_ids), len(rel_ids), self.seed)
        names, rel_names = (list(map(to_label, ids)) for ids in (node_ids, rel_ids))
        if self.texts_path is not None:
            args = (self.texts_path, OwnNames(node_ids), self.header.get("texts"), self.strict)
            own_names, self._texts, sources[self.texts_path] = read_texts(*args)
            names = [own or name for own, name in zip(own_names, names, strict=True)]
        if self.numbers_path is not None:
            index = OwnNames(node_ids, zip(node_ids, names, strict=True))
            args = (self.numbers_path, index, self.header.get("numbers"), self.strict)
            self._literals, sources[self.numbers_path] = read_numbers(*args)
        return Record(splits, node_ids, rel_ids, names, rel_names, sources)

    def read_texts(self, data: Data) -> list[str | None]:
        if self._texts is None:
            self.read()
        return self._texts or []

    def read_literals(self) -> Literals:
        if self._literals is None:
            self.read()
        return self._literals or ([], [], [])

    def _tables(self) -> list[str]:
        paths = (*self.triples, self.texts_path, self.numbers_path)
        return [path for path in paths if path is not None]
