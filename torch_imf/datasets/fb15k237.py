import io
import tarfile

from torch_imf.datasets.base import Record, Stats
from torch_imf.datasets.fb15k import LABELS, MODALITIES, FreebaseDataset
from torch_imf.datasets.raw import number_facts, raw_files
from torch_imf.io.atomic import read_bytes
from torch_imf.io.tables import to_columns

MEMBERS = ["train.txt", "valid.txt", "test.txt"]


class FB15K237(FreebaseDataset):
    r"""The FB15K-237 knowledge graph from the `"Observed Versus Latent
    Features for Knowledge Base and Text Inference"
    <https://aclanthology.org/W15-4007>`_ paper, with the texts, numeric
    literals and images that later work attached to its entities.

    The facts are those of the `ConvE <https://github.com/TimDettmers/ConvE>`_
    release. Entities and relations are numbered by first appearance, which is
    the order of the OpenKE and IMF releases. Names are Wikidata's labels
    (:obj:`node_names`) and Freebase's paths (:obj:`rel_names`).

    * **Text**, of every entity: its name, its short description in Wikidata,
      and its first sentence as collected by `StAR
      <https://github.com/wangbo9719/StAR_KGC>`_, one after the other (23
      entities of FB15K have a name only). Such texts may state the fact that
      is asked for, as in all work that uses them.
    * **Numeric literals**, of 12,493 entities of FB15K, from the `"MMKB:
      Multi-Modal Knowledge Graphs" <https://arxiv.org/abs/1903.05485>`_ paper.
    * **Images** are not published in a form that can be fetched. MMKB's
      features are read by :obj:`visual="FB15K_ImageData.h5"`. A mirror may
      carry MobileNetV2 features of 280 entities (flags of countries and
      states, and ten photographs), and the flags themselves.

    .. note::
        Files come from the mirror that the environment variable
        :obj:`TORCH_IMF_MIRROR` names, or from their repositories at a pinned
        commit, see :meth:`torch_imf.io.download.download`.

    Arguments are those of :class:`KGDataset`. Facts and literals are from
    Freebase (CC BY), descriptions from Wikidata (CC0) and Wikipedia
    (CC BY-SA).
    """

    versions = ("standard",)
    stats = {"standard": Stats(14_541, 237, 272_115, 17_535, 20_466, 14_539, 12_402, 280)}
    files = {
        "standard": [[*raw_files("FB15K-237/ConvE/FB15k-237.tar.gz"), *LABELS]],
        **MODALITIES,
    }

    def read(self) -> Record:
        path = self.raw.path("ConvE/FB15k-237.tar.gz")
        nodes: dict[str, int] = {}
        rels: dict[str, int] = {}
        splits = []
        with tarfile.open(fileobj=io.BytesIO(read_bytes(path))) as archive:
            for name in MEMBERS:  # In memory: no name inside of it can touch the file system.
                file = archive.extractfile(name)
                assert file is not None
                rows = map(str.split, file.read().decode().splitlines())
                splits.append(number_facts(to_columns(rows), nodes, rels))
        return Record(splits, list(nodes), list(rels), self.read_names(list(nodes)))
