import os
import os.path as osp
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, ClassVar, TypedDict

from torch_geometric.data import Data

from torch_imf.data.names import NameIndex
from torch_imf.datasets.base import KGDataset, Record
from torch_imf.datasets.encoder import Encoder
from torch_imf.datasets.own_files import SHARES, OwnFiles, OwnNames
from torch_imf.datasets.raw import Literals
from torch_imf.datasets.report import Report, Summary
from torch_imf.encoders import FeatureFile, PixelEncoder
from torch_imf.io import warn
from torch_imf.io.images import ARCHIVES
from torch_imf.io.rdf import FORMATS
from torch_imf.io.tables import TABLES, suffix

if TYPE_CHECKING:
    from typing_extensions import Unpack

Path = str | os.PathLike[str]

# The argument that holds each modality:
CONTENT = {"text": "texts", "visual": "images", "numeric": "numbers"}
FACTS = (*TABLES, *FORMATS)
SPLITS = {
    "train": ("train",),
    "val": ("valid", "val", "validation", "dev"),
    "test": ("test",),
}
# How files are called in a folder, and the formats of each. No suffix is that of a folder:
NAMED: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "triples": (("facts", "triples"), FACTS),
    "texts": (("texts", "descriptions"), TABLES),
    "images": (("images",), ("", ".tsv", ".txt", *ARCHIVES)),
    "numbers": (("numbers", "numeric"), TABLES),
}


class Options(TypedDict, total=False):
    r"""The arguments of :class:`MultimodalKG` apart from its files."""

    shares: tuple[float, float, float]
    seed: int
    header: bool | None | Mapping[str, bool]
    strict: bool
    scheme: str
    encoders: Mapping[str, Encoder | Path | None] | None
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
        triples: Path | Iterable[Path] | Mapping[str, Path],
        texts: Path | None = None,
        images: Path | None = None,
        numbers: Path | None = None,
        shares: tuple[float, float, float] = SHARES,
        seed: int = 0,
        header: bool | None | Mapping[str, bool] = None,
        strict: bool = True,
        scheme: str = "original",
        encoders: Mapping[str, Encoder | Path | None] | None = None,
        root: str | None = None,
        transform: Callable | None = None,
        pre_transform: Callable | None = None,
        force_reload: bool = False,
    ) -> None:
        files = [None if path is None else _expand(path) for path in (texts, images, numbers)]
        given = tuple(shares) if isinstance(shares, Iterable) else (shares,)
        self.own_files = OwnFiles(_to_paths(triples), *files, given, seed, header, strict)  # type: ignore
        self.modalities = tuple(x for x in CONTENT if getattr(self.own_files, CONTENT[x]))
        self._record: Record | None = None
        self._names: OwnNames | None = None
        chosen = self._encoders(encoders or {})
        super().__init__(
            root,
            scheme=scheme,
            text=chosen["text"],
            visual=chosen["visual"],
            numeric=chosen["numeric"],
            images=None if _is_ready(chosen["visual"]) else self.own_files.images,
            transform=transform,
            pre_transform=pre_transform,
            force_reload=force_reload,
        )

    @classmethod
    def from_files(
        cls,
        triples: Path | Iterable[Path] | Mapping[str, Path],
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
        files = find_content(_expand(folder), list(given))
        return cls(files.pop("triples"), **{**files, **given}, **options)  # type: ignore[arg-type]

    @property
    def revision(self) -> str:
        return self.own_files.tag

    def report(self) -> Report:
        r"""Returns what is in the graph, what was left out, and what to know about its splits."""
        return Report.of(self._data, self.summary())

    def summary(self) -> Summary:
        return Summary.of(self._data, self.__class__.__name__)

    def names(self, data: Data | None = None) -> OwnNames:
        if self._names is None:
            data = self._data if data is None else data
            aliases = zip(data.node_ids, data.node_names, strict=True)
            self._names = OwnNames(data.node_ids, aliases)
        return self._names

    def default_encoder(self, modality: str) -> Encoder | None:
        if modality == "visual" and modality in self.modalities:
            return PixelEncoder()
        return super().default_encoder(modality)

    def read(self) -> Record:
        if self._record is None:
            self._record = self.own_files.read()
        return self._record

    def build(self) -> Data:
        data = super().build()
        self.read().splits = []  # The graph holds them now.
        return data

    def read_texts(self, data: Data) -> list[str | None]:
        texts = self.read().texts
        assert texts is not None
        return texts

    def read_literals(self) -> Literals:
        literals = self.read().literals
        assert literals is not None
        return literals

    def read_images(self, names: NameIndex) -> Sequence[object]:
        self.images_source = self.own_files.images  # Also where ready features take their place.
        return super().read_images(names)

    def _encoders(
        self, encoders: Mapping[str, Encoder | Path | None]
    ) -> dict[str, Encoder | str | None]:
        unknown = [modality for modality in encoders if modality not in CONTENT]
        if unknown:
            raise ValueError(
                f"Invalid 'encoders' argument (got the keys {unknown}), expected some of "
                f"{list(CONTENT)}"
            )
        out: dict[str, Encoder | str | None] = dict.fromkeys(CONTENT, "auto")
        for modality, encoder in encoders.items():
            out[modality] = os.fspath(encoder) if isinstance(encoder, os.PathLike) else encoder
            has_work = out[modality] != "auto" and not _is_ready(out[modality])
            if modality not in self.modalities and has_work:
                raise ValueError(
                    f"The encoder of '{modality}' has nothing to encode. Pass the files as "
                    f"'{CONTENT[modality]}'"
                )
        return out


def find_content(folder: str, given: Sequence[str] = ()) -> dict[str, str | list[str]]:
    r"""Returns the files of a graph that a folder holds by their names: facts (:obj:`"triples"`,
    three of them if they are ready splits), and those of :obj:`"texts"`, :obj:`"images"` and
    :obj:`"numbers"` that are there, apart from those that are given.
    """
    if not osp.isdir(folder):
        raise ValueError(f"There is no folder '{folder}'")
    wanted = {key: entry for key, entry in NAMED.items() if key not in given}
    found = {key: _find_named(folder, *entry) for key, entry in wanted.items()}
    ready = [file for names in SPLITS.values() for file in _find_named(folder, names, FACTS)]
    for key, files in {**found, "triples": found["triples"] + ready}.items():
        if len(files) > 1 and files != ready:
            raise ValueError(
                f"The folder '{folder}' holds several files that may be the '{key}': {files}. "
                f"Please leave one, or pass it to 'from_files'"
            )
    if not found["triples"] and not ready:
        raise ValueError(
            f"The folder '{folder}' holds no facts, as in 'facts.tsv', or in 'train.tsv', "
            f"'valid.tsv' and 'test.tsv' (got {sorted(os.listdir(folder))[:10]})"
        )
    for names, suffixes in wanted.values():
        others = set(_find_named(folder, names)) - set(_find_named(folder, names, suffixes))
        if others:
            warn(
                f"The folder '{folder}' holds {sorted(others)}, which cannot be read. Expected "
                f"one of {[x or 'a folder' for x in suffixes]}"
            )
    out: dict[str, str | list[str]] = {
        key: osp.join(folder, files[0]) for key, files in found.items() if files
    }
    return {**out, "triples": find_splits(folder)} if ready else out


def find_splits(folder: str) -> list[str]:
    r"""Returns the files of training, validation and test facts in a folder."""
    out = []
    for names in SPLITS.values():
        files = _find_named(folder, names, FACTS)
        if len(files) != 1:
            raise ValueError(
                f"The folder '{folder}' needs to hold one file of {names[0]} facts, as in "
                f"'{names[0]}.tsv' (got {files}). Otherwise, pass the files themselves"
            )
        out.append(osp.join(folder, files[0]))
    return out


def _find_named(
    folder: str, names: Sequence[str], suffixes: Sequence[str] | None = None
) -> list[str]:
    # The files that go by one of some names, of some formats or any, gzipped or not.
    def format_of(file: str) -> str:
        if osp.isdir(osp.join(folder, file)):
            return ""
        archive = next((x for x in ARCHIVES if file.lower().endswith(x)), None)
        return archive or suffix(file) or "none"

    return [
        file
        for file in sorted(os.listdir(folder))
        if file.split(".")[0].lower() in names and (suffixes is None or format_of(file) in suffixes)
    ]


def _to_paths(triples: Path | Iterable[Path] | Mapping[str, Path]) -> tuple[str, ...]:
    # The file of facts, or those of training, validation and test.
    if isinstance(triples, str | os.PathLike):
        path = _expand(triples)
        return tuple(find_splits(path)) if osp.isdir(path) else (path,)
    if isinstance(triples, Mapping):
        files = {
            next((split for split, names in SPLITS.items() if key in names), key): path
            for key, path in triples.items()
        }
        if set(files) != set(SPLITS) or len(files) < len(triples):
            raise ValueError(
                f"Invalid 'triples' argument (got the keys {list(triples)}), expected one file "
                f"for each of {list(SPLITS)}"
            )
        triples = [files[split] for split in SPLITS]
    out = tuple(map(_expand, triples))
    if len(out) != 3:
        raise ValueError(
            f"Invalid 'triples' argument (got {len(out)} files), expected one file to split, or "
            f"the three of training, validation and test"
        )
    return out


def _expand(path: Path) -> str:
    return osp.expanduser(os.fspath(path))


def _is_ready(encoder: Encoder | str | None) -> bool:
    # Whether it encodes nothing: it reads features that are ready, or there is none.
    if isinstance(encoder, str):
        return encoder != "auto"
    return encoder is None or isinstance(encoder, FeatureFile)
