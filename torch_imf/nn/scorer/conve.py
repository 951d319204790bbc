from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from torch_imf.nn.scorer.base import Scorer
from torch_imf.nn.scorer.core_tensor import batch_norm


class ConvE(Scorer):
    r"""The ConvE scorer from the `"Convolutional 2D Knowledge Graph Embeddings"
    <https://arxiv.org/abs/1707.01476>`_ paper (Eq. 1), a convolution over head and relation,
    reshaped to images :math:`\overline{\mathbf{e}}_h, \overline{\mathbf{e}}_r` and stacked:

    .. math::
        \psi(h, r, t) = \mathrm{ReLU} \big( \mathrm{vec} ( \mathrm{ReLU} ( [ \overline{\mathbf{e}}_h
        \, \Vert \, \overline{\mathbf{e}}_r ] * \boldsymbol{\omega} )) \, \mathbf{W} \big)^{\top}
        \mathbf{e}_t + b_t

    with batch normalisation and dropout. The bias :math:`b_t` of a tail is the last channel of its
    embedding, so :math:`\mathbf{W}` leads to the other :math:`C - 1` channels.

    Args:
        channels (int): Size :math:`C` of entity and relation embeddings.
        height (int, optional): The height of the image of an embedding, a divisor of
            :obj:`channels`. If :obj:`None`, the largest that is no larger than the width. (default:
            :obj:`None`)
        num_filters (int, optional): Number of filters. (default: :obj:`32`)
        kernel_size (int, optional): Height and width of a filter. (default: :obj:`3`)
        input_dropout (float, optional): Dropout of the stacked images. (default: :obj:`0.2`)
        feature_dropout (float, optional): Dropout of whole feature maps. (default: :obj:`0.2`)
        hidden_dropout (float, optional): Dropout of the projected features. (default: :obj:`0.3`)
    """

    same_channels = True

    def __init__(
        self,
        channels: int,
        rel_channels: int | None = None,
        height: int | None = None,
        num_filters: int = 32,
        kernel_size: int = 3,
        input_dropout: float = 0.2,
        feature_dropout: float = 0.2,
        hidden_dropout: float = 0.3,
    ) -> None:
        super().__init__(channels, rel_channels)
        self.height = _choose_height(height, channels, kernel_size)
        self.num_filters = num_filters
        self.input_dropout = torch.nn.Dropout(input_dropout)
        self.feature_dropout = torch.nn.Dropout2d(feature_dropout)
        self.hidden_dropout = torch.nn.Dropout(hidden_dropout)

        # Batch normalisation follows both layers, and would cancel their biases:
        self.conv = torch.nn.Conv2d(1, num_filters, kernel_size, bias=False)
        size = (2 * self.height - kernel_size + 1) * (channels // self.height - kernel_size + 1)
        self.lin = torch.nn.Linear(num_filters * size, channels - 1, bias=False)
        norms = torch.nn.BatchNorm2d(1), torch.nn.BatchNorm2d(num_filters)
        self.norms = torch.nn.ModuleList([*norms, torch.nn.BatchNorm1d(channels - 1)])
        self.reset_parameters()

    def reset_parameters(self) -> None:
        module: Any
        for module in [self.conv, self.lin, *self.norms]:
            module.reset_parameters()

    def query(self, head: Tensor, rel: Tensor) -> Tensor:
        images = [x.reshape(x.size(0), 1, self.height, -1) for x in (head, rel)]
        x = torch.cat(images, dim=2)  # [B, 1, 2 * height, width]
        x = self.input_dropout(batch_norm(self.norms[0], x))
        x = batch_norm(self.norms[1], self.conv(x)).relu()
        x = self.lin(self.feature_dropout(x).flatten(1))  # [B, C - 1]
        x = batch_norm(self.norms[2], self.hidden_dropout(x)).relu()
        return F.pad(x, (0, 1), value=1.0)  # Meets the bias of the tail.

    def __repr__(self) -> str:
        return f"ConvE({self.channels}, height={self.height}, num_filters={self.num_filters})"


def _choose_height(height: int | None, channels: int, kernel_size: int) -> int:
    # Of an image of so many pixels such that two of them, stacked, hold the kernel.
    heights = range(-(-kernel_size // 2), channels // kernel_size + 1)
    choices = [height for height in heights if channels % height == 0]
    if height is None and len(choices) > 0:
        return max(height for height in choices if height**2 <= channels)
    if height is None or height not in choices:
        raise ValueError(
            f"No image of {channels} 'channels' and 'height' {height} holds a kernel of size "
            f"{kernel_size} (choose a height of {choices}, or other channels)"
        )
    return height
