import os
import os.path as osp
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from typing import Protocol, cast
from urllib.parse import unquote

import numpy as np
import torch
from torch import Tensor

from torch_imf.io import some, warn
from torch_imf.io.archive import ARCHIVES, unpack
from torch_imf.io.confined import confined_each
from torch_imf.io.hash import hash_content
from torch_imf.io.tables import read_rows, where

# What Pillow knows by name, but does not read without other programs or readers:
NO_PICTURES = ("BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF")
# What is a picture by its first bytes, whatever its name:
SIGNED = ("AVIF", "BMP", "GIF", "HEIF", "JPEG", "JPEG2000", "PNG", "TIFF", "WEBP")

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
            files += read_index(path, osp.dirname(path))[1]
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
        keys, files = read_index(source, osp.dirname(source) if base is None else base)
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


def image_names(source: str, names: Names) -> list[str]:
    r"""Returns the names that the images of a folder or an index file give to their entities, of
    those that nobody is known by. Images of an archive are of known entities.
    """
    keys: list[str] = []
    if osp.isdir(source):
        keys, _ = _list_folder(source, names)
    elif source.endswith(INDEX):
        keys, _ = read_index(source, osp.dirname(source))
    rows = _find_rows(keys, names).tolist() if keys else []
    return list(dict.fromkeys(key for key, row in zip(keys, rows, strict=True) if row == -1))


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


def _ending(path: str) -> str | None:
    # How the name of a picture ends, which is nothing where only its first bytes tell what it is
    # (as of 'm.027rn'), and None for a file that is no picture.
    from PIL import Image

    if not osp.isfile(path):
        return None
    ending = osp.splitext(path)[1]
    kind = Image.registered_extensions().get(ending.lower())
    if kind in Image.OPEN and kind not in NO_PICTURES:
        return ending
    with open(path, "rb") as file:
        start = file.read(16)
    accepts = (Image.OPEN[name][1] for name in SIGNED if name in Image.OPEN)
    is_signed = len(start) == 16 and any(accept and accept(start) is True for accept in accepts)
    return "" if is_signed else None


def _list_folder(folder: str, names: Names) -> tuple[list[str], list[str]]:
    # The name that each image file below a folder gives to its entity, and the files.
    with suppress(ImportError):  # A usual plugin of Pillow.
        from pillow_heif import register_heif_opener

        register_heif_opener()
    endings = {file: _ending(file) for file in _walk(folder)}
    files = [file for file, ending in endings.items() if ending is not None]
    if others := [osp.relpath(file, folder) for file, x in endings.items() if x is None]:
        warn(
            f"{len(others)} of the {len(endings)} files in '{folder}' are no pictures that can be "
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
    own = (
        part[0] if len(part) > 1 else part[0].removesuffix(endings[file] or "")
        for part, file in zip(parts, files, strict=True)
    )
    return list(own), files


def read_index(path: str, base: str) -> tuple[list[str], list[str]]:
    r"""Returns the names of the entities that an index file lists, and their image files."""
    rows = read_rows(path, 2)
    header = [x.strip().lower() for row in rows[:1] for x in row]
    first = 2 if header in (["entity", "image"], ["entity", "path"]) else 1
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
    r"""Reads an image file into a :class:`torch.uint8` tensor of shape :obj:`[3, H, W]`: upright,
    its first frame, on white where it is transparent, and reduced if a side has more than 2,048
    pixels. Raises a :class:`ValueError` if Pillow cannot read it, or not within a budget.
    """
    (image,) = read_images([os.fspath(path)])
    if isinstance(image, str):
        raise ValueError(image)
    return image


def read_images(paths: Sequence[str]) -> Iterator[Tensor | str]:
    r"""Yields each of several images as :meth:`read_image` reads it, or what is wrong with it."""
    images = confined_each("torch_imf.io.pixels:decode", paths, 4, "save it with fewer pixels")
    for path, found in zip(paths, images, strict=True):
        if isinstance(found, str):
            yield f"Cannot read the image '{path}': {found}"
        else:
            yield torch.from_numpy(cast(np.ndarray, found[0])).permute(2, 0, 1)
