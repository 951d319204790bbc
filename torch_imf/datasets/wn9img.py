from torch_geometric.data import Data

from torch_imf.datasets.base import KGDataset, Record, Stats
from torch_imf.datasets.raw import join, raw_files, read_release, read_table, tidy
from torch_imf.io.tables import read_rows

FACTS = raw_files("WN9-IMG/IKRL/{entity2id,relation2id,train,valid,test}.txt")
# The lemmas and glosses of WordNet, in two forms:
TEXTS = [
    raw_files("WN9-IMG/derived/entity2text.tsv"),
    raw_files("WN9-IMG/MoSE/{ent_name,ent_dscp}.txt"),
]


class WN9IMG(KGDataset):
    r"""The WN9-IMG knowledge graph from the `"Image-embodied Knowledge Representation Learning"
    <https://arxiv.org/abs/1609.07028>`_ (IKRL) paper, a part of WordNet 3.0, in its split
    (:obj:`version="ikrl"`).

    Copies of it in circulation have one damaged training line; this is the original.

    .. warning::
        1,186 of its 1,319 test facts follow from a training fact by an inverse relation (hyponym
        and hypernym, part and whole) or the symmetric one, see :meth:`torch_imf.data.audit`. Scores
        on it say how well a model learns four rules.

    * **Text**: the lemmas and the gloss of every synset, as collected by `MoSE
      <https://github.com/OreOZhao/MoSE4MKGC>`_.
    * **Images** are pictures of ImageNet, which are not published here. A mirror may carry
      MobileNetV2 features of 409 synsets. A folder of pictures is read by :obj:`images="folder"`,
      named as in ImageNet (:obj:`n02084071/n02084071_1234.JPEG`).

    Arguments are those of :class:`KGDataset`. WordNet has a licence of its own.
    """

    versions = ("ikrl",)
    stats = {"ikrl": Stats(6_555, 9, 11_741, 1_337, 1_319, text=6_555, visual=409)}
    modalities = ("text", "visual")
    files = {
        "ikrl": [[*FACTS, *texts] for texts in TEXTS],
        "text": TEXTS,
        "visual": [raw_files("WN9-IMG/derived/visual_mobilenetv2.npz")],
    }

    def read(self) -> Record:
        splits, node_ids, rel_ids = read_release(self.raw.fetch("ikrl"), order=(0, 2, 1))
        names = {node: row[0] for node, row in self._read_glosses().items()}
        rel_names = [rel.strip("_").replace("_", " ") for rel in rel_ids]
        return Record(splits, node_ids, rel_ids, [names[x] for x in node_ids], rel_names)

    def read_texts(self, data: Data) -> list[str | None]:
        glosses = self._read_glosses()
        return [join(*glosses[node]) for node in data.node_ids]

    def _read_glosses(self) -> dict[str, list[str]]:
        if self.raw.taken["ikrl"] == 0:
            table = read_table(self.raw.path("derived/entity2text.tsv"))
            return {node: [name, gloss] for node, (name, _, gloss) in table.items()}
        names, glosses = (
            dict(read_rows(self.raw.path(f"MoSE/{file}.txt"), 2))
            for file in ("ent_name", "ent_dscp")
        )
        # Names are those of all of WordNet, glosses those of WN18 and WN9:
        return {
            node: [tidy(name), tidy(glosses[node[1:]])]
            for node, name in names.items()
            if node[1:] in glosses
        }
