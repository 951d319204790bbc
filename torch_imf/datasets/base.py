import os
import os.path as osp
import re
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor
from torch_geometric.data import Data, InMemoryDataset
from torch_geometric.data.data import BaseData
from torch_geometric.data.dataset import MISSING
from torch_geometric.io import fs

from torch_imf.data import audit, modalities
from torch_imf.data.audit import SPLITS, Audit
from torch_imf.data.graph import MASKS, TYPES, check_graph, check_range, nonzero_rows
from torch_imf.data.names import NameIndex
from torch_imf.data.split import clean_split, inductive_split
from torch_imf.datasets.raw import Groups, Literals, RawFolder
from torch_imf.encoders import FeatureFile, NumericEncoder, TfidfEncoder
from torch_imf.encoders.base import Encoder as FittedEncoder
from torch_imf.encoders.base import EncoderLike as Encoder
from torch_imf.encoders.base import record_of
from torch_imf.io import noted, warn
from torch_imf.io.atomic import locked, read_bytes, replacing
from torch_imf.io.download import mirror, retrieve
from torch_imf.io.hash import hash_content
from torch_imf.io.images import find_images, source_tag
from torch_imf.io.mapped import is_mapped
from torch_imf.io.sealed import seal, unseal
from torch_imf.io.tables import read_rows

# What may be given as the encoder of a modality:
Given = Encoder | str | os.PathLike[str] | None
ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")
SCHEMES = ("original", "clean", "inductive")
STATES = "encoder states"  # As a processed file calls them.
CONTENT = {"text": "texts", "visual": "images", "numeric": "numeric literals"}
LEFT_OUT = {
    "repeated": "repeated",
    "literals": "about literals rather than entities",
    "unknown": "of entities in no fact",
}


class Stats(NamedTuple):
    r"""The published size of a graph, and how many of its entities have a description, numeric
    literals and images.
    """

    entities: int
    relations: int
    train: int
    val: int
    test: int
    text: int
    numeric: int = 0
    visual: int = 0


@dataclass
class Record:
    r"""What the raw files of a graph say, once they are parsed: head, relation and tail ids of the
    training, validation and test facts, of shape :obj:`[3, E]` each, the identifiers and names of
    entities and relations, and for each file, its number of :obj:`"rows"`, how many of them were
    left out, and why, how it was read, in words (:obj:`columns`), and the types of each entity.
    """

    splits: list[Tensor]
    node_ids: list[str]
    rel_ids: list[str]
    node_names: list[str] | None = None
    rel_names: list[str] | None = None
    sources: dict[str, dict[str, int]] = field(default_factory=dict)
    columns: dict[str, str] = field(default_factory=dict)
    node_types: list[list[str]] | None = None

    def to_data(self) -> Data:
        r"""Returns the facts of all splits as one graph."""
        head_index, rel_type, tail_index = torch.cat(self.splits, dim=1)
        size = torch.tensor([split.size(1) for split in self.splits])
        split = torch.arange(len(size)).repeat_interleave(size)
        return Data(
            edge_index=torch.stack([head_index, tail_index]),
            edge_type=rel_type.contiguous(),
            train_mask=split == 0,
            val_mask=split == 1,
            test_mask=split == 2,
            num_nodes=len(self.node_ids),
            num_relations=len(self.rel_ids),
            node_ids=self.node_ids,
            node_names=self.node_names or self.node_ids,
            rel_ids=self.rel_ids,
            rel_names=self.rel_names or self.rel_ids,
            **({TYPES: self.node_types} if self.node_types else {}),
            **({"sources": self.sources, "columns": self.columns} if self.sources else {}),
        )


@dataclass(frozen=True)
class Summary:
    r"""How much of what there is in a dataset: facts of each split, and for each modality, the
    number of entities that have it (:obj:`coverage`), the size of its features (:obj:`channels`)
    and its encoder in words. An entity whose text is no more than a name counts, unless the encoder
    finds nothing in it. The :obj:`warning` says what is not there that was published.
    """

    name: str
    num_nodes: int
    num_relations: int
    num_facts: dict[str, int]
    coverage: dict[str, int]
    channels: dict[str, int]
    encoders: dict[str, str]
    warning: str | None = None

    def __str__(self) -> str:
        facts = ", ".join(f"{size:,} {split}" for split, size in self.num_facts.items())
        lines = [
            f"{self.name}: {self.num_nodes:,} entities, {self.num_relations:,} relations",
            f"  facts    {facts}",
        ]
        for name, count in self.coverage.items():
            share, channels = count / self.num_nodes, self.channels[name]
            encoder = self.encoders.get(name, "ready features")
            lines.append(
                f"  {name:<8} {count:,} entities ({share:.1%}), {channels} channels, {encoder}"
            )
        return "\n".join(lines + [f"  WARNING  {self.warning}"] * (self.warning is not None))


@dataclass(frozen=True)
class Report:
    r"""What is in a graph and what to know before a model is trained on it: its summary, what an
    audit finds, for each file of your own, its number of :obj:`"rows"` and how many of them were
    left out, and why, its columns, and what was decided, converted or not read (:obj:`notes`).
    """

    summary: Summary
    audit: Audit
    sources: dict[str, dict[str, int]]
    notes: list[str] = field(default_factory=list)
    columns: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [str(self.summary), *["Files"] * (len(self.sources) > 0)]
        for path, counts in self.sources.items():
            left_out = ", ".join(f"{counts[k]:,} {x}" for k, x in LEFT_OUT.items() if counts.get(k))
            note = f", left out: {left_out}" if left_out else ""
            lines.append(f"  {osp.basename(path)}: {counts['rows']:,} rows{note}")
            lines += [f"    {how}" for how in [self.columns.get(path)] if how]
        lines += ["Notes", *(f"  {note}" for note in self.notes)] if self.notes else []
        return "\n".join([*lines, "Splits", *(f"  {line}" for line in self.audit.findings())])


class KGDataset(InMemoryDataset):
    r"""The base class of multimodal knowledge graphs.

    A dataset is one :class:`~torch_geometric.data.Data` object that holds all facts, and the masks
    :obj:`train_mask`, :obj:`val_mask` and :obj:`test_mask` over its edges. The only graph a model
    may see during training is :obj:`data.edge_subgraph(data.train_mask)`.

    * :obj:`edge_index` :math:`(2, |\mathcal{E}|)` and :obj:`edge_type` :math:`(|\mathcal{E}|)`:
      head and tail of each fact, and its relation
    * :obj:`num_nodes`, and :obj:`num_relations` without inverses
    * :obj:`node_ids` and :obj:`rel_ids`: the identifier of each entity and relation
    * :obj:`node_names` and :obj:`rel_names`: their names for people, not unique
    * :obj:`node_types`: the types of each entity, a list of none, one or several, where the source
      has any
    * :obj:`x_text`, :obj:`x_visual` and :obj:`x_numeric` :math:`(|\mathcal{V}|, D)`: the features
      of each modality, where there are any
    * :obj:`text_mask`, :obj:`visual_mask` and :obj:`numeric_mask` :math:`(|\mathcal{V}|)`: whether
      an entity has this modality; rows of those without are zero
    * :obj:`encoders`: the encoder of each modality in words, with the versions of its packages

    The encoders, which know what they were fitted to, are :attr:`encoders`, by modality. The texts,
    literals and images themselves are returned by :meth:`texts`, :meth:`literals` and
    :meth:`images`. :meth:`summary` says how many entities have what.

    A subclass sets :attr:`files` and implements :meth:`read`, and what it has of
    :meth:`read_texts`, :meth:`read_literals` and :meth:`read_aliases`. Version, scheme, encoders
    and the source of images are part of the name of the processed file, so that two of them never
    mix, as are the sizes and times of image files. Of several processes that fetch or process files
    in one root on disk, one does it (:obj:`<root>/.lock`), while the others wait for it and find it
    done.

    Args:
        root (str, optional): The folder to keep the dataset in, on disk or any file system of
            :obj:`fsspec` (as in :obj:`"memory://DB15K"`). If it is :obj:`None`, the dataset is
            built in memory, which only datasets without raw files can do. (default: :obj:`None`)
        version (str, optional): One of :attr:`versions`, the first of them by default. (default:
            :obj:`None`)
        scheme (str, optional): :obj:`"original"` are the published rows as they are. :obj:`"clean"`
            holds each fact once and no held-out fact in training, see
            :meth:`~torch_imf.data.clean_split`; models are to be selected on its validation facts.
            In :obj:`"inductive"`, each validation and test fact has an entity that is in no
            training fact, see :meth:`~torch_imf.data.inductive_split`: a tenth of all entities for
            each of the two, unless a dataset says otherwise. (default: :obj:`"original"`)
        text (callable or str, optional): The encoder of the texts, a callable :obj:`list[str |
            None] -> Tensor[N, D]`, or :obj:`None` to leave them out. It may also return a mask
            :obj:`Tensor[N]` that is :obj:`False` for entities that turned out to have none. Its
            :obj:`repr` needs to tell all settings that shape the features. The path of a file of
            features, as its authors published it, is read by
            :class:`~torch_imf.encoders.FeatureFile`. (default: :obj:`TfidfEncoder()`, which takes
            seconds)
        visual (callable or str, optional): The encoder of the images, a callable
            :obj:`list[list[path] | None] -> Tensor[N, D]`, or a file of features, as above.
            (default: the MobileNetV2 features of a mirror that has them, and otherwise none)
        numeric (callable or str, optional): The encoder of the numeric literals, a callable
            :obj:`(index, attributes, values, num_nodes) -> Tensor[N, D]`, or a file of features, as
            above. (default: :obj:`NumericEncoder()` where there are literals)
        images (str, optional): Where the images for :obj:`visual` are: a folder
            (:obj:`<entity>.jpg`, or :obj:`<entity>/*.jpg` as in MMKB, where an entity goes by any
            of its names, with a dot for each slash of a Freebase id), an index file of entities and
            paths, or an archive. By default, :obj:`raw/images` if it is there, and otherwise the
            flags that a mirror may carry. (default: :obj:`None`)
        transform, pre_transform (callable, optional): Functions applied to the data at every
            access, and before it is saved. (default: :obj:`None`)
        force_reload (bool, optional): Whether to process the files again. (default: :obj:`False`)

    Raises:
        ValueError: If there is no such version or scheme, an encoder cannot be told apart by its
            :obj:`repr`, a file is malformed, or the data is not sound.
        RuntimeError: If a file cannot be fetched or the processed file is damaged.
    """

    versions: ClassVar[tuple[str, ...]] = ()
    """The published versions of the facts, the default first, if there are any."""

    stats: ClassVar[dict[str | None, Stats]] = {}
    """The published sizes of each version."""

    modalities: tuple[str, ...] = ("text", "visual", "numeric")
    """The modalities that the raw files hold something of."""

    files: ClassVar[Groups] = {}
    """The raw files by what they are for, a version or :obj:`"facts"`, :obj:`"text"`,
    :obj:`"numeric"`, :obj:`"names"` (aliases), and what only a mirror may have: :obj:`"visual"`
    (ready features) and :obj:`"images"` (an index file). Each is a list of alternatives, the first
    to be had is taken."""

    def __init__(
        self,
        root: str | None = None,
        version: str | None = None,
        scheme: str = "original",
        text: Given = "auto",
        visual: Given = "auto",
        numeric: Given = "auto",
        images: str | None = None,
        transform: Callable | None = None,
        pre_transform: Callable | None = None,
        force_reload: bool = False,
    ) -> None:
        if root is None and len(self.files) > 0:
            raise ValueError(f"'{self.__class__.__name__}' needs a 'root' to keep its files in")
        self.version = _choose("version", version, self.versions)
        self.scheme = _choose("scheme", scheme, SCHEMES)
        self.root = MISSING if root is None else osp.expanduser(fs.normpath(root))
        self.raw = RawFolder(self.raw_dir, self.files, renew=force_reload)
        self.images_source = images
        given = {"text": text, "visual": visual, "numeric": numeric}
        self.encoders = {x: resolve(x, given[x], self.default_encoder) for x in given}
        encodes = not isinstance(self.encoders["visual"], FeatureFile | None)
        if images is not None and visual == "auto" and not encodes:
            raise ValueError("'images' needs an encoder of them as 'visual', as VisualEncoder()")
        if images is None and encodes and osp.isdir(self.raw.path("images")):
            images = self.raw.path("images")
        self.images_tag = None if images is None else f"images={source_tag(images)}"
        self.raw.fetch(self.version or "facts")
        for modality, encoder in self.encoders.items():
            if isinstance(encoder, FeatureFile):
                self.raw.fetch("names")
            elif encoder is not None:
                self._need(modality)
        # What is fetched later on does not rename the processed file:
        self._choices = [f"{group}.{i + 1}" for group, i in self.raw.taken.items() if i > 0]

        with noted() as self.notes:  # Also those that the processed file keeps.
            super().__init__(root, transform, pre_transform, force_reload=force_reload)
            if root is None:
                self.data = self.build()
            else:
                self.load(self.processed_paths[0])
            for note in (x for x in self._data.get("notes", ()) if x not in self.notes):
                warn(note)
        if self.incomplete is not None:
            warn(self.incomplete)

    @property
    def raw_file_names(self) -> list[str]:
        return [file.path for file in self.raw.files]

    @property
    def processed_file_names(self) -> str:
        parts = ["data", self.version, self.scheme, self.revision, *self._choices]
        parts += [f"{modality}={tag(encoder)}" for modality, encoder in self.encoders.items()]
        parts.append(self.images_tag)
        if self.pre_transform is not None:
            words = ADDRESS.sub("", repr(self.pre_transform))
            parts.append(f"pre={hash_content(words)[:8]}")
        return "_".join(part for part in parts if part) + ".safetensors"

    @property
    def has_process(self) -> bool:
        return self.root != MISSING

    @property
    def revision(self) -> str:
        r"""What else the processed file depends on, fit for its name."""
        return ""

    @property
    def incomplete(self) -> str | None:
        r"""A warning, if facts that were published are not there."""
        return None

    @property
    def num_relations(self) -> int:
        r"""The number of relations, without inverses."""
        return self._data.num_relations

    @property
    def node_names(self) -> list[str]:
        r"""The name of each entity, for people; names are not unique."""
        return self._data.node_names

    @property
    def rel_names(self) -> list[str]:
        r"""The name of each relation, for people."""
        return self._data.rel_names

    # What a dataset implements:

    def read(self) -> Record:
        r"""Reads the facts. To be implemented."""
        raise NotImplementedError

    def read_texts(self, data: Data) -> list[str | None]:
        r"""Reads the text of each entity."""
        raise NotImplementedError

    def read_literals(self) -> Literals:
        r"""Reads the numeric literals: entities (by any of their names), attributes and values.
        Those of other entities are left out later.
        """
        raise NotImplementedError

    def read_aliases(self) -> Iterable[tuple[str, str]]:
        r"""Reads pairs of an identifier and another name."""
        return ()

    def read_images(self, names: NameIndex) -> Sequence[object]:
        r"""Finds the images of each entity."""
        if self.images_source is not None:
            unpacked = self.raw.disk_path("unpacked")
            return find_images(self.images_source, names, folder=unpacked)
        folder = self.raw.path("images")
        if osp.isdir(folder):
            return find_images(folder, names)
        if self.raw.may_have("images"):
            return self._fetch_images(names)
        raise ValueError(
            f"There are no images of '{self.__class__.__name__}'. Please pass the folder that "
            f"holds them as 'images', named by entity (as in '{names.example()}.jpg')"
        )

    def split_entities(self, data: Data) -> Data:
        r"""Returns the graph with the splits of :obj:`scheme="inductive"`."""
        return inductive_split(data)

    def default_encoder(self, modality: str) -> Encoder | None:
        r"""Returns the encoder that :obj:`"auto"` stands for."""
        if modality not in self.modalities:
            return None
        if modality != "visual":
            return TfidfEncoder() if modality == "text" else NumericEncoder()
        if self.raw.may_have("visual"):
            try:
                return FeatureFile(*self.raw.fetch("visual"), strict=False)
            except RuntimeError as e:
                warn(f"The dataset is used without images: {e}")
        return None

    # What it gives to its user beside the graph:

    def texts(self) -> list[str | None]:
        r"""Returns the text of each entity, :obj:`None` for one without."""
        self._need("text")
        return self.read_texts(self._data)

    def literals(self) -> tuple[Tensor, list[str], Tensor]:
        r"""Returns the numeric literals of the entities of this graph: rows of entities,
        attributes, and values.
        """
        self._need("numeric")
        return self._find_literals(self.names())

    def images(self) -> Sequence[object]:
        r"""Returns the image files of each entity, :obj:`None` for one without."""
        self._need("visual")
        return self.read_images(self.names())

    def names(self, data: Data | None = None) -> NameIndex:
        r"""Returns the index that finds entities by all their names."""
        self.raw.fetch("names")
        return NameIndex((data or self._data).node_ids, self.read_aliases())

    def summary(self) -> Summary:
        r"""Returns how much of what there is: facts, and features of each modality."""
        data, (x_dict, mask_dict) = self._data, modalities(self._data)
        settings = ", ".join(f"'{x}'" for x in (self.version, self.scheme) if x is not None)
        base = data.edge_type < data.num_relations  # Without inverses, as relations are.
        return Summary(
            name=f"{self.__class__.__name__} ({settings})",
            num_nodes=data.num_nodes,
            num_relations=data.num_relations,
            num_facts={x: int(data[f"{x}_mask"][base].sum()) for x in SPLITS},
            coverage={name: int(mask.sum()) for name, mask in mask_dict.items()},
            channels={name: x.size(-1) for name, x in x_dict.items()},
            encoders=dict(data.get("encoders", {})),
            warning=self.incomplete,
        )

    def report(self) -> Report:
        r"""Returns what is in the graph, what was left out, and what to know about its splits."""
        sources, columns = (self._data.get(key, {}) for key in ("sources", "columns"))
        return Report(self.summary(), audit(self._data), sources, self.notes, columns)

    # How it is made:

    def build(self) -> Data:
        r"""Returns the graph as it is saved: read, checked, encoded and transformed."""
        with noted() as notes:
            data = self.read().to_data()
            if self.scheme != "original":
                data = clean_split(data)
            if self.scheme == "inductive":
                data = self.split_entities(data)
            validate(data)  # Before encoders spend their time on it.
            self.encode(data)
        validate(data)
        if notes:
            data.notes = notes
        return data if self.pre_transform is None else self.pre_transform(data)

    def encode(self, data: Data) -> None:
        r"""Runs the encoders and adds :obj:`x_<modality>`, :obj:`<modality>_mask` and
        :obj:`encoders[<modality>]` to the graph.
        """
        # What is missing is found before encoders spend their time, and the largest features come
        # last, when the others have given back what they needed on the way:
        order = ("text", "numeric", "visual")
        encoders = {x: encoder for x in order if (encoder := self.encoders[x]) is not None}
        names = cache(lambda: self.names(data))  # Read once, and only if entities go by names.
        inputs = {modality: self._inputs(modality, data, names) for modality in encoders}
        for modality, encoder in encoders.items():
            x, keep = run_encoder(modality, encoder, *inputs[modality])
            data[f"x_{modality}"] = x
            data[f"{modality}_mask"] = keep
            data.encoders = {**data.get("encoders", {}), modality: record_of(encoder)}

    def process(self) -> None:
        self.raw.check()  # Also what was put in place by hand.
        data = self.build()
        with replacing(self.processed_paths[0]) as file:
            # Not by `self.save()`, whose files can run code, and are not checked:
            seal({**data.to_dict(), STATES: self._states()}, file)

    def _process(self) -> None:
        # In place of PyG's, which unpickles a file that tells the 'pre_transform': our name does.
        path = self.processed_paths[0]
        if fs.exists(path) and not self.force_reload:
            return
        with locked(self.root):
            if self.force_reload or not fs.exists(path):
                if self.log and "PYTEST_CURRENT_TEST" not in os.environ:
                    print("Processing...", file=sys.stderr)
                fs.makedirs(self.processed_dir, exist_ok=True)
                self.process()

    def load(self, path: str, data_cls: type[BaseData] = Data) -> None:
        try:
            content = unseal(path, mapped=True)
            for modality, state in content.pop(STATES, {}).items():
                self.encoders[modality].load_state_dict(state)  # type: ignore[union-attr]
            self.data = data_cls.from_dict(content)
        except (ValueError, AttributeError) as e:
            raise RuntimeError(
                f"'{path}' is damaged, pass 'force_reload=True' to process the dataset again ({e})"
            ) from e

    def _states(self) -> dict[str, dict[str, Tensor | list[str]]]:
        # What encoders have learned.
        encoders = {x: y for x, y in self.encoders.items() if isinstance(y, FittedEncoder)}
        return {x: y.plain_state() for x, y in encoders.items() if y._state}

    def _inputs(
        self, modality: str, data: Data, names: Callable[[], NameIndex]
    ) -> tuple[Sequence[object], list[bool]]:
        # What the encoder of a modality is called with, and which entities have this modality.
        num_nodes = len(data.node_ids)
        if isinstance(self.encoders[modality], FeatureFile):
            return [names()], [True] * num_nodes
        if modality == "numeric":
            index, attributes, values = self._find_literals(names())
            mask = torch.zeros(num_nodes, dtype=torch.bool).index_fill(0, index, True)
            return [index, attributes, values, num_nodes], mask.tolist()
        is_text = modality == "text"
        entries: Sequence = self.read_texts(data) if is_text else self.read_images(names())
        return [entries], [entry is not None for entry in entries]

    def _find_literals(self, names: NameIndex) -> tuple[Tensor, list[str], Tensor]:
        # Those of entities that are in the graph.
        nodes, attributes, values = self.read_literals()
        index = names(nodes)
        known = (index >= 0).nonzero().view(-1)
        attributes = [attributes[i] for i in known.tolist()]
        return index[known], attributes, torch.tensor(values, dtype=torch.double)[known]

    def _need(self, modality: str) -> None:
        # Fetches what a modality is read from.
        if modality not in self.modalities:
            name, content = self.__class__.__name__, CONTENT[modality]
            raise ValueError(
                f"'{name}' has no {content}. As '{modality}', pass None or a file of features"
            )
        self.raw.fetch("names" if modality == "visual" else modality)

    def _fetch_images(self, names: NameIndex) -> list[list[str] | None]:
        # Brings the images that a mirror lists into the folder of raw files.
        (index,) = self.raw.fetch("images")
        base = self.raw.disk_path("mirror")
        with locked(self.root):
            for _, file in read_rows(index, 2, header=True):
                path, source = osp.join(base, file), mirror(file)
                if osp.exists(path):
                    continue
                try:
                    content = retrieve(source or "")
                except (OSError, ValueError) as e:
                    raise RuntimeError(
                        f"The image '{file}' is not in '{base}', and cannot be fetched from the "
                        f"mirror that TORCH_IMF_MIRROR is to name (got {source}): {e}"
                    ) from e
                with replacing(path) as out:
                    out.write(content)
            if not osp.exists(index):  # On another file system.
                content, index = read_bytes(index), osp.join(base, osp.basename(index))
                with replacing(index) as out:
                    out.write(content)
        return find_images(index, names, base)

    def __repr__(self) -> str:
        settings = [f"num_relations={self.num_relations}"]
        if self.version not in (None, *self.versions[:1]):
            settings.append(f"version='{self.version}'")
        if self.scheme != SCHEMES[0]:
            settings.append(f"scheme='{self.scheme}'")
        if self.incomplete is not None:
            settings.append("incomplete=True")
        settings += [
            f"{x}={encoder}" for x, encoder in self.encoders.items() if encoder is not None
        ]
        return f"{self.__class__.__name__}({self._data.num_nodes}, {', '.join(settings)})"


def resolve(
    modality: str, encoder: Given, default: Callable[[str], Encoder | None]
) -> Encoder | None:
    r"""Returns an encoder as it is, that of :obj:`default(modality)` for :obj:`"auto"`, and one
    that reads features from a file for its path. Raises a :class:`ValueError` if it cannot be
    called, or if its :obj:`repr` is an address in memory, which may be another's tomorrow.
    """
    if isinstance(encoder, str | os.PathLike):
        try:
            encoder = default(modality) if encoder == "auto" else FeatureFile(encoder)
        except ValueError as e:
            like = f"{'Visual' if modality == 'visual' else 'Text'}Encoder('{encoder}')"
            raise ValueError(
                f"Invalid '{modality}' argument (got '{encoder}'), expected an encoder (as {like}),"
                f" 'auto', None or a file of features: {e}"
            ) from e
    if isinstance(encoder, type) or not (encoder is None or callable(encoder)):
        hint = f", as in '{encoder.__name__}()'" if isinstance(encoder, type) else ""
        raise ValueError(
            f"Invalid '{modality}' argument (got {encoder}), expected an encoder to call or "
            f"None{hint}"
        )
    if ADDRESS.search(repr(encoder)):
        raise ValueError(
            f"The {modality} encoder {encoder!r} cannot be told from others. Give its class a "
            f"'__repr__' that names all settings: it becomes part of the processed file's name"
        )
    return encoder


def run_encoder(
    modality: str, encoder: Encoder, inputs: Sequence[object], mask: Sequence[bool]
) -> tuple[Tensor, Tensor]:
    r"""Runs an encoder and returns its features as floats, zero for entities without this modality,
    and which entities have it: those of :obj:`mask`, less those for which the encoder returns
    :obj:`False`.
    """
    out = encoder(*inputs)
    x, found = out if isinstance(out, tuple) else (out, None)
    keep = torch.tensor(mask, dtype=torch.bool)
    found = keep if found is None else found
    size, is_mask = keep.numel(), isinstance(found, Tensor) and found.dtype == torch.bool
    if not isinstance(x, Tensor) or x.dim() != 2 or not is_mask or {len(x), len(found)} != {size}:
        got = [f"{y.dtype} {list(y.size())}" if isinstance(y, Tensor) else y for y in (x, found)]
        raise ValueError(
            f"The {modality} encoder {encoder} needs to return features of shape [{size}, *], and "
            f"perhaps a boolean mask of shape [{size}] (got {got})"
        )
    x, keep = x.detach().cpu(), keep & found.cpu()
    x = x if is_mapped(x) else x.float()
    if not keep.any():
        raise ValueError(
            f"The {modality} encoder {encoder} found nothing to encode in any of the {size} "
            f"entities. Pass '{modality}=None' (to 'MultimodalKG', 'encoders={{\"{modality}\": "
            f"None}}') to leave this modality out"
        )
    return x.masked_fill(~keep.view(-1, 1), 0.0) if nonzero_rows(x)[~keep].any() else x, keep


def tag(encoder: Encoder | None) -> str:
    r"""Returns a name for the features of an encoder that is fit for a file: its class, and a hash
    of its :obj:`repr`. Versions of packages are written down inside (:meth:`record_of`).
    """
    if encoder is None:
        return "none"
    name = re.sub(r"\W", "", encoder.__class__.__name__)
    return f"{name}-{hash_content(repr(encoder))[:8]}"


def validate(data: Data) -> None:
    r"""Raises a :class:`ValueError` that says what is wrong with a :class:`KGDataset`, if anything
    is.
    """
    check_graph(data)
    for name in MASKS:
        if not data[name].any():
            raise ValueError(f"The split of '{name}' is empty")

    count = torch.stack([data[name] for name in MASKS]).sum(dim=0)
    if (count != 1).any():
        edge = int((count != 1).nonzero()[0])
        raise ValueError(f"Fact {edge} is in {int(count[edge])} splits rather than in one")
    check_range("edge_type", data.edge_type, data.num_relations)

    for modality, x in modalities(data)[0].items():
        if x.dtype != torch.float32 and not is_mapped(x):
            raise ValueError(f"'x_{modality}' needs to be of type float32 (got {x.dtype})")
        if f"{modality}_mask" not in data:
            raise ValueError(f"'x_{modality}' has no '{modality}_mask'")
        rows = nonzero_rows(x)[~data[f"{modality}_mask"]]
        if rows.any():
            raise ValueError(f"'x_{modality}' is not zero in {int(rows.sum())} masked rows")


def _choose(name: str, value: str | None, choices: tuple[str, ...]) -> str | None:
    if value is None:
        return choices[0] if choices else None
    if value not in choices:
        expected = f"expected one of {list(choices)}" if choices else "leave it out"
        raise ValueError(f"Invalid '{name}' argument (got '{value}'), {expected}")
    return value
