from collections.abc import Iterable

from torch_geometric.data import Data

from torch_imf.datasets.base import KGDataset, Record, Stats
from torch_imf.datasets.freebase import TEXTS, FreebaseTexts
from torch_imf.datasets.raw import (
    IMF,
    OPENKE,
    Groups,
    Literals,
    raw_files,
    read_literals,
    read_named,
    read_openke,
)
from torch_imf.io.tables import read_rows

LABELS = raw_files("FB15K/kg-bert/FB15k_mid2name.txt", "FB15K/villmow/entity2wikidata.json")
MODALITIES: Groups = {
    "text": [TEXTS],
    "numeric": [raw_files("FB15K/MMKB/FB15K_NumericalTriples.txt")],
    "names": [raw_files("FB15K/MMKB/FB15K_ImageIndex.txt")],
    "visual": [raw_files("FB15K/derived/visual_mobilenetv2{,_rsme_samples}.npz")],
    "images": [raw_files("FB15K/derived/entity2image.tsv")],
}


class FreebaseDataset(KGDataset):
    r"""The base class of graphs of the entities of FB15K, to which others
    have attached texts, numeric literals and images.
    """

    def read_names(self, node_ids: list[str]) -> list[str]:
        r"""Reads the label of each entity in Wikidata, or its name in
        Freebase.
        """
        wikidata = FreebaseTexts(self.raw).wikidata
        names = dict(read_rows(self.raw.path("kg-bert/FB15k_mid2name.txt"), 2))
        return [
            wikidata[node]["label"] if node in wikidata else names[node].replace("_", " ")
            for node in node_ids
        ]

    def read_texts(self, data: Data) -> list[str | None]:
        texts = FreebaseTexts(self.raw)
        return texts.describe(data, data.node_ids)

    def read_literals(self) -> Literals:
        return read_literals(self.raw.path("MMKB/FB15K_NumericalTriples.txt"))

    def read_aliases(self) -> Iterable[tuple[str, str]]:
        return dict(read_rows(self.raw.path("MMKB/FB15K_ImageIndex.txt"), 2)).items()


class FB15K(FreebaseDataset):
    r"""The FB15K knowledge graph from the `"Translating Embeddings for
    Modeling Multi-relational Data"
    <https://papers.nips.cc/paper/5071-translating-embeddings-for-modeling-multi-relational-data>`_
    paper, with the texts, numeric literals and images that later work attached
    to its entities.

    .. warning::
        43,616 of its 59,071 test facts (:obj:`"bordes"`) follow from a
        training fact by an inverse, duplicate or symmetric relation, see
        :meth:`torch_imf.data.audit`. Scores on it say little about a model;
        :class:`FB15K237` was made for this reason.

    Versions, which differ in how the same 592,213 facts are split, and in how
    entities and relations are numbered:

    * :obj:`"bordes"`: the original split. Entities are numbered as in the
      `OpenKE <https://github.com/thunlp/OpenKE>`_ release.
    * :obj:`"imf"`: the 70/10/20 split of the `"IMF: Interactive Multimodal
      Fusion Model for Link Prediction" <https://arxiv.org/abs/2303.10816>`_
      paper, numbered as in `its release
      <https://github.com/HestiaSky/IMF-Pytorch>`_.

    Texts, literals and images are those of :class:`FB15K237`; arguments are
    those of :class:`KGDataset`. Facts and literals are from Freebase (CC BY),
    descriptions from Wikidata (CC0) and Wikipedia (CC BY-SA).
    """

    versions = ("bordes", "imf")
    stats = {
        "bordes": Stats(14_951, 1_345, 483_142, 50_000, 59_071, 14_928, 12_493, 280),
        "imf": Stats(14_951, 1_345, 414_549, 59_221, 118_443, 14_928, 12_493, 280),
    }
    files = {
        "bordes": [[*raw_files(*(f"FB15K/OpenKE/{file}.txt" for file in OPENKE)), *LABELS]],
        "imf": [[*raw_files(*(f"FB15K/IMF/{file}.txt" for file in IMF)), *LABELS]],
        **MODALITIES,
    }

    def read(self) -> Record:
        read = read_openke if self.version == "bordes" else read_named
        splits, node_ids, rel_ids = read(self.raw.fetch(str(self.version)))
        return Record(splits, node_ids, rel_ids, self.read_names(node_ids))
