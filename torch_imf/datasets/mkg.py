from collections.abc import Iterable
from urllib.parse import unquote

from torch_geometric.data import Data

from torch_imf.datasets.base import Stats
from torch_imf.datasets.fb15k import TEXTS, FreebaseKG
from torch_imf.datasets.raw import (
    OPENKE,
    Groups,
    derived,
    join,
    local_name,
    raw_files,
    read_table,
)
from torch_imf.io.tables import read_lines, read_rows


class MKG(FreebaseKG):
    r"""The base class of the knowledge graphs that were made for the `"Relation-enhanced Negative
    Sampling for Multimodal Knowledge Graph Completion"
    <https://dl.acm.org/doi/10.1145/3503161.3548388>`_ paper.
    """

    versions = ("mmrns",)
    modalities = ("text", "visual")

    def read_links(self) -> dict[str, str]:
        r"""Reads the URI of each entity in DBpedia."""
        return {node: uri for uri, node in read_rows(self.raw.path("MMRNS/ent_links"), 2)}

    def read_aliases(self) -> Iterable[tuple[str, str]]:
        return self.read_links().items()


def mkg_files(name: str) -> Groups:
    r"""Returns the raw files that MKG-W and MKG-Y have alike."""
    links = raw_files(f"{name}/MMRNS/ent_links")
    return {
        **derived(name),
        "mmrns": [[*raw_files(f"{name}/AdaMF-MAT/{OPENKE}"), *links]],
        "names": [links],
    }


class MKGW(MKG):
    r"""The MKG-W knowledge graph, a part of Wikidata, from the `"Relation-enhanced Negative
    Sampling for Multimodal Knowledge Graph Completion"
    <https://dl.acm.org/doi/10.1145/3503161.3548388>`_ paper, in the split of that paper
    (:obj:`version="mmrns"`), numbered as in the `AdaMF-MAT <https://github.com/zjukg/AdaMF-MAT>`_
    release.

    333 validation and 306 test facts have an entity that no training fact has.

    * **Text**: the names of all entities in DBpedia. A mirror may carry short descriptions of 4,200
      entities, from Wikidata; otherwise, 2,289 of them have the descriptions of FB15K's entities,
      as in :class:`FB15K237`.
    * **Images** are not published in a form that can be fetched. Features are read by
      :obj:`visual="MKG_W_img_BEIT_16-224.h5"` (MMRNS) or :obj:`visual="MKG-W-visual.pth"`
      (AdaMF-MAT). A mirror may carry MobileNetV2 features of 69 flags, and the flags themselves.

    Arguments are those of :class:`KGDataset`. Facts are from Wikidata (CC0).
    """

    stats = {"mmrns": Stats(15_000, 169, 34_196, 4_276, 4_274, text=4_200, visual=69)}
    files = {
        **mkg_files("MKG-W"),
        "mmrns": [[*mkg_files("MKG-W")["mmrns"][0], *raw_files("MKG-W/K-ON/rel_links.txt")]],
        "text": [raw_files("MKG-W/derived/entity2text.tsv"), TEXTS],
    }

    def read_names(self, node_ids: list[str], rel_ids: list[str]) -> tuple[list[str], list[str]]:
        links, lines = self.read_links(), read_lines(self.raw.path("K-ON/rel_links.txt"))
        return [local_name(links[node]) for node in node_ids], [x.rstrip("\r\n") for x in lines]

    def read_texts(self, data: Data) -> list[str | None]:
        if self.raw.taken["text"] > 0:
            return super().read_texts(data)
        table = read_table(self.raw.path("derived/entity2text.tsv"))
        names = zip(data.node_ids, data.node_names, strict=True)
        return [join(name, *table[node][1:]) for node, name in names]

    def find_freebase(self, node_ids: list[str]) -> Iterable[str | None]:
        freebase = self.freebase_by("wikidata_id")
        return [freebase.get(node.rpartition("/")[2]) for node in node_ids]


class MKGY(MKG):
    r"""The MKG-Y knowledge graph, a part of YAGO, from the `"Relation-enhanced Negative Sampling
    for Multimodal Knowledge Graph Completion" <https://dl.acm.org/doi/10.1145/3503161.3548388>`_
    paper, in the split of that paper (:obj:`version="mmrns"`), numbered as in the `AdaMF-MAT
    <https://github.com/zjukg/AdaMF-MAT>`_ release.

    400 validation and 388 test facts have an entity that no training fact has.

    * **Text**: the names of all entities in YAGO, and, for those that are entities of FB15K as well
      (about 1,560, found by the title of their article in Wikipedia), their descriptions as in
      :class:`FB15K237`.
    * **Images** are not published in a form that can be fetched. Features are read by
      :obj:`visual="MKG_Y_img_BEIT_16-224.h5"` (MMRNS) or :obj:`visual="MKG-Y-visual.pth"`
      (AdaMF-MAT). A mirror may carry MobileNetV2 features of 17 flags, and the flags themselves.

    Arguments are those of :class:`KGDataset`. Facts are from YAGO (CC BY).
    """

    stats = {"mmrns": Stats(15_000, 28, 21_310, 2_665, 2_663, text=1_564, visual=17)}
    files = {**mkg_files("MKG-Y"), "text": [TEXTS]}

    def find_freebase(self, node_ids: list[str]) -> Iterable[str | None]:
        titles = {unquote(title): node for title, node in self.freebase_by("wikipedia").items()}
        links = self.read_links()
        return [titles.get(unquote(links[x].partition("/resource/")[2])) for x in node_ids]
