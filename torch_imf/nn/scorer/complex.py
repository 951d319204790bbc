import torch
from torch import Tensor

from torch_imf.nn.scorer.base import Scorer


class ComplEx(Scorer):
    r"""The ComplEx scorer from the `"Complex Embeddings for Simple Link
    Prediction" <https://arxiv.org/abs/1606.06357>`_ paper, a diagonal bilinear
    form over complex numbers:

    .. math::
        \psi(h, r, t) = \mathrm{Re}(\mathbf{e}_h^{\top}
        \mathrm{diag}(\mathbf{e}_r) \, \overline{\mathbf{e}_t})

    Args:
        channels (int): Size of entity and relation embeddings, even: the first
            half holds the real, the second the imaginary parts.
    """

    same_channels = True

    def __init__(self, channels: int, rel_channels: int | None = None) -> None:
        super().__init__(channels, rel_channels)
        if channels % 2 != 0:
            raise ValueError(f"ComplEx needs an even number of 'channels' (got {channels})")

    def query(self, head: Tensor, rel: Tensor) -> Tensor:
        (h_re, h_im), (r_re, r_im) = head.chunk(2, dim=-1), rel.chunk(2, dim=-1)
        return torch.cat([h_re * r_re - h_im * r_im, h_re * r_im + h_im * r_re], dim=-1)

    def invert(self, rel: Tensor) -> Tensor:
        r_re, r_im = rel.chunk(2, dim=-1)
        return torch.cat([r_re, -r_im], dim=-1)
