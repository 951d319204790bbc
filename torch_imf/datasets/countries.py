import hashlib
import os.path as osp
from collections.abc import Callable
from pathlib import Path

from torch_geometric.data import Data

from torch_imf.datasets.base import KGDataset
from torch_imf.datasets.encoder import Encoder, resolve
from torch_imf.datasets.flags import draw_flag
from torch_imf.datasets.graph import build_graph
from torch_imf.datasets.io import index_triples, read_text, split_rows
from torch_imf.encoders import PixelEncoder, TfidfEncoder

FOLDER = osp.join(osp.dirname(osp.realpath(__file__)), "files", "countries")


class Countries(KGDataset):
    r"""A small graph of the countries of the world, with a text for every
    entity and a flag for every country, bundled with this package.

    Entities are countries, their capitals, regions, continents, currencies,
    languages and families of languages. The facts are real, the texts were
    written for this dataset, and the flags are drawn from one line of text
    each. It is there for examples and tests: it has never been used in the
    literature and its scores are not to be compared with any other dataset's.

    Facts, texts and flags are released under `CC0-1.0
    <https://creativecommons.org/publicdomain/zero/1.0/>`_.

    Args:
        root (str, optional): The folder to keep the processed file in.
            Without it, the graph is built in memory, in about a second.
            (default: :obj:`None`)
        text (callable or str, optional): The encoder of the texts (name and
            description), :obj:`TfidfEncoder(channels=512)` for :obj:`"auto"`.
            :obj:`None` leaves them out. (default: :obj:`"auto"`)
        visual (callable or str, optional): The encoder of the flags,
            :obj:`PixelEncoder()` for :obj:`"auto"`. It is given
            :class:`torch.uint8` tensors of shape :obj:`[3, 24, 36]`.
            :obj:`None` leaves them out. (default: :obj:`"auto"`)
        transform (callable, optional): A function applied to the data at every
            access. (default: :obj:`None`)
        pre_transform (callable, optional): A function applied to the data
            before it is saved. (default: :obj:`None`)
        force_reload (bool, optional): Whether to build the processed file
            again. (default: :obj:`False`)

    **STATS:**

    .. list-table::
        :widths: 10 10 10 10 10 10 10
        :header-rows: 1

        * - #entities
          - #relations
          - #train
          - #val
          - #test
          - with text
          - with flag
        * - 725
          - 9
          - 1,663
          - 209
          - 209
          - 725
          - 197
    """

    def __init__(
        self,
        root: str | None = None,
        text: Encoder | str | None = "auto",
        visual: Encoder | str | None = "auto",
        transform: Callable | None = None,
        pre_transform: Callable | None = None,
        force_reload: bool = False,
    ) -> None:
        text = resolve("text", text, lambda: TfidfEncoder(channels=512))
        visual = resolve("visual", visual, PixelEncoder)

        # The bundled files change with the package, so they name the split:
        digest = hashlib.sha256()
        for path in [*sorted(Path(FOLDER).glob("*.tsv")), Path(__file__).with_name("flags.py")]:
            digest.update(path.read_bytes())
        self.split = f"original-{digest.hexdigest()[:8]}"

        super().__init__(root, text, visual, None, transform, pre_transform, force_reload)

    def read(self) -> Data:
        path = osp.join(FOLDER, "entities.tsv")
        node_ids, node_names, texts = map(
            list, zip(*split_rows(read_text(path), path, columns=3, header=True), strict=True)
        )
        node_index = {node: i for i, node in enumerate(node_ids)}

        path = osp.join(FOLDER, "triples.tsv")
        rows = split_rows(read_text(path), path, columns=4, header=True)
        rel_names = sorted({row[1] for row in rows})
        rel_index = {rel: i for i, rel in enumerate(rel_names)}
        triples = index_triples([row[:3] for row in rows], node_index, rel_index, path, offset=2)
        splits = [
            triples[:, [row[3] == split for row in rows]] for split in ["train", "val", "test"]
        ]
        data = build_graph(splits, node_ids, node_names, rel_names)

        if self.encoders["text"] is not None:
            texts = [f"{name}. {text}" for name, text in zip(node_names, texts, strict=True)]
            self.encode(data, "text", texts, mask=[True] * len(texts))
        if self.encoders["visual"] is not None:
            path = osp.join(FOLDER, "flags.tsv")
            specs = dict(split_rows(read_text(path), path, columns=2, header=True))
            images = [draw_flag(specs[node]) if node in specs else None for node in node_ids]
            self.encode(data, "visual", images, mask=[image is not None for image in images])
        return data
