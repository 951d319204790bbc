import json
import re
from collections.abc import Iterable, Iterator
from functools import cached_property
from urllib.parse import unquote

from torch_geometric.data import Data

from torch_imf.datasets.raw import RawFolder, raw_files, read_links
from torch_imf.io.atomic import read_bytes
from torch_imf.io.tables import read_rows

TEXTS = raw_files("FB15K/StAR/fb-entity2text-new.txt", "FB15K/villmow/entity2wikidata.json")


class FreebaseTexts:
    r"""What is known of the entities of FB15K in words: the label and the short description of
    `Wikidata <https://github.com/villmow/datasets_knowledge_embedding>`_, and the first sentences
    collected by `StAR <https://github.com/wangbo9719/StAR_KGC>`_.

    Other datasets refer to these entities by Freebase id (:obj:`/m/02mjmr`), by Wikidata id
    (:obj:`Q76`) or by the title of their article in Wikipedia.

    Args:
        raw (RawFolder): The folder that holds :obj:`TEXTS`.
    """

    def __init__(self, raw: RawFolder) -> None:
        self.raw = raw

    @cached_property
    def wikidata(self) -> dict[str, dict[str, str]]:
        r"""The entries of Wikidata by Freebase id."""
        path = self.raw.path("villmow/entity2wikidata.json")
        try:
            return json.loads(read_bytes(path))
        except ValueError as e:
            raise ValueError(f"'{path}' is damaged, please fetch it anew ({e})") from e

    @cached_property
    def sentences(self) -> dict[str, str]:
        r"""Names and first sentences by Freebase id."""
        return dict(read_rows(self.raw.path("StAR/fb-entity2text-new.txt"), 2))

    def __call__(self, node: str | None) -> tuple[str, str]:
        r"""Returns the short description and the first sentence of an entity by its Freebase id,
        each of them empty if there is none.
        """
        if node is None:
            return "", ""
        short = self.wikidata.get(node, {}).get("description") or ""
        sentence = self.sentences.get(node, "").partition(" -- ")[2]
        return tidy(short), tidy(sentence)

    def describe(self, data: Data, nodes: Iterable[str | None]) -> list[str | None]:
        r"""Returns the text of each entity of a graph: its name there, and the descriptions of the
        Freebase entity that it is linked to.
        """
        return [join(name, *self(x)) for name, x in zip(data.node_names, nodes, strict=True)]

    def by(self, key: str) -> dict[str, str]:
        r"""Returns the Freebase id of each entity by another name."""
        found: dict[str, str] = {}
        for node, entry in self.wikidata.items():
            if entry.get(key):
                found.setdefault(entry[key].rpartition("/wiki/")[2], node)
        return found


def read_mmkb_names(raw: RawFolder, name: str) -> Iterator[tuple[str, str]]:
    r"""Reads the keys of images and the Freebase ids that MMKB gives to the entities of a graph. An
    entity may have several of either.
    """
    yield from ((node, key) for node, key in read_rows(raw.path(f"MMKB/{name}_ImageIndex.txt"), 2))
    yield from read_links(raw.path(f"MMKB/{name}_SameAsLink.txt"))


def read_table(path: str) -> dict[str, list[str]]:
    r"""Reads a table of texts: entity, name, short and long description under a header."""
    rows = read_rows(path, 4, header=True)
    return {node: [tidy(text) for text in texts] for node, *texts in rows}


def tidy(text: str) -> str:
    r"""Returns a text without escapes and doubled spaces."""
    return re.sub(r"\s+", " ", text.replace("\\n", " ").replace("\\", "")).strip()


def join(*parts: str) -> str:
    r"""Returns the text of an entity: its name and its descriptions."""
    return ". ".join(part for part in parts if part)


def local_name(uri: str) -> str:
    r"""Returns the name of an entity or a relation in words: its URI without the base."""
    uri = uri.strip("<>")
    if uri.startswith("http"):
        uri = re.split(r"/resource/|/ontology/|[#/](?=[^#/]+$)", uri, maxsplit=1)[1]
    return tidy(unquote(uri).replace("_", " "))
