import glob
import os
import os.path as osp
import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from typing import Protocol, cast
from urllib.parse import unquote

import numpy as np
import torch
from torch import Tensor

from torch_imf.io import warn
from torch_imf.io.archive import ARCHIVES, unpack
from torch_imf.io.confined import confined_each
from torch_imf.io.hash import hash_content
from torch_imf.io.tables import read_rows, where

EXTENSIONS = (".jpg", ".jpeg", ".png", ".gif", ".bmp", ".webp", ".tif", ".tiff")

# Of ids that say nothing. The number of a title (Toy_Story_3) is its own:
NUMBERED = re.compile(r"^([A-Za-z]+[0-9]+|[mg]\.\w+)_[0-9]+$")


class Names(Protocol):
    r"""What finds entities by name, a :class:`~torch_imf.data.NameIndex`."""

    def __call__(self, names: Iterable[str], /) -> Tensor: ...

    def __len__(self) -> int: ...

    def example(self) -> str: ...


def source_tag(source: str) -> str:
    r"""Returns a name for a source of images that is fit for a file, and changes with the names of
    its files, or with the file that it is.
    """
    path = osp.abspath(osp.expanduser(source))
    parts = [path, *_list_files(path)]
    if osp.isfile(path):
        info = os.stat(path)
        parts.append(f"{info.st_size} {info.st_mtime_ns}")
    return hash_content("\n".join(parts))[:8]


def find_images(
    source: str, names: Names, base: str | None = None, folder: str | None = None
) -> list[list[str] | None]:
    r"""Returns the sorted paths of the images of each entity, or :obj:`None` if it has none.

    * In a **folder**, they are named by entity: a file :obj:`m.027rn.jpg`, any file below a folder
      :obj:`m.027rn`, or both. A slash in a name may be written as :obj:`%2F`, and an id may be
      followed by a number, as in :obj:`n02084071_1.JPEG`. A folder around all does not matter.
    * An **index file** (:obj:`.tsv` or :obj:`.txt`) has an entity and a path (from :obj:`base`, by
      default its own folder) in each line, and perhaps a header :obj:`entity`, :obj:`image`.
    * An **archive** is unpacked in :obj:`folder`.

    Images of no entity are left out; one warning tells if they are the most. Raises a
    :class:`ValueError` if the source or an image is missing, or no image belongs to an entity.
    """
    source = osp.expanduser(source)
    if folder is not None and osp.isfile(source) and source.lower().endswith(ARCHIVES):
        source = unpack(source, folder)
    if osp.isdir(source):
        keys, files = _list_folder(source, names)
    elif osp.isfile(source) and source.lower().endswith((".tsv", ".txt")):
        keys, files = _read_index(source, osp.dirname(source) if base is None else base)
    else:
        raise ValueError(
            f"There are no images at '{source}'. Please pass a folder, an index file (.tsv, .txt) "
            f"or an archive ({', '.join(ARCHIVES)})"
        )

    rows = _find_rows(keys, names).tolist()
    images: dict[int, set[str]] = {}
    lost = []
    for row, key, file in zip(rows, keys, files, strict=True):
        images.setdefault(row, set()).add(file)
        if row == -1:
            lost.append(f" ('{file}' is named {key!r:.80})")
    if max(rows, default=-1) < 0:
        example = names.example().replace("/", "%2F")
        raise ValueError(
            f"None of the {len(files)} images in '{source}' belongs to an entity{''.join(lost[:1])}"
            f". Please name them by entity, as in '{example}.jpg' or '{example}/1.jpg'"
        )
    if 2 * len(lost) > len(files):
        warn(f"{len(lost)} of the {len(files)} images in '{source}' belong to no entity{lost[0]}")
    return [sorted(images[row]) if row in images else None for row in range(len(names))]


def _list_files(folder: str) -> list[str]:
    found = glob.iglob(osp.join(glob.escape(folder), "**"), recursive=True)
    return sorted(x for x in found if x.lower().endswith(EXTENSIONS) and osp.isfile(x))


def _list_folder(folder: str, names: Names) -> tuple[list[str], list[str]]:
    # The name that each image file below a folder gives to its entity, and the files.
    files = _list_files(folder)
    parts = [file.removeprefix(osp.join(folder, "")).split(os.sep) for file in files]
    while len({part[0] for part in parts}) == 1 and min(map(len, parts)) > 1:
        if _find_rows(parts[0][:1], names)[0] != -1:
            break
        parts = [part[1:] for part in parts]  # A folder around all, as in archives.
    return [part[0] if len(part) > 1 else osp.splitext(part[0])[0] for part in parts], files


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
    for others in (plain, [NUMBERED.sub(r"\1", key) for key in plain]):
        rows = torch.where(rows == -1, names(others), rows)
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
