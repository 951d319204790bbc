from torch_geometric.data import Data

from torch_imf.datasets.base import Record, Stats
from torch_imf.datasets.freebase import TEXTS, FreebaseTexts, join, local_name, read_table
from torch_imf.datasets.mkg import MKG, mkg_files
from torch_imf.datasets.raw import raw_files, read_openke
from torch_imf.io.tables import read_lines


class MKGW(MKG):
    r"""The MKG-W knowledge graph, a part of Wikidata, from the
    `"Relation-enhanced Negative Sampling for Multimodal Knowledge Graph
    Completion" <https://dl.acm.org/doi/10.1145/3503161.3548388>`_ paper, in the
    split of that paper (:obj:`version="mmrns"`), numbered as in the `AdaMF-MAT
    <https://github.com/zjukg/AdaMF-MAT>`_ release.

    333 validation and 306 test facts have an entity that no training fact has.

    * **Text**: the names of all entities in DBpedia. A mirror may carry short
      descriptions of 4,200 entities, from Wikidata; otherwise, 2,289 of them
      have the descriptions of FB15K's entities, as in :class:`FB15K237`.
    * **Images** are not published in a form that can be fetched. Features are
      read by :obj:`visual="MKG_W_img_BEIT_16-224.h5"` (MMRNS) or
      :obj:`visual="MKG-W-visual.pth"` (AdaMF-MAT). A mirror may carry
      MobileNetV2 features of 69 flags, and the flags themselves.

    Arguments are those of :class:`KGDataset`. Facts are from Wikidata (CC0).
    """

    stats = {"mmrns": Stats(15_000, 169, 34_196, 4_276, 4_274, text=4_200, visual=69)}
    files = {
        **mkg_files("MKG-W"),
        "mmrns": [[*mkg_files("MKG-W")["mmrns"][0], *raw_files("MKG-W/K-ON/rel_links.txt")]],
        "text": [raw_files("MKG-W/derived/entity2text.tsv"), TEXTS],
    }

    def read(self) -> Record:
        splits, node_ids, rel_ids = read_openke(self.raw.fetch("mmrns"))
        links = self.read_links()
        node_names = [local_name(links[node]) for node in node_ids]
        rel_names = [
            line.rstrip("\r\n") for line in read_lines(self.raw.path("K-ON/rel_links.txt"))
        ]
        return Record(splits, node_ids, rel_ids, node_names, rel_names)

    def read_texts(self, data: Data) -> list[str | None]:
        if self.raw.taken["text"] == 0:
            table = read_table(self.raw.path("derived/entity2text.tsv"))
            return [
                join(name, *table[node][1:])
                for node, name in zip(data.node_ids, data.node_names, strict=True)
            ]
        texts = FreebaseTexts(self.raw)
        freebase = texts.by("wikidata_id")
        return texts.describe(data, (freebase.get(x.rpartition("/")[2]) for x in data.node_ids))
