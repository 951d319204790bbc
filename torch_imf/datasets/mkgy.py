from urllib.parse import unquote

from torch_geometric.data import Data

from torch_imf.datasets.base import Record, Stats
from torch_imf.datasets.freebase import TEXTS, FreebaseTexts, local_name
from torch_imf.datasets.mkg import MKG, mkg_files
from torch_imf.datasets.raw import read_openke


class MKGY(MKG):
    r"""The MKG-Y knowledge graph, a part of YAGO, from the
    `"Relation-enhanced Negative Sampling for Multimodal Knowledge Graph
    Completion" <https://dl.acm.org/doi/10.1145/3503161.3548388>`_ paper, in the
    split of that paper (:obj:`version="mmrns"`), numbered as in the `AdaMF-MAT
    <https://github.com/zjukg/AdaMF-MAT>`_ release.

    400 validation and 388 test facts have an entity that no training fact has.

    * **Text**: the names of all entities in YAGO, and, for those that are
      entities of FB15K as well (about 1,560, found by the title of their
      article in Wikipedia), their descriptions as in :class:`FB15K237`.
    * **Images** are not published in a form that can be fetched. Features are
      read by :obj:`visual="MKG_Y_img_BEIT_16-224.h5"` (MMRNS) or
      :obj:`visual="MKG-Y-visual.pth"` (AdaMF-MAT). A mirror may carry
      MobileNetV2 features of 17 flags, and the flags themselves.

    Arguments are those of :class:`KGDataset`. Facts are from YAGO (CC BY).
    """

    stats = {"mmrns": Stats(15_000, 28, 21_310, 2_665, 2_663, text=1_564, visual=17)}
    files = {**mkg_files("MKG-Y"), "text": [TEXTS]}

    def read(self) -> Record:
        splits, node_ids, rel_ids = read_openke(self.raw.fetch("mmrns"))
        return Record(splits, node_ids, rel_ids, list(map(local_name, node_ids)))

    def read_texts(self, data: Data) -> list[str | None]:
        texts = FreebaseTexts(self.raw)
        titles = {unquote(title): node for title, node in texts.by("wikipedia").items()}
        links = self.read_links()
        articles = (unquote(links[node].partition("/resource/")[2]) for node in data.node_ids)
        return texts.describe(data, map(titles.get, articles))
