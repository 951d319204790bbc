from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

import torch
from torch import Tensor

from torch_imf.io.images import find_images, read_images

#: The longest side of a picture to show, and how many are kept.
LARGEST, MOST = 512, 4096


class Content:
    r"""What people know an entity by, which a saved model does not keep: its text, numbers and
    pictures. Pictures are read when they are asked for, by a process that a malformed file cannot
    harm, and only those that were found for an entity: no other file is ever opened.

    Args:
        node_ids (list[str]): The identifiers of the entities of a graph.
        texts (dict[str, str], optional): Their texts, by identifier. (default: :obj:`{}`)
        numbers (dict[str, dict[str, float]], optional): Their numbers by name, by identifier.
            (default: :obj:`{}`)
        images (dict[str, str or Tensor], optional): A picture of each, as a file or of type
            :class:`torch.uint8` and shape :obj:`[3, H, W]`, by identifier. (default: :obj:`{}`)
    """

    def __init__(
        self,
        node_ids: Sequence[str],
        texts: Mapping[str, str] | None = None,
        numbers: Mapping[str, Mapping[str, float]] | None = None,
        images: Mapping[str, str | Tensor] | None = None,
    ) -> None:
        self.node_ids = node_ids
        self.texts, self.numbers, self.images = texts or {}, numbers or {}, dict(images or {})
        self._pictures: dict[int, Any] = {}
        self._lock = Lock()

    @classmethod
    def of_dataset(cls, node_ids: Sequence[str], dataset: Any) -> "Content":
        r"""Takes the content of a dataset, of what it has of it."""
        ids = dataset[0].node_ids
        found: dict[str, Any] = {}
        for name in ("texts", "literals", "images"):
            try:
                found[name] = getattr(dataset, name)()
            except (ValueError, RuntimeError, NotImplementedError):  # It has none.
                found[name] = None
        numbers: dict[str, dict[str, float]] = {}
        if found["literals"] is not None:
            rows, attributes, values = found["literals"]
            for row, name, value in zip(rows.tolist(), attributes, values.tolist(), strict=True):
                numbers.setdefault(ids[row], {})[name] = value
        texts = {i: text for i, text in zip(ids, found["texts"] or (), strict=False) if text}
        return cls(node_ids, texts, numbers, first_images(ids, found["images"] or ()))

    def add_folder(self, folder: str, names: Any) -> None:
        r"""Takes the pictures of a folder, named by entity, in place of others. :obj:`names` finds
        entities, as a :class:`~torch_imf.data.NameIndex`.
        """
        self.images |= first_images(self.node_ids, find_images(folder, names))

    def text(self, row: int) -> str:
        r"""Returns the text of an entity, or nothing."""
        return self.texts.get(self._id(row), "")

    def pictures(self, rows: Sequence[int]) -> list[Any]:
        r"""Returns a picture (of Pillow) of each of some entities, :obj:`None` of one that has
        none, or whose file is gone or cannot be read.
        """
        with self._lock:
            known = {row: self._pictures[row] for row in rows if row in self._pictures}
        new = [
            row for row in dict.fromkeys(rows) if row not in known and self._id(row) in self.images
        ]
        sources = {row: self.images[self._id(row)] for row in new}
        files = {row: x for row, x in sources.items() if isinstance(x, str)}
        read = dict(zip(files, read_images(list(files.values())), strict=True)) if files else {}
        for row in new:
            x = read.get(row, sources[row])
            known[row] = None if isinstance(x, str) else to_picture(x)
        with self._lock:
            if len(self._pictures) + len(new) > MOST:
                self._pictures.clear()
            self._pictures |= {row: known[row] for row in new}
        return [known.get(row) for row in rows]

    def _id(self, row: int) -> str:
        return self.node_ids[row] if row < len(self.node_ids) else ""


def first_images(ids: Sequence[str], images: Sequence[Any]) -> dict[str, str | Tensor]:
    r"""Returns the first image of each entity that has one."""
    out: dict[str, str | Tensor] = {}
    for node, found in zip(ids, images, strict=False):
        first = found[0] if isinstance(found, list) and found else found
        if isinstance(first, str | Tensor):
            out[node] = first
    return out


def to_picture(x: Tensor) -> Any:
    r"""Returns pixels of shape :obj:`[3, H, W]` as a picture that is not too large, nor tiny."""
    from PIL import Image

    picture = Image.fromarray(x.to(torch.uint8).permute(1, 2, 0).contiguous().numpy())
    if max(picture.size) > LARGEST:
        picture.thumbnail((LARGEST, LARGEST))
    if max(picture.size) <= 64:
        picture = picture.resize((4 * picture.width, 4 * picture.height), Image.Resampling.NEAREST)
    return picture
