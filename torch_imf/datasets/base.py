import os.path as osp
import warnings
from collections.abc import Callable

import torch
from torch_geometric.data import Data
from torch_geometric.data.dataset import MISSING
from torch_geometric.io import fs

from torch_imf.data.split import clean_split
from torch_imf.datasets.content import Content
from torch_imf.datasets.encoder import Encoder, check_encoder, resolve, tag
from torch_imf.datasets.graph import validate
from torch_imf.datasets.inputs import (
    add_features,
    check_modality,
    group_of,
)
from torch_imf.datasets.processed import Processed, loading
from torch_imf.datasets.raw import RawFolder
from torch_imf.datasets.sources import RawFile
from torch_imf.encoders import FeatureFile
from torch_imf.io.atomic import replacing
from torch_imf.io.images import source_tag

SPLITS = ("original", "clean")


class KGDataset(Content, Processed):
    r"""The base class of multimodal knowledge graphs.

    A dataset is one :class:`~torch_geometric.data.Data` object that holds all
    facts, and the masks :obj:`train_mask`, :obj:`val_mask` and
    :obj:`test_mask` over its edges. The only graph a model may see during
    training is :obj:`data.edge_subgraph(data.train_mask)`.

    =================================  ========================================
    :obj:`edge_index`                  head and tail of each fact, \
                                       :math:`(2, |\mathcal{E}|)`
    :obj:`edge_type`                   its relation, :math:`(|\mathcal{E}|)`
    :obj:`num_nodes`                   the number of entities
    :obj:`num_relations`               the number of relations, no inverses
    :obj:`node_ids`                    the identifier of each entity
    :obj:`node_names`                  its name for people, not unique
    :obj:`rel_ids`                     the identifier of each relation
    :obj:`rel_names`                   its name for people, not unique
    :obj:`x_text`, :obj:`x_visual`, \
    :obj:`x_numeric`                   the features of each modality, \
                                       :math:`(|\mathcal{V}|, D)`, where there\
                                       are any
    :obj:`text_mask`, \
    :obj:`visual_mask`, \
    :obj:`numeric_mask`                whether an entity has this modality, \
                                       :math:`(|\mathcal{V}|)`; rows of those\
                                       without are zero
    :obj:`encoders`                    the encoder of each modality in words, \
                                       with the versions of its packages
    =================================  ========================================

    The texts, literals and images themselves are returned by :meth:`texts`,
    :meth:`literals` and :meth:`images`. :meth:`summary` says how many entities
    have what.

    A subclass sets :attr:`files` and implements :meth:`read`, and what it has
    of :meth:`read_texts`, :meth:`read_literals` and :meth:`read_aliases`.
    Version, split, encoders and the source of images are part of the name of
    the processed file, so that two of them never mix. Raw files need to match
    their checksums; a change of what is in :obj:`raw/images`, or inside of
    image files, needs :obj:`force_reload`.

    Files are complete once they are there. Of several processes that fetch or
    process files in one root on disk, one does it (:obj:`<root>/.lock`), while
    the others wait for it and find it done.

    Args:
        root (str, optional): The folder to keep the dataset in, on disk or any
            file system of :obj:`fsspec` (as in :obj:`"memory://DB15K"`). If it
            is :obj:`None`, the dataset is built in memory, which only datasets
            without raw files can do. (default: :obj:`None`)
        version (str, optional): One of :attr:`versions`, the first of them by
            default. (default: :obj:`None`)
        split (str, optional): :obj:`"original"` are the published rows as they
            are. :obj:`"clean"` holds each fact once and no held-out fact in
            training, see :meth:`~torch_imf.data.clean_split`; models are to
            be selected on its validation facts. (default: :obj:`"original"`)
        text (callable or str, optional): The encoder of the texts, a callable
            :obj:`list[str | None] -> Tensor[N, D]`, or :obj:`None` to leave
            them out. It may also return a mask, as in :obj:`(Tensor[N, D],
            Tensor[N])`, that is :obj:`False` for entities that turned out to
            have none. Its :obj:`repr` needs to tell all settings that shape
            the features. The path of a file of features, as its authors
            published it, is read by :class:`~torch_imf.encoders.FeatureFile`.
            :obj:`"auto"` is :obj:`TfidfEncoder()`, which takes seconds.
            (default: :obj:`"auto"`)
        visual (callable or str, optional): The encoder of the images, a
            callable :obj:`list[list[path] | None] -> Tensor[N, D]`, or a file
            of features, as above. :obj:`"auto"` takes the MobileNetV2
            features of a mirror that has them, and leaves images out
            otherwise. (default: :obj:`"auto"`)
        numeric (callable or str, optional): The encoder of the numeric
            literals, a callable :obj:`(index, attributes, values, num_nodes)
            -> Tensor[N, D]`, or a file of features, as above. :obj:`"auto"`
            is :obj:`NumericEncoder()` where there are literals.
            (default: :obj:`"auto"`)
        images (str, optional): Where the images for :obj:`visual` are: a
            folder (:obj:`<entity>.jpg`, or :obj:`<entity>/*.jpg` as in MMKB,
            where an entity goes by any of its names, with a dot for each
            slash of a Freebase id), an index file of entities and paths, or
            an archive. By default, :obj:`raw/images` if it is there, and
            otherwise the flags that a mirror may carry.
            (default: :obj:`None`)
        transform (callable, optional): A function applied to the data at every
            access. (default: :obj:`None`)
        pre_transform (callable, optional): A function applied to the data
            before it is saved. (default: :obj:`None`)
        force_reload (bool, optional): Whether to process the raw files again.
            (default: :obj:`False`)

    Raises:
        ValueError: If there is no such version or split, an encoder cannot be
            told apart by its :obj:`repr`, a file is malformed, or the data is
            not sound.
        RuntimeError: If a file cannot be fetched or the processed file is
            damaged.
    """

    versions: tuple[str, ...] = ()
    """The published versions of the facts, the default first, if there are
    any."""

    files: dict[str, list[list[RawFile]]] = {}
    """The raw files by what they are for, a version or :obj:`"facts"`,
    :obj:`"text"`, :obj:`"numeric"`, :obj:`"names"` (aliases), and what only a
    mirror may have: :obj:`"visual"` (ready features) and :obj:`"images"` (an
    index file). Each is a list of alternatives, the first to be had is
    taken."""

    def __init__(
        self,
        root: str | None = None,
        version: str | None = None,
        split: str = "original",
        text: Encoder | str | None = "auto",
        visual: Encoder | str | None = "auto",
        numeric: Encoder | str | None = "auto",
        images: str | None = None,
        transform: Callable | None = None,
        pre_transform: Callable | None = None,
        force_reload: bool = False,
    ) -> None:
        if root is None and len(self.files) > 0:
            raise ValueError(f"'{self.__class__.__name__}' needs a 'root' to keep its files in")
        self.version = choose("version", version, self.versions)
        self.split = choose("split", split, SPLITS)
        self.root = MISSING if root is None else osp.expanduser(fs.normpath(root))
        self.raw = RawFolder(self.raw_dir, self.files, renew=force_reload)
        self.images_source = images
        self.images_tag = "" if images is None else source_tag(images)
        self.encoders = {
            modality: resolve(modality, encoder, self.default_encoder)
            for modality, encoder in (("text", text), ("visual", visual), ("numeric", numeric))
        }
        visual = self.encoders["visual"]
        if images is not None and (visual is None or isinstance(visual, FeatureFile)):
            raise ValueError(
                f"'images' needs an encoder of images as 'visual', such as VisualEncoder (got "
                f"{visual})"
            )
        self.raw.fetch(self.version or "facts")
        for modality, encoder in self.encoders.items():
            if encoder is not None:
                check_encoder(modality, encoder)
                if not isinstance(encoder, FeatureFile):
                    check_modality(self, modality)
                self.raw.fetch(group_of(modality, encoder))

        self.second_choices = self.raw.second_choices

        self.force_reload = force_reload
        with self.guard():
            super().__init__(root, transform, pre_transform, force_reload=force_reload)

        if self.incomplete is not None:
            warnings.warn(self.incomplete, stacklevel=2)
        if root is None:
            self.data, self.slices = self.collate([self.build()])
            return
        with loading(self.processed_paths[0]):
            self.load(self.processed_paths[0])

    @property
    def raw_file_names(self) -> list[str]:
        return self.raw.files

    @property
    def processed_file_names(self) -> str:
        parts = ["data", self.version, self.split, self.revision, *self.second_choices]
        parts += [f"{modality}={tag(encoder)}" for modality, encoder in self.encoders.items()]
        if self.images_source is not None:
            parts.append(f"images={self.images_tag}")
        return "_".join(part for part in parts if part) + ".pt"

    @property
    def has_download(self) -> bool:
        return len(self.files) > 0

    @property
    def has_process(self) -> bool:
        return self.root != MISSING

    @property
    def revision(self) -> str:
        r"""What else the processed file depends on, fit for its name."""
        return ""

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

    def download(self) -> None:
        self.raw.check()

    def build(self) -> Data:
        r"""Returns the graph as it is saved: read, checked, encoded and
        transformed.
        """
        data = self.read()
        if self.split == "clean":
            data = clean_split(data)
        validate(data)  # Before encoders spend their time on it.
        add_features(self, data)
        validate(data)
        return data if self.pre_transform is None else self.pre_transform(data)

    def process(self) -> None:
        self.download()  # Checks files that were put in place by hand.
        data = self.build()
        with replacing(self.processed_paths[0]) as file:
            # As `self.save()`, which holds two copies of all features on the way:
            torch.save((data.to_dict(), None, data.__class__), file)

    def __repr__(self) -> str:
        settings = [f"num_relations={self.num_relations}"]
        if self.version is not None and self.version != self.versions[0]:
            settings.append(f"version='{self.version}'")
        if self.split != SPLITS[0]:
            settings.append(f"split='{self.split}'")
        if self.incomplete is not None:
            settings.append("incomplete=True")
        settings += [
            f"{k}={encoder}" for k, encoder in self.encoders.items() if encoder is not None
        ]
        return f"{self.__class__.__name__}({self._data.num_nodes}, {', '.join(settings)})"


def choose(name: str, value: str | None, choices: tuple[str, ...]) -> str | None:
    r"""Returns one of some choices, the first of them for :obj:`None`.

    Raises:
        ValueError: If it is not one of them.
    """
    if value is None:
        return choices[0] if choices else None
    if value not in choices:
        expected = f"expected one of {list(choices)}" if choices else "leave it out"
        raise ValueError(f"Invalid '{name}' argument (got '{value}'), {expected}")
    return value
