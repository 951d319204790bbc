import os
import os.path as osp
import re
import unicodedata
from collections.abc import Iterable
from contextlib import suppress
from typing import Protocol
from urllib.parse import unquote

import numpy as np
import torch
from torch import Tensor

from torch_imf.io import some, warn
from torch_imf.io.archive import ARCHIVES, unpack
from torch_imf.io.hash import hash_content
from torch_imf.io.tables import read_rows, where

# What Pillow knows by name, but does not read without other programs or readers:
NO_PICTURES = ("BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF")
# What is a picture by its first bytes, whatever its name:
SIGNED = ("AVIF", "BMP", "GIF", "JPEG", "JPEG2000", "PNG", "TIFF", "WEBP")

INDEX = (".tsv", ".txt")  # How an index file ends.

# Of ids that say nothing. The number of a title (Toy_Story_3) is its own:
NUMBERED = re.compile(r"^([A-Za-z]+[0-9]+|[mg]\.\w+)_[0-9]+$")


class Names(Protocol):
    r"""What finds entities by name, a :class:`~torch_imf.data.NameIndex`."""

    def __call__(self, names: Iterable[str], /) -> Tensor: ...

    def near(self, names: Iterable[str], /) -> Tensor: ...

    def __len__(self) -> int: ...

    def example(self) -> str: ...


def source_tag(source: str) -> str:
    r"""Returns a name for a source of images that is fit for a file, and changes with the names,
    sizes and times of its files: those in a folder, or an archive or index file and what it lists.
    """
    path = osp.abspath(osp.expanduser(source))
    files = [path, *_walk(path)]
    if osp.isfile(path) and path.lower().endswith(INDEX):
        with suppress(ValueError):  # Which is told when it is read.
            files += _read_index(path, osp.dirname(path))[1]
    parts = [path]
    for info, file in ((os.stat(x), x) for x in files if osp.isfile(x)):
        parts.append(f"{file} {info.st_size} {info.st_mtime_ns}")
    return hash_content("\n".join(parts))[:8]


def find_images(
    source: str, names: Names, base: str | None = None, folder: str | None = None
) -> list[list[str] | None]:
    r"""Returns the sorted paths of the images of each entity, or :obj:`None` if it has none.

    * In a **folder**, they are named by entity: a file :obj:`m.027rn.jpg`, any file below a folder
      :obj:`m.027rn`, or both. A slash in a name may be written as :obj:`%2F`, capitals, spaces and
      underscores do not matter where one entity fits, and an id may be followed by a number, as in
      :obj:`n02084071_1.JPEG`. Folders around all do not matter. A picture is what Pillow can read,
      by its suffix or, if it has no other, its first bytes.
    * An **index file** (:obj:`.tsv` or :obj:`.txt`) has an entity and a path (from :obj:`base`, by
      default its own folder) in each line, and perhaps a header :obj:`entity`, :obj:`image`.
    * An **archive** is unpacked in :obj:`folder`.

    Images of no entity and files that are no pictures are left out, which warnings tell. Raises a
    :class:`ValueError` if the source or an image is missing, or no image belongs to an entity.
    """
    source = osp.expanduser(source)
    if folder is not None and osp.isfile(source) and source.lower().endswith(ARCHIVES):
        source = unpack(source, folder)
    if osp.isdir(source):
        keys, files = _list_folder(source, names)
    elif osp.isfile(source) and source.lower().endswith(INDEX):
        keys, files = _read_index(source, osp.dirname(source) if base is None else base)
    else:
        raise ValueError(
            f"There are no images at '{source}'. Please pass a folder, an index file (.tsv, .txt) "
            f"or an archive ({', '.join(ARCHIVES)})"
        )

    rows = _find_rows(keys, names).tolist()
    images: dict[int, set[str]] = {}
    for row, file in zip(rows, files, strict=True):
        images.setdefault(row, set()).add(file)
    lost = [(file, key) for row, file, key in zip(rows, files, keys, strict=True) if row == -1]
    if max(rows, default=-1) < 0:
        example = names.example().replace("/", "%2F")
        first = [f" ('{file}' is named {key!r:.80})" for file, key in lost[:1]]
        raise ValueError(
            f"None of the {len(files)} images in '{source}' belongs to an entity{''.join(first)}. "
            f"Please name them by entity, as in '{example}.jpg' or '{example}/1.jpg'"
        )
    if lost:
        found = [osp.relpath(file, source) if osp.isdir(source) else key for file, key in lost]
        warn(
            f"{len(lost)} of the {len(files)} images in '{source}' belong to no entity: "
            f"{some(found)}"
        )
    return [sorted(images[row]) if row in images else None for row in range(len(names))]


def _walk(folder: str) -> list[str]:
    # The files below a folder, apart from hidden ones. Links to folders are followed, but not in
    # circles, and below the folder of an entity to each folder once.
    found: list[str] = []
    above: dict[str, tuple[str, ...]] = {folder: (osp.realpath(folder),)}  # What leads to each.
    seen = set()
    for path, folders, files in os.walk(folder, followlinks=True):
        found += (osp.join(path, name) for name in files if name[0] != ".")
        way, wanted = above.pop(path), sorted(name for name in folders if name[0] != ".")
        folders.clear()
        for name, inner in ((name, osp.join(path, name)) for name in wanted):
            real = osp.realpath(inner)
            key = (*osp.relpath(inner, folder).split(os.sep)[:2], real)
            if real not in way and key not in seen:
                seen.add(key)
                above[inner] = (*way, real)
                folders.append(name)
    return sorted(found)


def _extensions() -> frozenset[str]:
    # Those of the formats that Pillow and its plugins read.
    from PIL import Image

    found = Image.registered_extensions().items()
    return frozenset(x for x, name in found if name in Image.OPEN and name not in NO_PICTURES)


def _is_picture(path: str) -> bool:
    from PIL import Image

    if not osp.isfile(path):
        return False
    if osp.splitext(path)[1].lower() in _extensions():
        return True
    with open(path, "rb") as file:
        start = file.read(16)
    accepts = [Image.OPEN[name][1] for name in SIGNED if name in Image.OPEN]
    return len(start) == 16 and any(accept and accept(start) is True for accept in accepts)


def _list_folder(folder: str, names: Names) -> tuple[list[str], list[str]]:
    # The name that each image file below a folder gives to its entity, and the files.
    found = _walk(folder)
    files = list(filter(_is_picture, found))
    known = set(files)
    if others := [osp.relpath(x, folder) for x in found if x not in known]:
        warn(
            f"{len(others)} of the {len(found)} files in '{folder}' are no pictures that can be "
            f"read: {some(others)}"
        )
    parts = [file.removeprefix(osp.join(folder, "")).split(os.sep) for file in files]
    while min(map(len, parts), default=1) > 1:  # Folders around all, as in archives.
        inner = {(part[0], part[1]) for part in parts}
        outer = sorted({name for name, _ in inner})
        if len({name for _, name in inner}) < len(inner) or (_find_rows(outer, names) != -1).any():
            break
        if len(outer) > 1:
            warn(f"The folders {some(outer)} in '{folder}' are no entities, but what is in them")
        parts = [part[1:] for part in parts]
    return [part[0] if len(part) > 1 else _stem(part[0]) for part in parts], files


def _stem(name: str) -> str:
    stem, ending = osp.splitext(name)
    return stem if ending.lower() in _extensions() else name  # As of 'm.027rn' without a suffix.


def _read_index(path: str, base: str) -> tuple[list[str], list[str]]:
    # The names of the entities that an index file lists, and their image files.
    rows = read_rows(path, 2)
    first = 2 if rows[:1] == [["entity", "image"]] else 1
    files = [osp.join(base, file) for _, file in rows[first - 1 :]]
    missing = [i for i, file in enumerate(files, start=first) if not osp.isfile(file)]
    if missing:
        raise ValueError(
            f"{where(path, missing[0])}: there is no file '{files[missing[0] - first]}' "
            f"({len(missing)} of {len(files)} images are missing)"
        )
    return [key for key, _ in rows[first - 1 :]], files


def _find_rows(keys: list[str], names: Names) -> Tensor:
    # Names may be quoted, decomposed (as on macOS) or numbered.
    rows = names(keys)
    plain = [unicodedata.normalize("NFC", unquote(key)) for key in keys]
    numbered = [NUMBERED.sub(r"\1", key) for key in plain]
    for find, others in ((names, plain), (names, numbered), (names.near, plain)):
        rows = torch.where(rows == -1, find(others), rows)
    return rows


def read_image(path: str | os.PathLike[str]) -> Tensor:
    r"""Reads an image file into a :class:`torch.uint8` tensor of shape :obj:`[3, H, W]`, laying
    transparent pictures on white. Raises a :class:`ValueError` if Pillow cannot.
    """
    from PIL import Image

    try:
        Image.init()  # All formats but the one that asks another program to draw it:
        with Image.open(path, formats=[x for x in Image.ID if x != "EPS"]) as file:
            image = file
            if file.mode.startswith("I"):  # 16 bits, which Pillow would cut off at 255.
                image = file.convert("I").point(lambda value: value / 257)
            elif file.has_transparency_data:
                white = Image.new("RGBA", file.size, "white")
                image = Image.alpha_composite(white, file.convert("RGBA"))
            image = image.convert("RGB")
    except Exception as e:  # A damaged file can make a decoder raise anything.
        raise ValueError(f"Cannot read the image '{path}': {e}") from e
    return torch.from_numpy(np.array(image)).permute(2, 0, 1)
