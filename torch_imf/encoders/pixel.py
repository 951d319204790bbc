from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from torch_imf.encoders.visual import ImageEncoder


class PixelEncoder(ImageEncoder):
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
        As :class:`ImageEncoder`, with :math:`D = 3 \cdot height \cdot width`.
    """

    def __init__(self, height: int = 16, width: int = 24) -> None:
        if height < 1 or width < 1:
            raise ValueError(f"The grid needs at least one cell (got {height} x {width})")

        super().__init__(channels=3 * height * width)
        self.height = height
        self.width = width

    def load(self) -> tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]:
        def prepare(image: Tensor) -> Tensor:
            return F.adaptive_avg_pool2d(image.float(), (self.height, self.width)) / 127.5 - 1

        return prepare, lambda x: x.flatten(start_dim=1)
