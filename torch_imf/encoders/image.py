import os
import os.path as osp
import warnings
from collections.abc import Callable, Sequence
from typing import BinaryIO

import torch
from torch import Tensor

from torch_imf.io.images import read_image

from .batches import Encode, encode_rows
from .cache import FeatureCache, hash_content

LARGEST = 1 << 29  # Bytes of a file, about those of the pixels that Pillow reads at most.

Image = Tensor | str | os.PathLike[str]


class ImageEncoder:
    r"""The base class of encoders of images.

    An entity has no image, one, or several, whose features are averaged. A
    file that cannot be read (missing, empty, cut short, no image) is left out:
    one warning names such files, :attr:`unreadable` holds them all with the
    reason, and an entity left without an image counts as missing.

    A subclass implements :meth:`load`.

    Args:
        batch_size (int, optional): The number of images per batch.
            (default: :obj:`32`)
        cache (bool or str, optional): The folder to keep features in, see
            :meth:`FeatureCache.open`. (default: :obj:`False`)
        channels (int, optional): The size of a feature vector if it is known
            beforehand. (default: :obj:`0`)

    Shapes:
        - **input:** a list of :math:`N` entries: an image, a list of images,
          or :obj:`None`, where an image is a :class:`torch.uint8` tensor
          :math:`(3, H, W)` of any size, or a path (read with Pillow,
          transparent parts become white)
        - **output:** features :math:`(N, D)` and mask :math:`(N)`; rows of
          entities without an image are zero and :obj:`False`
    """

    unreadable: dict[str, str]
    """The files that the last call could not read, and why."""

    def __init__(
        self,
        batch_size: int = 32,
        cache: bool | str | os.PathLike[str] = False,
        channels: int = 0,
    ) -> None:
        if batch_size < 1:
            raise ValueError(f"'batch_size' needs to be positive (got {batch_size})")

        self.batch_size = batch_size
        self.cache = cache
        self.channels = channels
        self.unreadable = {}

    def load(self) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
        r"""Returns a function from an image :math:`(3, H, W)` to the input of
        a model, and one from a batch of inputs to features.
        """
        raise NotImplementedError

    def __call__(self, images: Sequence[Image | list[Image] | None]) -> tuple[Tensor, Tensor]:
        r"""Returns the features of a list of images and which entities have
        any.

        Args:
            images (list): The images, see above.

        Raises:
            ValueError: If a tensor is not 8-bit of three channels.
        """
        self.unreadable = {}
        entries: list[tuple[int, str, Image]] = []
        for i, entry in enumerate(images):
            for image in entry if isinstance(entry, list) else [entry]:
                if isinstance(image, Tensor):
                    check_pixels(image, i)
                    entries.append((i, hash_pixels(image), image))
                elif image is not None:
                    try:
                        with open(image, "rb") as file:
                            entries.append((i, hash_content(read_bounded(file)), image))
                    except OSError as e:
                        self.unreadable[os.fspath(image)] = str(e)

        reasons: dict[str, str] = {}
        out = encode_rows(
            len(images),
            entries,
            lambda: self._encode(reasons),
            self.batch_size,
            FeatureCache.open(self, self.cache),
            self.channels,
            self.__class__.__name__,
        )
        for _, key, image in entries:
            if key in reasons and not isinstance(image, Tensor):
                self.unreadable[os.fspath(image)] = reasons[key]
        self._warn()
        return out

    def _encode(self, reasons: dict[str, str]) -> Encode[Image]:
        prepare, forward = self.load()

        def encode(batch: dict[str, Image]) -> tuple[list[str], Tensor]:
            inputs = {}
            for key, image in batch.items():
                try:
                    pixels = image if isinstance(image, Tensor) else read_image(image)
                except ValueError as e:
                    reasons[key] = str(e)
                    continue
                inputs[key] = prepare(pixels)
            if len(inputs) == 0:
                return [], torch.empty(0, self.channels)
            return list(inputs), forward(torch.stack(list(inputs.values())))

        return encode

    def _warn(self) -> None:
        if len(self.unreadable) > 0:
            first = list(self.unreadable.items())[:10]
            warnings.warn(
                f"{len(self.unreadable)} images cannot be read and are left out "
                f"('{self.__class__.__name__}.unreadable' holds all): "
                + "; ".join(f"'{osp.basename(path)}' ({reason})" for path, reason in first),
                stacklevel=3,
            )


def read_bounded(file: BinaryIO) -> bytes:
    r"""Reads a file that is no larger than an image can be."""
    content = file.read(LARGEST + 1)
    if len(content) > LARGEST:
        raise OSError(f"The file has more than {LARGEST:,} bytes")
    return content


def check_pixels(image: Tensor, index: int) -> None:
    r"""Raises a :class:`ValueError` if a tensor is no image."""
    if image.dtype != torch.uint8 or image.dim() != 3 or image.size(0) != 3:
        raise ValueError(
            f"Image {index} needs to be a uint8 tensor of shape [3, H, W] "
            f"(got {image.dtype} of shape {list(image.size())})"
        )


def hash_pixels(image: Tensor) -> str:
    r"""Returns a hash of the content of an image."""
    content = image.cpu().contiguous().numpy().tobytes()
    return hash_content(f"{list(image.size())} ".encode() + content)
