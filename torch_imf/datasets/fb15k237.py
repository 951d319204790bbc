import glob
import json
import os
import os.path as osp
from collections.abc import Callable

import torch
from torch_geometric.data import Data

from torch_imf.datasets.base import KGDataset
from torch_imf.datasets.encoder import Encoder, resolve
from torch_imf.datasets.graph import build_graph
from torch_imf.datasets.io import (
    index_triples,
    read_literals,
    read_pairs,
    read_tar,
    read_text,
    split_rows,
)
from torch_imf.datasets.mobilenet import MobileNetFeatures
from torch_imf.encoders import NumericEncoder
from torch_imf.encoders.textual import default_text_encoder

GITHUB = "https://raw.githubusercontent.com"

# Path in a mirror -> (address upstream, SHA-256).
FACTS: dict[str, tuple[str | None, str]] = {
    "FB15K-237/ConvE/FB15k-237.tar.gz": (
        f"{GITHUB}/TimDettmers/ConvE/f3c0eb286025410fa5b4c04696c918264163d0ca/FB15k-237.tar.gz",
        "311df7930f842a02979eaa7a802484a6afe62303c07f915f1e6edbc30cbe05e8",
    ),
    "FB15K/kg-bert/FB15k_mid2name.txt": (
        f"{GITHUB}/yao8839836/kg-bert/0b8f625108efcb9b43603b6840f2548ff3d3c973/"
        "data/FB15K/FB15k_mid2name.txt",
        "4da94b8059a83bc7e08c832f573d34221d38e85030576e332a0d0e9726d13d73",
    ),
    "FB15K/villmow/entity2wikidata.json": (
        f"{GITHUB}/villmow/datasets_knowledge_embedding/"
        "9e392453d6804d1f51c13e5650ae58ed48b638d5/FB15K/entity2wikidata.json",
        "80e74bb002fb9ca0ecd3d63879a3a51121db855d312a101917a1ffb6aed2fea9",
    ),
}
SENTENCES: dict[str, tuple[str | None, str]] = {
    "FB15K/StAR/fb-entity2text-new.txt": (
        f"{GITHUB}/wangbo9719/StAR_KGC/a42a82c4a3510110e434611191b922ee0613495f/"
        "StAR/data/FB15k-237/fb-entity2text-new.txt",
        "d982bb5b950820dabc00aee9870cae2035d48c169d10c9f2c225579e19528aa2",
    ),
}
LITERALS: dict[str, tuple[str | None, str]] = {
    "FB15K/MMKB/FB15K_NumericalTriples.txt": (
        f"{GITHUB}/mniepert/mmkb/dc1c89cac110ddbb9944d6ed5ab2b3c2339d320c/"
        "FB15K/FB15K_NumericalTriples.txt",
        "9fd4f2dfe95af2bc4caa6ce1db84641168f42be759217dfbfcf95ca79d5aa0f3",
    ),
}


class FB15K237(KGDataset):
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
      <https://github.com/wangbo9719/StAR_KGC>`_, one after the other. Such
      texts may state the fact that is asked for, as in all work that uses
      them.
    * **Numeric literals**, of 12,493 entities of FB15K, from the `"MMKB:
      Multi-Modal Knowledge Graphs" <https://arxiv.org/abs/1903.05485>`_ paper.
    * **Images** are not published in a form that can be fetched. A mirror may
      carry MobileNetV2 features of 280 entities (flags of countries and
      states, and ten photographs).

    .. note::
        Files come from the mirror that the environment variable
        :obj:`TORCH_IMF_MIRROR` names, or from their repositories at a pinned
        commit, see :meth:`torch_imf.datasets.download.download`.

    Args:
        root (str): The folder to keep the dataset in.
        text (callable or str, optional): The encoder of the texts.
            :obj:`"auto"` is :obj:`TextEncoder("all-MiniLM-L6-v2")` if
            :obj:`sentence-transformers` and its weights are on this machine
            (some minutes on a CPU, once), and :obj:`TfidfEncoder()` otherwise;
            :obj:`repr(dataset)` tells which. :obj:`None` leaves texts out.
            (default: :obj:`"auto"`)
        visual (callable or str, optional): The encoder of the images.
            :obj:`"auto"` takes the features of the mirror if it has them, and
            leaves images out otherwise. A callable is given the list of images
            of each entity found in :obj:`raw/images`, named by entity with a
            dot for each slash: a file, as in :obj:`m.027rn.jpg`, a folder of
            files, as in :obj:`m.027rn/1.jpg`, or both. :obj:`None` leaves
            images out.
            (default: :obj:`"auto"`)
        numeric (callable or str, optional): The encoder of the numeric
            literals, :obj:`NumericEncoder()` for :obj:`"auto"`. :obj:`None`
            leaves them out. (default: :obj:`"auto"`)
        transform (callable, optional): A function applied to the data at every
            access. (default: :obj:`None`)
        pre_transform (callable, optional): A function applied to the data
            before it is saved. (default: :obj:`None`)
        force_reload (bool, optional): Whether to process the raw files again.
            (default: :obj:`False`)

    Raises:
        ValueError: If an encoder is not valid, or a file is malformed.
        RuntimeError: If a file cannot be fetched.

    **STATS:**

    .. list-table::
        :widths: 10 10 10 10 10 10 10 10
        :header-rows: 1

        * - #entities
          - #relations
          - #train
          - #val
          - #test
          - with text
          - with numbers
          - with images
        * - 14,541
          - 237
          - 272,115
          - 17,535
          - 20,466
          - 14,541
          - 12,402
          - 280
    """

    def __init__(
        self,
        root: str,
        text: Encoder | str | None = "auto",
        visual: Encoder | str | None = "auto",
        numeric: Encoder | str | None = "auto",
        transform: Callable | None = None,
        pre_transform: Callable | None = None,
        force_reload: bool = False,
    ) -> None:
        raw_dir = osp.join(osp.expanduser(root), "raw")
        text = resolve("text", text, default_text_encoder)
        numeric = resolve("numeric", numeric, NumericEncoder)
        visual = resolve("visual", visual, lambda: MobileNetFeatures.find(raw_dir))

        self.files = dict(FACTS)
        if text is not None:
            self.files.update(SENTENCES)
        if numeric is not None:
            self.files.update(LITERALS)

        super().__init__(root, text, visual, numeric, transform, pre_transform, force_reload)

    def read(self) -> Data:
        path = osp.join(self.raw_dir, "FB15k-237.tar.gz")
        members = ["train.txt", "valid.txt", "test.txt"]
        node_index: dict[str, int] = {}
        rel_index: dict[str, int] = {}
        splits = []
        for name, content in zip(members, read_tar(path, members), strict=True):
            rows = split_rows(content, f"{path}:{name}", columns=3)
            for head, rel, tail in rows:
                node_index.setdefault(head, len(node_index))
                rel_index.setdefault(rel, len(rel_index))
                node_index.setdefault(tail, len(node_index))
            splits.append(index_triples(rows, node_index, rel_index, f"{path}:{name}"))

        node_ids = list(node_index)
        wikidata = json.loads(read_text(osp.join(self.raw_dir, "entity2wikidata.json")))
        names = read_pairs(osp.join(self.raw_dir, "FB15k_mid2name.txt"))
        node_names = [
            wikidata[node]["label"] if node in wikidata else names[node].replace("_", " ")
            for node in node_ids
        ]
        data = build_graph(splits, node_ids, node_names, list(rel_index))

        if self.encoders["numeric"] is not None:
            path = osp.join(self.raw_dir, "FB15K_NumericalTriples.txt")
            nodes, attributes, values = read_literals(path)
            literate = set(nodes)
            known = [i for i, node in enumerate(nodes) if node in node_index]
            self.encode(
                data,
                "numeric",
                torch.tensor([node_index[nodes[i]] for i in known]),
                [attributes[i] for i in known],
                torch.tensor([values[i] for i in known], dtype=torch.double),
                len(node_ids),
                mask=[node in literate for node in node_ids],
            )
        if isinstance(self.encoders["visual"], MobileNetFeatures):
            mask = [node in self.encoders["visual"].features for node in node_ids]
            self.encode(data, "visual", node_ids, mask=mask)
        elif self.encoders["visual"] is not None:
            images = self._images(node_ids)
            self.encode(data, "visual", images, mask=[image is not None for image in images])
        # The slowest comes last, when nothing else can fail:
        if self.encoders["text"] is not None:
            texts = self._texts(node_ids, node_names, wikidata)
            self.encode(data, "text", texts, mask=[True] * len(texts))
        return data

    def _texts(self, node_ids: list[str], node_names: list[str], wikidata: dict) -> list[str]:
        sentences = read_pairs(osp.join(self.raw_dir, "fb-entity2text-new.txt"))
        texts = []
        for node, name in zip(node_ids, node_names, strict=True):
            short = wikidata.get(node, {}).get("description") or ""
            sentence = sentences[node].partition(" -- ")[2]
            sentence = sentence.replace("\\n", " ").replace('\\"', '"').replace("\\", "")
            texts.append(". ".join(part for part in (name, short, sentence) if part))
        return texts

    def _images(self, node_ids: list[str]) -> list[list[str] | None]:
        folder = osp.join(self.raw_dir, "images")
        found: dict[str, list[str]] = {}
        files = [*glob.glob(f"{folder}/m.*"), *glob.glob(f"{folder}/m.*/*")]
        for path in sorted(path for path in files if osp.isfile(path)):
            parts = osp.relpath(path, folder).split(os.sep)
            name = parts[0] if len(parts) > 1 else osp.splitext(parts[0])[0]
            found.setdefault(name, []).append(path)
        images = [found.get(node.strip("/").replace("/", ".")) for node in node_ids]
        if not any(images):
            raise ValueError(
                f"There are no images for the visual encoder {self.encoders['visual']}. Please "
                f"move them to '{folder}', named by entity (as in 'm.027rn.jpg')"
            )
        return images
