from collections.abc import Iterable

from torch_geometric.data import Data

from torch_imf.datasets.base import KGDataset, Record, Stats
from torch_imf.datasets.freebase import TEXTS, FreebaseTexts, local_name, read_mmkb_names
from torch_imf.datasets.raw import (
    IMF,
    OPENKE,
    Literals,
    raw_files,
    read_literals,
    read_named,
    read_openke,
)
from torch_imf.io.tables import read_rows


class DB15K(KGDataset):
    r"""The DB15K knowledge graph from the `"MMKB: Multi-Modal Knowledge Graphs"
    <https://arxiv.org/abs/1903.05485>`_ paper, a part of DBpedia whose entities are linked to those
    of FB15K.

    Versions, both cut from MMKB's 99,028 lines, which hold 89,197 distinct facts:

    * :obj:`"mmrns"`: the split of the `"Relation-enhanced Negative Sampling for Multimodal
      Knowledge Graph Completion" <https://dl.acm.org/doi/10.1145/3503161.3548388>`_ paper, that of
      AdaMF-MAT, MyGO, NativE and MoMoK, numbered as in the `AdaMF-MAT
      <https://github.com/zjukg/AdaMF-MAT>`_ release. Training and test facts are disjoint, but
      8,719 of its 9,904 validation rows are training facts.
    * :obj:`"imf"`: the split of the `"IMF: Interactive Multimodal Fusion Model for Link Prediction"
      <https://arxiv.org/abs/2303.10816>`_ paper, numbered as in `its release
      <https://github.com/HestiaSky/IMF-Pytorch>`_. 2,737 of its 19,806 test rows are training
      facts, so that a part of the test score is memory. The order of training rows may differ from
      the release.

    Scores on one of them cannot be compared with scores on the other. Models are to be selected on
    :obj:`scheme="clean"`, which is without repetitions: its test facts are the distinct ones of the
    version, :obj:`"mmrns"` gets a new set of validation facts.

    * **Text**: names from DBpedia, and, for all but three entities, the descriptions of the entity
      of FB15K that it is linked to, as in :class:`FB15K237`.
    * **Numeric literals** of MMKB, as processed by `Literal_KGs
      <https://github.com/sapkotaruz11/Literal_KGs>`_.
    * **Images** are not published in a form that can be fetched. MMKB's features are read by
      :obj:`visual="DB15K_ImageData.h5"`, those of AdaMF-MAT by :obj:`visual="DB15K-visual.pth"`
      (rows without names, in the order of :obj:`"mmrns"`; for :obj:`"imf"`, pass
      :obj:`FeatureFile("DB15K-visual.pth", ids="AdaMF-MAT/entity2id.txt")` with the ids of that
      release). A mirror may carry MobileNetV2 features of 269 flags, and the flags themselves.

    Arguments are those of :class:`KGDataset`. Facts are from DBpedia (CC BY-SA).
    """

    versions = ("mmrns", "imf")
    stats = {
        "mmrns": Stats(12_842, 279, 79_222, 9_904, 9_902, 12_839, 10_971, 269),
        "imf": Stats(12_842, 279, 69_319, 9_903, 19_806, 12_839, 10_971, 269),
    }
    files = {
        "mmrns": [raw_files(*(f"DB15K/AdaMF-MAT/{file}.txt" for file in OPENKE))],
        # The same training facts, in another order and in the release's own:
        "imf": [
            raw_files("DB15K/IMF/{entity2id.txt,relation2id.txt,train.txt.gz,val.txt,test.txt}"),
            raw_files(*(f"DB15K/IMF/{file}.txt" for file in IMF)),
        ],
        "text": [[*TEXTS, *raw_files("DB15K/IMF/entity2fb.txt")]],
        "numeric": [raw_files("DB15K/Literal_KGs/DB15k_Numeric_triples_processed.txt")],
        "names": [raw_files("DB15K/MMKB/DB15K_{ImageIndex,SameAsLink}.txt")],
        "visual": [raw_files("DB15K/derived/visual_mobilenetv2.npz")],
        "images": [raw_files("DB15K/derived/entity2image.tsv")],
    }

    def read(self) -> Record:
        read = read_openke if self.version == "mmrns" else read_named
        splits, node_ids, rel_ids = read(self.raw.fetch(str(self.version)))
        names, rel_names = (list(map(local_name, ids)) for ids in (node_ids, rel_ids))
        return Record(splits, node_ids, rel_ids, names, rel_names)

    def read_texts(self, data: Data) -> list[str | None]:
        texts = FreebaseTexts(self.raw)
        rows = read_rows(self.raw.path("IMF/entity2fb.txt"), 3, sep=" ")
        freebase = {node: other for node, other, _ in rows}
        return texts.describe(data, map(freebase.get, data.node_ids))

    def read_literals(self) -> Literals:
        path = self.raw.path("Literal_KGs/DB15k_Numeric_triples_processed.txt")
        nodes, attributes, values = read_literals(path)
        # Written as CSV, where a name that holds quotes is quoted, and these are doubled:
        nodes = [x[1:-1].replace('""', '"') if x.startswith('"') else x for x in nodes]
        return nodes, attributes, values

    def read_aliases(self) -> Iterable[tuple[str, str]]:
        return read_mmkb_names(self.raw, "DB15K")
