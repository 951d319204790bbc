import torch
from torch import Tensor

from torch_imf.nn.scorer.base import Scorer


class DistMult(Scorer):
    r"""The DistMult scorer from the `"Embedding Entities and Relations for Learning and Inference
    in Knowledge Bases" <https://arxiv.org/abs/1412.6575>`_ paper, a diagonal bilinear form of
    embeddings of one size:

    .. math::
        \psi(h, r, t) = \mathbf{e}_h^{\top} \mathrm{diag}(\mathbf{e}_r) \, \mathbf{e}_t
    """

    same_channels = True

    def query(self, head: Tensor, rel: Tensor) -> Tensor:
        return head * rel

    def invert(self, rel: Tensor) -> Tensor:
        return rel

    def relation_query(self, head: Tensor, tail: Tensor) -> Tensor:
        return head * tail


class ComplEx(Scorer):
    r"""The ComplEx scorer from the `"Complex Embeddings for Simple Link Prediction"
    <https://arxiv.org/abs/1606.06357>`_ paper, a diagonal bilinear form over complex numbers:

    .. math::
        \psi(h, r, t) = \mathrm{Re}(\mathbf{e}_h^{\top} \mathrm{diag}(\mathbf{e}_r) \,
        \overline{\mathbf{e}_t})

    The first half of an embedding, of even size, holds the real, the second the imaginary parts.
    """

    same_channels = True
    num_parts = 2

    def __init__(self, channels: int, rel_channels: int | None = None) -> None:
        super().__init__(channels, rel_channels)
        if channels % 2 != 0:
            raise ValueError(f"ComplEx needs an even number of 'channels' (got {channels})")

    def query(self, head: Tensor, rel: Tensor) -> Tensor:
        return complex_product(head, rel.chunk(2, dim=-1))

    def invert(self, rel: Tensor) -> Tensor:
        r_re, r_im = rel.chunk(2, dim=-1)
        return torch.cat([r_re, -r_im], dim=-1)

    def relation_query(self, head: Tensor, tail: Tensor) -> Tensor:
        h_re, h_im = head.chunk(2, dim=-1)
        return complex_product(tail, (h_re, -h_im))


def complex_product(x: Tensor, y: tuple[Tensor, ...]) -> Tensor:
    r"""Multiplies numbers that hold their real, then their imaginary parts."""
    (x_re, x_im), (y_re, y_im) = x.chunk(2, dim=-1), y
    return torch.cat([x_re * y_re - x_im * y_im, x_re * y_im + x_im * y_re], dim=-1)
