import os

import torch
import torch.nn.functional as F
from torch import Tensor


class PixelEncoder:
    r"""Encodes an image by its own pixels, averaged over the cells of a coarse
    grid and scaled to :math:`[-1, 1]`.

    It needs no weights and is exact about colour and layout, which is all
    there is to see in simple pictures such as flags.

    Args:
        height (int, optional): The number of rows of the grid.
            (default: :obj:`16`)
        width (int, optional): The number of columns of the grid.
            (default: :obj:`24`)

    Shapes:
        - **input:** a list of :math:`N` images, each a :class:`torch.uint8`
          tensor :math:`(3, H, W)` of any size, a path (read with Pillow,
          transparent parts become white), or :obj:`None`
        - **output:** :math:`(N, 3 \cdot height \cdot width)`, a zero row for
          :obj:`None`
    """

    def __init__(self, height: int = 16, width: int = 24) -> None:
        if height < 1 or width < 1:
            raise ValueError(f"The grid needs at least one cell (got {height} x {width})")

        self.height = height
        self.width = width

    def __call__(self, images: list[Tensor | str | os.PathLike | None]) -> Tensor:
        r"""Returns the features of a list of images.

        Args:
            images (list): The images, see above.

        Raises:
            ValueError: If an image is not an 8-bit tensor of three channels.
        """
        x = torch.zeros(len(images), 3, self.height, self.width)
        for i, image in enumerate(images):
            if image is None:
                continue
            if not isinstance(image, Tensor):
                image = read_image(image)
            if image.dtype != torch.uint8 or image.dim() != 3 or image.size(0) != 3:
                raise ValueError(
                    f"Image {i} needs to be a uint8 tensor of shape [3, H, W] "
                    f"(got {image.dtype} of shape {list(image.size())})"
                )
            x[i] = F.adaptive_avg_pool2d(image.float(), (self.height, self.width)) / 127.5 - 1
        return x.flatten(start_dim=1)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(height={self.height}, width={self.width})"


def read_image(path: str | os.PathLike) -> Tensor:
    r"""Reads an image file into a :class:`torch.uint8` tensor of shape
    :obj:`[3, H, W]`, laying transparent pictures on white.

    Args:
        path (str): The path of the file.

    Raises:
        ValueError: If Pillow cannot read the file.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(path) as file:
            image = file.convert("RGBA")
    except (UnidentifiedImageError, OSError, SyntaxError) as e:
        raise ValueError(f"Cannot read the image '{path}': {e}") from e

    white = Image.new("RGBA", image.size, "white")
    image = Image.alpha_composite(white, image).convert("RGB")
    pixels = torch.frombuffer(bytearray(image.tobytes()), dtype=torch.uint8)
    return pixels.view(image.height, image.width, 3).permute(2, 0, 1)
