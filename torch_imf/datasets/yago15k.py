from collections.abc import Iterable

from torch_geometric.data import Data

from torch_imf.datasets.base import KGDataset, Record, Stats
from torch_imf.datasets.freebase import TEXTS, FreebaseTexts, local_name, read_mmkb_names
from torch_imf.datasets.raw import (
    IMF,
    Literals,
    raw_files,
    read_links,
    read_literals,
    read_named,
)


class YAGO15K(KGDataset):
    r"""The YAGO15K knowledge graph from the `"MMKB: Multi-Modal Knowledge Graphs"
    <https://arxiv.org/abs/1903.05485>`_ paper, a part of YAGO whose entities are linked to those of
    FB15K, in the split and numbering of `IMF's release <https://github.com/HestiaSky/IMF-Pytorch>`_
    (:obj:`version="imf"`).

    .. warning::
        Where that release cannot be reached, a mirror may carry **a third of the training facts**
        (29,198 of 86,020), those that can be proven from MMKB's temporal edition; validation and
        test facts are whole. The dataset then warns at every construction, says so in its
        :obj:`repr` and :meth:`summary`, and keeps this graph in a file of its own. Scores on it
        must not be compared with published ones. Once the whole file is in :obj:`raw/IMF`, it is
        taken; :obj:`force_reload=True` tries to fetch it again.

    * **Text**: names from YAGO, and, for the entities that are linked to FB15K, their descriptions
      as in :class:`FB15K237`.
    * **Numeric literals** of MMKB, as processed by `Literal_KGs
      <https://github.com/sapkotaruz11/Literal_KGs>`_.
    * **Images** are not published in a form that can be fetched. MMKB's features are read by
      :obj:`visual="YAGO15K_ImageData.h5"`. A mirror may carry MobileNetV2 features of 263 flags,
      and the flags themselves.

    Arguments are those of :class:`KGDataset`. Facts are from YAGO (CC BY).
    """

    versions = ("imf",)
    stats = {"imf": Stats(15_404, 32, 86_020, 12_289, 24_577, 11_196, 15_081, 263)}
    files = {
        "imf": [
            raw_files(*(f"YAGO15K/IMF/{file}.txt" for file in IMF)),
            raw_files(
                "YAGO15K/IMF/{entity2id,relation2id}.txt",
                "YAGO15K/derived/train_known.txt.gz",
                "YAGO15K/IMF/{val,test}.txt",
            ),
        ],
        "text": [[*TEXTS, *raw_files("YAGO15K/MMKB/YAGO15K_SameAsLink.txt")]],
        "numeric": [raw_files("YAGO15K/Literal_KGs/YAGO15K_Numerical_handled_rdup.txt")],
        "names": [raw_files("YAGO15K/MMKB/YAGO15K_{ImageIndex,SameAsLink}.txt")],
        "visual": [raw_files("YAGO15K/derived/visual_mobilenetv2.npz")],
        "images": [raw_files("YAGO15K/derived/entity2image.tsv")],
    }

    @property
    def incomplete(self) -> str | None:
        if self.raw.taken["imf"] == 0:
            return None
        return (
            "YAGO15K holds only 29,198 of its 86,020 training facts, as IMF's 'train.txt' is "
            "neither here nor could be fetched. Scores on it must not be compared with published "
            f"ones. Please download it from '{self.files['imf'][0][2].origin}' and move it to "
            f"'{self.raw.path('IMF')}'"
        )

    def read(self) -> Record:
        splits, node_ids, rel_ids = read_named(self.raw.fetch("imf"))
        names, rel_names = (list(map(local_name, ids)) for ids in (node_ids, rel_ids))
        return Record(splits, node_ids, rel_ids, names, rel_names)

    def read_texts(self, data: Data) -> list[str | None]:
        texts = FreebaseTexts(self.raw)
        freebase = dict(read_links(self.raw.path("MMKB/YAGO15K_SameAsLink.txt")))
        return texts.describe(data, map(freebase.get, data.node_ids))

    def read_literals(self) -> Literals:
        path = self.raw.path("Literal_KGs/YAGO15K_Numerical_handled_rdup.txt")
        return read_literals(path, sep=" ")

    def read_aliases(self) -> Iterable[tuple[str, str]]:
        return read_mmkb_names(self.raw, "YAGO15K")
