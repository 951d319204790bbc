import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import ClassVar

from torch_geometric.data import Data

from torch_imf.data.names import NameIndex
from torch_imf.datasets.base import KGDataset
from torch_imf.datasets.encoder import Encoder
from torch_imf.datasets.own_encoders import is_ready, own_encoders, own_modalities
from torch_imf.datasets.own_files import OwnFiles, Path, expand, to_paths
from torch_imf.datasets.own_folder import find_content
from torch_imf.datasets.own_names import OwnNames
from torch_imf.datasets.report import Report
from torch_imf.datasets.summary import Summary
from torch_imf.encoders import PixelEncoder
from torch_imf.io.images import locate_images


class MultimodalKG(KGDataset):
    r"""A multimodal knowledge graph from files of your own, made by
    :meth:`from_files`.

    Args:
        files (OwnFiles): The files.
        encoders (dict, optional): The encoder of each modality, see
            :meth:`from_files`. (default: :obj:`None`)
        root (str, optional): The folder to keep the processed file in.
            (default: :obj:`None`)
        clean (bool, optional): Whether to repair ready splits.
            (default: :obj:`False`)
        transform (callable, optional): A function applied to the data at every
            access. (default: :obj:`None`)
        pre_transform (callable, optional): A function applied to the data
            before it is saved. (default: :obj:`None`)
        force_reload (bool, optional): Whether to read the files again.
            (default: :obj:`False`)
    """

    aliases: ClassVar[dict] = {}

    def __init__(
        self,
        files: OwnFiles,
        encoders: Mapping[str, Encoder | Path | None] | None = None,
        root: str | None = None,
        clean: bool = False,
        transform: Callable | None = None,
        pre_transform: Callable | None = None,
        force_reload: bool = False,
    ) -> None:
        self.own_files = files
        self.modalities = own_modalities(files)
        self._names: OwnNames | None = None
        chosen = own_encoders(encoders, files)
        super().__init__(
            root,
            split="clean" if clean else "original",
            text=chosen["text"],
            visual=chosen["visual"],
            numeric=chosen["numeric"],
            images=None if is_ready(chosen["visual"]) else files.images,
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
        numeric: Path | None = None,
        split: tuple[float, float, float] = (0.8, 0.1, 0.1),
        seed: int = 0,
        header: bool | None | Mapping[str, bool] = None,
        strict: bool = True,
        clean: bool = False,
        encoders: Mapping[str, Encoder | Path | None] | None = None,
        root: str | None = None,
        transform: Callable | None = None,
        pre_transform: Callable | None = None,
        force_reload: bool = False,
    ) -> "MultimodalKG":
        r"""Reads a graph from files of facts, texts, images and numbers.

        .. code-block:: python

            dataset = MultimodalKG.from_files("facts.tsv", "texts.tsv", "images/")
            print(dataset.report())
            data = dataset[0]

        Tables are TSV (:obj:`.tsv`, :obj:`.txt`), CSV or Parquet (with
        :obj:`pyarrow`); all text files may be gzipped. Facts are
        read line by line. A repeated fact counts once.

        Args:
            triples (str, tuple or dict): The facts: a table of head, relation
                and tail, or N-Triples (:obj:`.nt`, facts about literals are
                left out). Ready splits are a folder of :obj:`train`,
                :obj:`valid` and :obj:`test` files, three files in this order,
                or a dictionary of :obj:`"train"`, :obj:`"val"` and
                :obj:`"test"`.
            texts (str, optional): The texts of entities: a table of entity and
                text (and name, if its header says so), JSON
                (:obj:`{"entity": "text"}`) or JSONL
                (:obj:`{"entity": ..., "name": ..., "text": ...}`).
                (default: :obj:`None`)
            images (str, optional): The images of entities: a folder of
                :obj:`<entity>.png` or :obj:`<entity>/<any>.jpg`, an index file
                or an archive, see :class:`KGDataset`. (default: :obj:`None`)
            numeric (str, optional): A table of entity, attribute and value, a
                number or a date. (default: :obj:`None`)
            split (tuple[float, float, float], optional): The shares of
                training, validation and test facts of a single file. They are
                drawn such that every entity and relation is in training,
                whatever the order of lines. Ready splits are left as they are.
                (default: :obj:`(0.8, 0.1, 0.1)`)
            seed (int, optional): The seed of the draw. (default: :obj:`0`)
            header (bool or dict, optional): Whether all tables begin with a
                header, or those of :obj:`"triples"`, :obj:`"texts"` and
                :obj:`"numeric"`. If :obj:`None`, the first line is one if it
                names all columns, as in :obj:`head`, :obj:`relation` and
                :obj:`tail`. (default: :obj:`None`)
            strict (bool, optional): Whether texts and numbers of an entity
                that is in no fact are an error, rather than left out.
                (default: :obj:`True`)
            clean (bool, optional): Whether to take facts of one ready split
                out of the others, see :meth:`~torch_imf.data.clean_split`.
                (default: :obj:`False`)
            encoders (dict, optional): The encoders of :obj:`"text"`,
                :obj:`"visual"` and :obj:`"numeric"`, each one an encoder, a
                file of features (which takes the place of the images, say),
                or :obj:`None` to leave a modality out, see
                :class:`KGDataset`. The others are :obj:`TfidfEncoder()`,
                :obj:`NumericEncoder()` and :obj:`PixelEncoder()`, which knows
                colour and layout only: for photographs, pass
                :obj:`{"visual": VisualEncoder()}`. (default: :obj:`None`)
            root (str, optional): The folder to keep the processed file in,
                which is made again if a file or an argument changes. Without
                it, the graph is built in memory. (default: :obj:`None`)
            transform (callable, optional): A function applied to the data at
                every access. (default: :obj:`None`)
            pre_transform (callable, optional): A function applied to the data
                before it is saved. (default: :obj:`None`)
            force_reload (bool, optional): Whether to read the files again.
                (default: :obj:`False`)

        Raises:
            ValueError: If a file or a line of it cannot be read, or an
                argument is not valid.
        """
        others = [None if path is None else expand(path) for path in (texts, images, numeric)]
        shares = tuple(split) if isinstance(split, Iterable) else (split,)
        files = OwnFiles(to_paths(triples), *others, shares, seed, header, strict)  # type: ignore
        return cls(files, encoders, root, clean, transform, pre_transform, force_reload)

    @classmethod
    def from_folder(
        cls,
        folder: Path,
        *,
        split: tuple[float, float, float] = (0.8, 0.1, 0.1),
        seed: int = 0,
        header: bool | None | Mapping[str, bool] = None,
        strict: bool = True,
        clean: bool = False,
        encoders: Mapping[str, Encoder | Path | None] | None = None,
        root: str | None = None,
        transform: Callable | None = None,
        pre_transform: Callable | None = None,
        force_reload: bool = False,
    ) -> "MultimodalKG":
        r"""Reads a graph from what a folder holds, of any format that
        :meth:`from_files` reads:

        * **facts**: :obj:`facts.*` or :obj:`triples.*`, or the ready splits
          :obj:`train.*`, :obj:`valid.*` (or :obj:`val.*`, :obj:`dev.*`) and
          :obj:`test.*`
        * **texts**: :obj:`texts.*` or :obj:`descriptions.*`, if there are any
        * **images**: the folder, archive or index file :obj:`images`, likewise
        * **numbers**: :obj:`numbers.*` or :obj:`numeric.*`, likewise

        All arguments but the folder are those of :meth:`from_files`.

        Raises:
            ValueError: If there are no facts, or two files for one thing, and
                as :meth:`from_files`.
        """
        return cls.from_files(
            *find_content(expand(folder)),
            split=split,
            seed=seed,
            header=header,
            strict=strict,
            clean=clean,
            encoders=encoders,
            root=root,
            transform=transform,
            pre_transform=pre_transform,
            force_reload=force_reload,
        )

    @property
    def revision(self) -> str:
        return self.own_files.tag

    def report(self) -> Report:
        r"""Returns what is in the graph, what was left out, and what to know
        about its splits.
        """
        return Report.of(self)

    def summary(self) -> Summary:
        return replace(super().summary(), name=self.__class__.__name__)

    def names(self, data: Data | None = None) -> OwnNames:
        if self._names is None:
            data = self._data if data is None else data
            aliases = zip(data.node_ids, data.node_names, strict=True)
            self._names = OwnNames(data.node_ids, aliases)
        return self._names

    def default_encoder(self, modality: str) -> Encoder | None:
        if modality == "visual" and "visual" in self.modalities:
            return PixelEncoder()
        return super().default_encoder(modality)

    def read(self) -> Data:
        return self.own_files.read()

    def read_texts(self, data: Data) -> list[str | None]:
        with told():
            names, texts, _ = self.own_files.read_texts(OwnNames(data.node_ids))
        both = zip(names, texts, strict=True)
        return [f"{name}. {text}" if name and text else text or name for name, text in both]

    def read_images(self, names: NameIndex) -> list[list[str] | None]:
        assert self.own_files.images is not None
        return locate_images(self.own_files.images, names, self.raw.disk_path("unpacked"))

    def read_literals(self) -> tuple[list[str], list[str], list[float]]:
        with told():
            nodes, attributes, values, _ = self.own_files.read_numbers(self.names())
        return nodes, attributes, values


@contextmanager
def told() -> Iterator[None]:
    r"""Reads files again without the warnings that :meth:`OwnFiles.read` has
    given.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        yield
