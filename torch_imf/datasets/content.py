from collections.abc import Iterable, Sequence

from torch import Tensor
from torch_geometric.data import Data

from torch_imf.data import NameIndex
from torch_imf.datasets.encoder import Encoder
from torch_imf.datasets.inputs import check_modality, default_images, find_features, find_literals
from torch_imf.datasets.raw import RawFolder
from torch_imf.datasets.summary import Summary
from torch_imf.encoders import NumericEncoder, TfidfEncoder
from torch_imf.io.images import locate_images


class Content:
    r"""What a dataset reads from its raw files, and what it gives to its user
    beside the graph: texts, literals, images and names of entities. A dataset
    implements :meth:`read`, and what it has of :meth:`read_texts`,
    :meth:`read_literals` and :meth:`read_aliases`.
    """

    raw: RawFolder
    version: str | None
    split: str | None
    encoders: dict[str, Encoder | None]
    images_source: str | None
    _data: Data

    modalities: tuple[str, ...] = ("text", "visual", "numeric")
    """The modalities that the raw files hold something of."""

    @property
    def incomplete(self) -> str | None:
        r"""A warning, if facts that were published are not there."""
        return None

    def texts(self) -> list[str | None]:
        r"""Returns the text of each entity, :obj:`None` for one without."""
        check_modality(self, "text")
        self.raw.fetch("text")
        return self.read_texts(self._data)

    def literals(self) -> tuple[Tensor, list[str], Tensor]:
        r"""Returns the numeric literals of the entities of this graph: rows of
        entities, attributes, and values.
        """
        check_modality(self, "numeric")
        self.raw.fetch("numeric")
        return find_literals(self, self.names())

    def images(self) -> Sequence[object]:
        r"""Returns the image files of each entity, :obj:`None` for one
        without.
        """
        check_modality(self, "visual")
        return self.read_images(self.names())

    def names(self, data: Data | None = None) -> NameIndex:
        r"""Returns the index that finds entities by all their names."""
        self.raw.fetch("names")
        return NameIndex((data or self._data).node_ids, self.read_aliases())

    def summary(self) -> Summary:
        r"""Returns how much of what there is: facts, and features of each
        modality.
        """
        return Summary.of(self)

    def read(self) -> Data:
        r"""Reads the facts. To be implemented."""
        raise NotImplementedError

    def read_texts(self, data: Data) -> list[str | None]:
        r"""Reads the text of each entity."""
        raise NotImplementedError

    def read_literals(self) -> tuple[list[str], list[str], list[float]]:
        r"""Reads the numeric literals: entities (by any of their names),
        attributes and values. Those of other entities are left out later.
        """
        raise NotImplementedError

    def read_aliases(self) -> Iterable[tuple[str, str]]:
        r"""Reads pairs of an identifier and another name, see
        :class:`~torch_imf.data.NameIndex`.
        """
        return ()

    def read_images(self, names: NameIndex) -> Sequence[object]:
        r"""Finds the images of each entity."""
        if self.images_source is not None:
            return locate_images(self.images_source, names, self.raw.disk_path("unpacked"))
        return default_images(self, names)

    def default_encoder(self, modality: str) -> Encoder | None:
        r"""Returns the encoder that :obj:`"auto"` stands for."""
        if modality not in self.modalities:
            return None
        if modality == "visual":
            return find_features(self.raw)
        return TfidfEncoder() if modality == "text" else NumericEncoder()
