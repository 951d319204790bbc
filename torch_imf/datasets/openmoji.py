import csv
import os.path as osp
from collections import Counter
from collections.abc import Sequence
from itertools import chain

import torch
from torch_geometric.data import Data

from torch_imf.data.names import NameIndex
from torch_imf.data.split import draw_splits, inductive_split
from torch_imf.datasets.base import Encoder, KGDataset, Record, Stats
from torch_imf.datasets.raw import index_facts, raw_files
from torch_imf.encoders import PixelEncoder
from torch_imf.io import warn
from torch_imf.io.archive import unpack
from torch_imf.io.atomic import read_bytes, replacing
from torch_imf.io.tables import read_lines

RELEASE = "https://github.com/hfg-gmuend/openmoji/releases/tag/17.0.0"
ARCHIVE = "openmoji-72x72-color.zip"
RELATIONS = ["has_tag", "in_subgroup", "in_group", "has_part"]
SHARES = (0.7, 0.1, 0.2)
#: What joins emoji, and what asks for a picture rather than a letter.
JOINER, AS_PICTURE = "-200D-", "-FE0F"


class OpenMoji(KGDataset):
    r"""A graph of 2,456 emoji, each with a picture and a name, from release 17.0.0 of `OpenMoji
    <https://openmoji.org>`_ (:obj:`version="17"`), without those of a skin tone and the group
    :obj:`component`.

    Entities are emoji, by their code points (:obj:`1F469-200D-1F680`), 1,331 tags, 117 subgroups
    and 11 groups. There are 12,742 facts of four relations, of which a tenth, drawn at random with
    a fixed seed, is for validation and a fifth for testing, such that every entity is in a training
    fact.

    * :obj:`has_tag` (9,542) leads from an emoji to its tags, those of Unicode and of OpenMoji, in
      small letters, of which three emoji or more have each. (Where both lists of an emoji have it,
      at the head of one of them, a tag counts twice: 23 are those of two emoji.)
    * :obj:`in_subgroup` (2,456) leads from an emoji to its subgroup.
    * :obj:`in_group` (120) leads from a subgroup to its group. Three subgroups are in two groups.
    * :obj:`has_part` (624) leads from a joined emoji to what it is made of: a woman astronaut is a
      woman and a rocket. Parts that are no entities, which are four kinds of hair, are left out.

    All emoji are designed by OpenMoji, the open-source emoji and icon project of students and staff
    of HfG Schwäbisch Gmünd (its table names the author of each), and released under `CC BY-SA 4.0
    <https://creativecommons.org/licenses/by-sa/4.0/>`_. Pictures must be shown with these authors
    and this licence.

    .. note::
        Names tell some answers: for 2,429 of the facts of :obj:`has_tag`, all words of the tag are
        in the name of the emoji (for 51, the two are the same), and for 212 of :obj:`has_part`, all
        words of the name of the part. Compare with structure and pictures alone.

    * **Text**: the names of all entities.
    * **Pictures** have 72 pixels a side and become white where they are transparent. A mirror may
      carry them. The archive :obj:`openmoji-72x72-color.zip` of `the release
      <https://github.com/hfg-gmuend/openmoji/releases/tag/17.0.0>`_ is read by
      :obj:`images="openmoji-72x72-color.zip"`.

    Arguments are those of :class:`KGDataset`, with these differences: :obj:`visual` is
    :obj:`PixelEncoder(18, 18)` for :obj:`"auto"`, and of :obj:`scheme="inductive"`, a tenth of the
    emoji are new in validation and a fifth in testing. Tags, subgroups and groups are never new.
    """

    versions = ("17",)
    stats = {"17": Stats(3_915, 4, 8_920, 1_274, 2_548, text=0, visual=2_456)}
    modalities = ("text", "visual")
    files = {
        "17": [raw_files("OpenMoji/release/openmoji.csv")],
        "images": [raw_files(f"OpenMoji/release/{ARCHIVE}")],
    }

    def default_encoder(self, modality: str) -> Encoder | None:
        if modality != "visual":
            return super().default_encoder(modality)
        if not self._has_own_images():
            try:
                self._fetch_archive()
            except RuntimeError as e:
                warn(f"The dataset is used without images: {e}")
                return None
        return PixelEncoder(18, 18)

    def split_entities(self, data: Data) -> Data:
        is_emoji = torch.tensor([":" not in node for node in data.node_ids])
        return inductive_split(data, 0.1, 0.2, among=is_emoji)

    def read(self) -> Record:
        (path,) = self.raw.fetch("17")
        lines = csv.DictReader(read_lines(path))
        rows = [row for row in lines if not row["skintone"] and row["group"] != "component"]
        names = {row["hexcode"]: row["annotation"] for row in rows}
        tags = {row["hexcode"]: split_tags(row["tags"], row["openmoji_tags"]) for row in rows}
        count = Counter(chain.from_iterable(tags.values()))

        facts: dict[tuple[str, str, str], None] = {}  # In order, each of them once.
        for row in rows:
            node, subgroup = row["hexcode"], f"subgroup:{row['subgroups']}"
            facts |= {(node, "has_tag", f"tag:{x}"): None for x in tags[node] if count[x] >= 3}
            facts[node, "in_subgroup", subgroup] = None
            facts[subgroup, "in_group", f"group:{row['group']}"] = None
            parts = [part.removesuffix(AS_PICTURE) for part in node.split(JOINER)]
            facts |= {(node, "has_part", x): None for x in parts if x in names and x != node}

        node_ids = [*names, *sorted({tail for *_, tail in facts} - set(names))]
        fact = index_facts(list(facts), node_ids, RELATIONS, path)
        splits = draw_splits(fact, SHARES, len(node_ids), len(RELATIONS))
        return Record(splits, node_ids, RELATIONS, [names.get(x) or label(x) for x in node_ids])

    def read_texts(self, data: Data) -> list[str | None]:
        return list(data.node_names)

    def read_images(self, names: NameIndex) -> Sequence[object]:
        if self._has_own_images():
            return super().read_images(names)
        path = self._fetch_archive()
        if not osp.exists(path):  # On another file system.
            source, path = path, self.raw.disk_path(ARCHIVE)
            if not osp.exists(path):
                with replacing(path) as out:
                    out.write(read_bytes(source))
        folder = unpack(path, self.raw.disk_path("unpacked"))
        files = [osp.join(folder, f"{node}.png") for node in names.node_ids]
        return [[file] if osp.exists(file) else None for file in files]

    def _has_own_images(self) -> bool:
        return self.images_source is not None or osp.isdir(self.raw.path("images"))

    def _fetch_archive(self) -> str:
        try:
            return self.raw.fetch("images")[0]
        except RuntimeError as e:
            raise RuntimeError(
                f"There are no images of 'OpenMoji' in a mirror. Please download '{ARCHIVE}' from "
                f"'{RELEASE}', and pass it as 'images'"
            ) from e


def split_tags(*lists: str) -> list[str]:
    r"""Returns the tags of lists that are separated by commas, in small letters. One that lists
    write in two ways, with and without a space or capitals, is there twice.
    """
    fields = dict.fromkeys(",".join(lists).split(","))
    return [field.strip().lower() for field in fields if field.strip()]


def label(node: str) -> str:
    r"""Returns the name of a tag, subgroup or group."""
    kind, _, name = node.partition(":")
    return name if kind == "tag" else name.replace("-", " ")
