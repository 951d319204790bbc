import io
import json
import tarfile
from collections.abc import Iterable
from typing import ClassVar

from torch_geometric.data import Data

from torch_imf.data.split import inductive_split
from torch_imf.datasets.base import KGDataset, Record, Stats
from torch_imf.datasets.raw import (
    IMF,
    OPENKE,
    Facts,
    Groups,
    Literals,
    derived,
    join,
    local_name,
    number_facts,
    raw_files,
    read_literals,
    read_release,
    tidy,
)
from torch_imf.io.atomic import read_bytes
from torch_imf.io.tables import read_lines, read_rows, to_columns

TEXTS = raw_files("FB15K/StAR/fb-entity2text-new.txt", "FB15K/villmow/entity2wikidata.json")
LABELS = raw_files("FB15K/kg-bert/FB15k_mid2name.txt", "FB15K/villmow/entity2wikidata.json")
MODALITIES: Groups = {
    **derived("FB15K"),
    "text": [TEXTS],
    "numeric": [raw_files("FB15K/MMKB/FB15K_NumericalTriples.txt")],
    "names": [raw_files("FB15K/MMKB/FB15K_ImageIndex.txt")],
    "visual": [raw_files("FB15K/derived/visual_mobilenetv2{,_rsme_samples}.npz")],
}


class FreebaseKG(KGDataset):
    r"""The base class of graphs whose entities are those of FB15K or linked to them, and described
    as these are: by the short descriptions of `Wikidata
    <https://github.com/villmow/datasets_knowledge_embedding>`_ and the first sentences that `StAR
    <https://github.com/wangbo9719/StAR_KGC>`_ collected.
    """

    def read(self) -> Record:
        splits, node_ids, rel_ids = self.read_facts()
        return Record(splits, node_ids, rel_ids, *self.read_names(node_ids, rel_ids))

    def read_facts(self) -> Facts:
        r"""Reads the splits, and the identifiers of entities and relations."""
        return read_release(self.raw.fetch(str(self.version)))

    def read_names(self, node_ids: list[str], rel_ids: list[str]) -> tuple[list[str], list[str]]:
        r"""Returns the names of entities and relations."""
        return list(map(local_name, node_ids)), list(map(local_name, rel_ids))

    def read_texts(self, data: Data) -> list[str | None]:
        wikidata = self.read_wikidata()
        sentences = dict(read_rows(self.raw.path("StAR/fb-entity2text-new.txt"), 2))
        texts: list[str | None] = []
        for name, node in zip(data.node_names, self.find_freebase(data.node_ids), strict=True):
            short = wikidata.get(node or "", {}).get("description") or ""
            sentence = sentences.get(node or "", "").partition(" -- ")[2]
            texts.append(join(name, tidy(short), tidy(sentence)))
        return texts

    def find_freebase(self, node_ids: list[str]) -> Iterable[str | None]:
        r"""Returns the Freebase id of each entity, :obj:`None` for one without."""
        return node_ids

    def read_wikidata(self) -> dict[str, dict[str, str]]:
        r"""Reads the entries of Wikidata by Freebase id."""
        return json.loads(read_bytes(self.raw.path("villmow/entity2wikidata.json")))

    def freebase_by(self, key: str) -> dict[str, str]:
        r"""Returns the Freebase id of each entity by its :obj:`"wikidata_id"` (:obj:`Q76`), or by
        the title of its article in :obj:`"wikipedia"`.
        """
        found: dict[str, str] = {}
        for node, entry in self.read_wikidata().items():
            if entry.get(key):
                found.setdefault(entry[key].rpartition("/wiki/")[2], node)
        return found


class FB15K(FreebaseKG):
    r"""The FB15K knowledge graph from the `"Translating Embeddings for Modeling Multi-relational
    Data"
    <https://papers.nips.cc/paper/5071-translating-embeddings-for-modeling-multi-relational-data>`_
    paper, with the texts, numeric literals and images that later work attached to its entities.

    .. warning::
        43,616 of its 59,071 test facts (:obj:`"bordes"`) follow from a training fact by an inverse,
        duplicate or symmetric relation, see :meth:`torch_imf.data.audit`. Scores on it say little
        about a model; :class:`FB15K237` was made for this reason.

    Versions, which differ in how the same 592,213 facts are split, and in how entities and
    relations are numbered:

    * :obj:`"bordes"`: the original split. Entities are numbered as in the `OpenKE
      <https://github.com/thunlp/OpenKE>`_ release.
    * :obj:`"imf"`: the 70/10/20 split of the `"IMF: Interactive Multimodal Fusion Model for Link
      Prediction" <https://arxiv.org/abs/2303.10816>`_ paper, numbered as in `its release
      <https://github.com/HestiaSky/IMF-Pytorch>`_.

    Texts, literals and images are those of :class:`FB15K237`; arguments are those of
    :class:`KGDataset`. Facts and literals are from Freebase (CC BY), descriptions from Wikidata
    (CC0) and Wikipedia (CC BY-SA).
    """

    versions: ClassVar[tuple[str, ...]] = ("bordes", "imf")
    stats = {
        "bordes": Stats(14_951, 1_345, 483_142, 50_000, 59_071, 14_928, 12_493, 280),
        "imf": Stats(14_951, 1_345, 414_549, 59_221, 118_443, 14_928, 12_493, 280),
    }
    files = {
        "bordes": [[*raw_files(f"FB15K/OpenKE/{OPENKE}"), *LABELS]],
        "imf": [[*raw_files(f"FB15K/IMF/{IMF}"), *LABELS]],
        **MODALITIES,
    }

    def read_names(self, node_ids: list[str], rel_ids: list[str]) -> tuple[list[str], list[str]]:
        wikidata = self.read_wikidata()
        names = dict(read_rows(self.raw.path("kg-bert/FB15k_mid2name.txt"), 2))
        return [
            wikidata[node]["label"] if node in wikidata else names[node].replace("_", " ")
            for node in node_ids
        ], rel_ids

    def read_literals(self) -> Literals:
        return read_literals(self.raw.path("MMKB/FB15K_NumericalTriples.txt"))

    def read_aliases(self) -> Iterable[tuple[str, str]]:
        return dict(read_rows(self.raw.path("MMKB/FB15K_ImageIndex.txt"), 2)).items()


class FB15K237(FB15K):
    r"""The FB15K-237 knowledge graph from the `"Observed Versus Latent Features for Knowledge Base
    and Text Inference" <https://aclanthology.org/W15-4007>`_ paper, with the texts, numeric
    literals and images that later work attached to its entities.

    The facts are those of the `ConvE <https://github.com/TimDettmers/ConvE>`_ release. Entities and
    relations are numbered by first appearance, which is the order of the OpenKE and IMF releases.
    Names are Wikidata's labels (:obj:`node_names`) and Freebase's paths (:obj:`rel_names`).

    * **Text**, of every entity: its name, its short description in Wikidata, and its first sentence
      as collected by `StAR <https://github.com/wangbo9719/StAR_KGC>`_, one after the other (23
      entities of FB15K have a name only). Such texts may state the fact that is asked for, as in
      all work that uses them.
    * **Numeric literals**, of 12,493 entities of FB15K, from the `"MMKB: Multi-Modal Knowledge
      Graphs" <https://arxiv.org/abs/1903.05485>`_ paper.
    * **Images** are not published in a form that can be fetched. MMKB's features are read by
      :obj:`visual="FB15K_ImageData.h5"`. A mirror may carry MobileNetV2 features of 280 entities
      (flags of countries and states, and ten photographs), and the flags themselves.

    Of :obj:`scheme="inductive"`, the new entities are those of the `"Inductive Entity
    Representations from Text via Link Prediction" <https://arxiv.org/abs/2010.03496>`_ paper (BLP),
    1,454 of validation and as many of test: 215,082 training facts of the other 11,633, 42,164
    validation and 52,870 test facts. Two lists of a mirror name them.

    .. note::
        Files come from the mirror that the environment variable :obj:`TORCH_IMF_MIRROR` names, or
        from their repositories at a pinned commit, see :obj:`torch_imf.io.download.download`.

    Arguments are those of :class:`KGDataset`. Facts and literals are from Freebase (CC BY),
    descriptions from Wikidata (CC0) and Wikipedia (CC BY-SA).
    """

    versions = ("standard",)
    stats = {"standard": Stats(14_541, 237, 272_115, 17_535, 20_466, 14_539, 12_402, 280)}
    files = {
        "standard": [[*raw_files("FB15K-237/ConvE/FB15k-237.tar.gz"), *LABELS]],
        "inductive": [raw_files("FB15K-237/BLP/{val,test}_entities.txt")],
        **MODALITIES,
    }

    def split_entities(self, data: Data) -> Data:
        number = {node: i for i, node in enumerate(data.node_ids)}
        paths = self.raw.fetch("inductive")
        val, test = ([number[line.strip()] for line in read_lines(path)] for path in paths)
        return inductive_split(data, val, test)

    def read_facts(self) -> Facts:
        path = self.raw.path("ConvE/FB15k-237.tar.gz")
        nodes: dict[str, int] = {}
        rels: dict[str, int] = {}
        splits = []
        with tarfile.open(fileobj=io.BytesIO(read_bytes(path))) as archive:
            for name in ("train.txt", "valid.txt", "test.txt"):
                # In memory: no name inside of it can touch the file system.
                file = archive.extractfile(name)
                assert file is not None
                rows = map(str.split, file.read().decode().splitlines())
                splits.append(number_facts(to_columns(rows), nodes, rels))
        return splits, list(nodes), list(rels)
