import hashlib
import os.path as osp
from collections.abc import Iterable, Sequence
from pathlib import Path

from torch_geometric.data import Data

from torch_imf.data.names import NameIndex
from torch_imf.datasets.base import KGDataset
from torch_imf.datasets.encoder import Encoder
from torch_imf.datasets.graph import build_graph
from torch_imf.datasets.io import read_literals, read_text, split_rows
from torch_imf.datasets.triples import index_triples
from torch_imf.encoders import NumericEncoder, PixelEncoder, TfidfEncoder
from torch_imf.io.images import read_image

FOLDER = osp.join(osp.dirname(osp.realpath(__file__)), "files", "countries")


class Countries(KGDataset):
    r"""A small graph of the countries of the world, with a text for every
    entity, a flag and numbers for every country, bundled with this package.

    Entities are countries, their capitals, regions, continents, currencies,
    languages and families of languages. The facts are real, the texts were
    written and the flags drawn for this dataset. It is there for examples and
    tests: it has never been used in the literature and its scores are not to be
    compared with any other dataset's.

    Facts, texts and flags are released under `CC0-1.0
    <https://creativecommons.org/publicdomain/zero/1.0/>`_.

    Args:
        root (str, optional): The folder to keep the processed file in.
            Without it, the graph is built in memory, in about a second.
            (default: :obj:`None`)
        version (str, optional): There is only one. (default: :obj:`None`)
        split (str, optional): :obj:`"original"` or :obj:`"clean"`, which are
            the same facts. (default: :obj:`"original"`)
        text (callable or str, optional): The encoder of the texts (name and
            description), :obj:`TfidfEncoder(channels=512)` for :obj:`"auto"`.
            :obj:`None` leaves them out. (default: :obj:`"auto"`)
        visual (callable or str, optional): The encoder of the flags,
            :obj:`PixelEncoder()` for :obj:`"auto"`. It is given
            :class:`torch.uint8` tensors of shape :obj:`[3, 24, 36]`, or the
            files of :obj:`images`. :obj:`None` leaves them out.
            (default: :obj:`"auto"`)
        numeric (callable or str, optional): The encoder of the numeric
            literals, :obj:`NumericEncoder()` for :obj:`"auto"`. :obj:`None`
            leaves them out. (default: :obj:`"auto"`)
        images (str, optional): A folder of flags to take instead of those
            drawn here, named by country code (:obj:`fr.png`), see
            :class:`KGDataset`. (default: :obj:`None`)
        transform (callable, optional): A function applied to the data at every
            access. (default: :obj:`None`)
        pre_transform (callable, optional): A function applied to the data
            before it is saved. (default: :obj:`None`)
        force_reload (bool, optional): Whether to build the processed file
            again. (default: :obj:`False`)

    **STATS:**

    .. list-table::
        :widths: 10 10 10 10 10 10 10 10
        :header-rows: 1

        * - #entities
          - #relations
          - #train
          - #val
          - #test
          - with description
          - with numbers
          - with images
        * - 725
          - 9
          - 1,663
          - 209
          - 209
          - 725
          - 399
          - 197
    """

    @property
    def revision(self) -> str:
        # The bundled files change with the package:
        digest = hashlib.sha256()
        for path in sorted(Path(FOLDER).iterdir()):
            digest.update(path.read_bytes())
        return digest.hexdigest()[:8]

    def default_encoder(self, modality: str) -> Encoder | None:
        if modality == "visual":
            return PixelEncoder()
        return TfidfEncoder(channels=512) if modality == "text" else NumericEncoder()

    def read(self) -> Data:
        nodes = self._read_entities()
        node_index = {node: i for i, node in enumerate(nodes)}
        path = osp.join(FOLDER, "triples.tsv")
        rows = split_rows(read_text(path), path, columns=4, header=True)
        rel_ids = sorted({row[1] for row in rows})
        rel_index = {rel: i for i, rel in enumerate(rel_ids)}
        triples = index_triples([row[:3] for row in rows], node_index, rel_index, path, offset=2)
        splits = [
            triples[:, [row[3] == split for row in rows]] for split in ["train", "val", "test"]
        ]
        return build_graph(splits, list(nodes), [name for name, _ in nodes.values()], rel_ids)

    def read_texts(self, data: Data) -> list[str | None]:
        return [f"{name}. {text}" for name, text in self._read_entities().values()]

    def read_literals(self) -> tuple[list[str], list[str], list[float]]:
        return read_literals(osp.join(FOLDER, "numbers.tsv"), header=True)

    def read_images(self, names: NameIndex) -> Sequence[object]:
        if self.images_source is not None:
            return super().read_images(names)
        # One below the other, in the order of the countries:
        flags = read_image(osp.join(FOLDER, "flags.png")).unflatten(1, (-1, 24)).transpose(0, 1)
        countries = [node for node in self._read_entities() if node.startswith("country:")]
        flag_of = dict(zip(countries, flags, strict=True))  # Each of shape [3, 24, 36].
        return [flag_of.get(node) for node in names.node_ids]

    def read_aliases(self) -> Iterable[tuple[str, str]]:
        r"""A country goes by its code, which files of flags are named by."""
        nodes = self._read_entities()
        return [(node, node[8:]) for node in nodes if node.startswith("country:")]

    def _read_entities(self) -> dict[str, list[str]]:
        path = osp.join(FOLDER, "entities.tsv")
        rows = split_rows(read_text(path), path, columns=3, header=True)
        return {node: texts for node, *texts in rows}
