from collections.abc import Iterable

from torch_imf.datasets.base import Stats
from torch_imf.datasets.fb15k import TEXTS, FreebaseKG
from torch_imf.datasets.raw import IMF, OPENKE, Literals, derived, raw_files, read_literals
from torch_imf.io.tables import read_rows


class MMKB(FreebaseKG):
    r"""The base class of the knowledge graphs from the `"MMKB: Multi-Modal Knowledge Graphs"
    <https://arxiv.org/abs/1903.05485>`_ paper that are linked to FB15K.
    """

    def read_aliases(self) -> Iterable[tuple[str, str]]:
        r"""Reads the keys of images and the Freebase ids of entities, which may have several."""
        index, links = self.raw.fetch("names")
        return [(node, key) for node, key in read_rows(index, 2)] + read_links(links)


class DB15K(MMKB):
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
        **derived("DB15K"),
        "mmrns": [raw_files(f"DB15K/AdaMF-MAT/{OPENKE}")],
        # The same training facts, in another order and in the release's own:
        "imf": [
            raw_files("DB15K/IMF/{entity2id.txt,relation2id.txt,train.txt.gz,val.txt,test.txt}"),
            raw_files(f"DB15K/IMF/{IMF}"),
        ],
        "text": [[*TEXTS, *raw_files("DB15K/IMF/entity2fb.txt")]],
        "numeric": [raw_files("DB15K/Literal_KGs/DB15k_Numeric_triples_processed.txt")],
        "names": [raw_files("DB15K/MMKB/DB15K_{ImageIndex,SameAsLink}.txt")],
    }

    def find_freebase(self, node_ids: list[str]) -> Iterable[str | None]:
        rows = read_rows(self.raw.path("IMF/entity2fb.txt"), 3, sep=" ")
        return map({node: other for node, other, _ in rows}.get, node_ids)

    def read_literals(self) -> Literals:
        (path,) = self.raw.fetch("numeric")
        nodes, attributes, values = read_literals(path)
        # Written as CSV, where a name that holds quotes is quoted, and these are doubled:
        nodes = [x[1:-1].replace('""', '"') if x.startswith('"') else x for x in nodes]
        return nodes, attributes, values


class YAGO15K(MMKB):
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
        **derived("YAGO15K"),
        "imf": [
            raw_files(f"YAGO15K/IMF/{IMF}"),
            raw_files(
                "YAGO15K/IMF/{entity2id,relation2id}.txt",
                "YAGO15K/derived/train_known.txt.gz",
                "YAGO15K/IMF/{val,test}.txt",
            ),
        ],
        "text": [[*TEXTS, *raw_files("YAGO15K/MMKB/YAGO15K_SameAsLink.txt")]],
        "numeric": [raw_files("YAGO15K/Literal_KGs/YAGO15K_Numerical_handled_rdup.txt")],
        "names": [raw_files("YAGO15K/MMKB/YAGO15K_{ImageIndex,SameAsLink}.txt")],
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

    def find_freebase(self, node_ids: list[str]) -> Iterable[str | None]:
        return map(dict(read_links(self.raw.path("MMKB/YAGO15K_SameAsLink.txt"))).get, node_ids)

    def read_literals(self) -> Literals:
        (path,) = self.raw.fetch("numeric")
        return read_literals(path, sep=" ")


def read_links(path: str) -> list[tuple[str, str]]:
    r"""Reads the links of MMKB, :obj:`<Freebase id> <SameAs> <name> .` in each line, as pairs of a
    name and a Freebase id.
    """
    return [(name, node) for node, _, name, _ in read_rows(path, 4, sep=" ")]
