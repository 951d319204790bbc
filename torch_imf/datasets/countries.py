import os.path as osp
from collections.abc import Iterable, Sequence
from pathlib import Path

import torch
from torch_geometric.data import Data

from torch_imf.data.names import NameIndex
from torch_imf.datasets.base import Encoder, KGDataset, Record, Stats
from torch_imf.datasets.raw import Literals, index_facts, read_literals
from torch_imf.encoders import NumericEncoder, PixelEncoder, TfidfEncoder
from torch_imf.io.hash import hash_content
from torch_imf.io.pixels import decode
from torch_imf.io.tables import read_rows

FOLDER = osp.join(osp.dirname(osp.realpath(__file__)), "files", "countries")


class Countries(KGDataset):
    r"""A small graph of the countries of the world, with a text for every entity, a flag and
    numbers for every country, bundled with this package.

    Entities are countries, their capitals, regions, continents, currencies, languages and families
    of languages. The facts are real, the texts were written and the flags drawn for this dataset.
    It is there for examples and tests: it has never been used in the literature and its scores are
    not to be compared with any other dataset's.

    Facts, texts and flags are released under `CC0-1.0
    <https://creativecommons.org/publicdomain/zero/1.0/>`_.

    Arguments are those of :class:`KGDataset`, with these differences: without :obj:`root`, the
    graph is built in memory, in about a second; :obj:`text` is :obj:`TfidfEncoder(channels=512)`
    and :obj:`visual` is :obj:`PixelEncoder()` for :obj:`"auto"`. An encoder of images is given
    :class:`torch.uint8` tensors of shape :obj:`[3, 24, 36]`, or the files of :obj:`images`, a
    folder of flags to take instead of those drawn here, named by country code (:obj:`fr.png`).
    """

    stats = {None: Stats(725, 9, 1_663, 209, 209, text=725, numeric=399, visual=197)}

    @property
    def revision(self) -> str:
        # The bundled files change with the package:
        files = sorted(Path(FOLDER).iterdir())
        return hash_content(b"".join(path.read_bytes() for path in files))[:8]

    def default_encoder(self, modality: str) -> Encoder | None:
        if modality == "visual":
            return PixelEncoder()
        return TfidfEncoder(channels=512) if modality == "text" else NumericEncoder()

    def read(self) -> Record:
        nodes = self._read_entities()
        path = osp.join(FOLDER, "triples.tsv")
        rows = read_rows(path, 4, header=True)
        rel_ids = sorted({row[1] for row in rows})
        facts = index_facts([row[:3] for row in rows], list(nodes), rel_ids, path, first=2)
        splits = [facts[:, [row[3] == split for row in rows]] for split in ("train", "val", "test")]
        return Record(splits, list(nodes), rel_ids, [name for name, _ in nodes.values()])

    def read_texts(self, data: Data) -> list[str | None]:
        return [f"{name}. {text}" for name, text in self._read_entities().values()]

    def read_literals(self) -> Literals:
        return read_literals(osp.join(FOLDER, "numbers.tsv"), header=True)

    def read_images(self, names: NameIndex) -> Sequence[object]:
        if self.images_source is not None:
            return super().read_images(names)
        # One below the other, in the order of the countries:
        (sheet,) = decode(osp.join(FOLDER, "flags.png"), largest=1 << 16)
        flags = torch.from_numpy(sheet.copy()).view(-1, 24, 36, 3).permute(0, 3, 1, 2)
        countries = [node for node in self._read_entities() if node.startswith("country:")]
        flag_of = dict(zip(countries, flags, strict=True))  # Each of shape [3, 24, 36].
        return [flag_of.get(node) for node in names.node_ids]

    def read_aliases(self) -> Iterable[tuple[str, str]]:
        r"""A country goes by its code, which files of flags are named by."""
        nodes = self._read_entities()
        return [(node, node[8:]) for node in nodes if node.startswith("country:")]

    def _read_entities(self) -> dict[str, list[str]]:
        rows = read_rows(osp.join(FOLDER, "entities.tsv"), 3, header=True)
        return {node: texts for node, *texts in rows}
