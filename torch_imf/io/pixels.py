r"""Decodes images. Without PyTorch, as another process does it."""

from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from PIL import Image

#: The largest side of an image. No encoder looks at more, and larger ones are reduced.
LARGEST = 2048


def decode(path: str, largest: int = LARGEST) -> Iterator[np.ndarray]:
    r"""Yields the pixels of an image file, of shape :obj:`[H, W, 3]` and 8 bits: upright, of the
    first frame, on white where it is transparent, and with sides of 2,048 at most, or
    another number.
    """
    from PIL import Image, ImageOps

    with Image.open(path, formats=_formats()) as file:
        file.draft("RGB", (largest, largest))  # A JPEG can be read smaller than it is.
        file.load()
        with suppress(Exception):  # Malformed notes are no reason to lose a picture.
            ImageOps.exif_transpose(file, in_place=True)
        image: Image.Image = file
        if image.mode[0] in "IF":
            image = _to_bytes(image)
        mode = "RGBA" if image.has_transparency_data else "RGB"
        image = image if image.mode == mode else image.convert(mode)
        if max(image.size) > largest:
            image.thumbnail((largest, largest), Image.Resampling.BOX)
        if image.mode == "RGBA":
            white = Image.new("RGBA", image.size, "white")
            image = Image.alpha_composite(white, image).convert("RGB")
        yield np.asarray(image)


@cache
def _formats() -> list[str]:
    # All but the one that asks another program to draw it.
    from PIL import Image

    Image.MAX_IMAGE_PIXELS = None  # The limits of the process are not taken in by a header.
    with suppress(ImportError):
        from pillow_heif import register_heif_opener

        register_heif_opener()
    Image.init()
    return [name for name in Image.ID if name != "EPS"]


def _to_bytes(image: "Image.Image") -> "Image.Image":
    # Pillow cuts numbers of more than 8 bits off at 255. What is white depends on their range.
    from PIL import Image

    pixels = np.nan_to_num(np.asarray(image).astype(np.float32), posinf=0, neginf=0)
    peak = pixels.max() / (2 if image.mode == "F" else 1)  # Floats may be brighter than white.
    levels = (1.0, 255.0, 65535.0) if image.mode == "F" else (255.0, 65535.0)
    white = next((level for level in levels if peak <= level), pixels.max())
    return Image.fromarray((255 * pixels / white).round().clip(0, 255).astype(np.uint8))
