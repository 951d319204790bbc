from collections.abc import Iterable

from torch_geometric.data import Data

from torch_imf.datasets.base import KGDataset
from torch_imf.datasets.freebase import TEXTS, FreebaseTexts
from torch_imf.datasets.graph import build_graph
from torch_imf.datasets.io import read_literals, read_pairs
from torch_imf.datasets.sources import RawFile, raw_files
from torch_imf.datasets.triples import IMF, OPENKE, read_named, read_openke

LABELS = raw_files("FB15K/kg-bert/FB15k_mid2name.txt", "FB15K/villmow/entity2wikidata.json")
MODALITIES: dict[str, list[list[RawFile]]] = {
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
        names = read_pairs(self.raw.path("kg-bert/FB15k_mid2name.txt"))
        return [
            wikidata[node]["label"] if node in wikidata else names[node].replace("_", " ")
            for node in node_ids
        ]

    def read_texts(self, data: Data) -> list[str | None]:
        texts = FreebaseTexts(self.raw)
        return texts.describe(data, data.node_ids)

    def read_literals(self) -> tuple[list[str], list[str], list[float]]:
        return read_literals(self.raw.path("MMKB/FB15K_NumericalTriples.txt"))

    def read_aliases(self) -> Iterable[tuple[str, str]]:
        return read_pairs(self.raw.path("MMKB/FB15K_ImageIndex.txt")).items()


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

    **STATS:**

    .. list-table::
        :widths: 10 10 10 10 10 10 10 10 10
        :header-rows: 1

        * - version
          - #entities
          - #relations
          - #train
          - #val
          - #test
          - with description
          - with numbers
          - with images
        * - bordes
          - 14,951
          - 1,345
          - 483,142
          - 50,000
          - 59,071
          - 14,928
          - 12,493
          - 280
        * - imf
          - 14,951
          - 1,345
          - 414,549
          - 59,221
          - 118,443
          - 14,928
          - 12,493
          - 280
    """

    versions = ("bordes", "imf")
    files = {
        "bordes": [[*raw_files(*(f"FB15K/OpenKE/{file}.txt" for file in OPENKE)), *LABELS]],
        "imf": [[*raw_files(*(f"FB15K/IMF/{file}.txt" for file in IMF)), *LABELS]],
        **MODALITIES,
    }

    def read(self) -> Data:
        read = read_openke if self.version == "bordes" else read_named
        node_ids, rel_ids, splits = read(self.raw.fetch(str(self.version)))
        return build_graph(splits, node_ids, self.read_names(node_ids), rel_ids)
