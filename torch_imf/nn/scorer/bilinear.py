import torch
import torch.nn.functional as F
from torch import Tensor

from torch_imf.nn.functional.quaternion import hamilton
from torch_imf.nn.scorer.base import Scorer

#: What products are trained with, as settings of :meth:`torch_imf.recipe`.
REGULARIZED = {
    **{"loss": "ce", "loss.regularizer": "n3", "loss.regularizer.weight": 0.05},
    **{"optimizer": "adagrad", "lr": 0.1, "dense_lr": 0.015},
}


class DistMult(Scorer):
    r"""The DistMult scorer from the `"Embedding Entities and Relations for Learning and Inference
    in Knowledge Bases" <https://arxiv.org/abs/1412.6575>`_ paper, a diagonal bilinear form of
    embeddings of one size:

    .. math::
        \psi(h, r, t) = \mathbf{e}_h^{\top} \mathrm{diag}(\mathbf{e}_r) \, \mathbf{e}_t
    """

    same_channels = True
    settings = REGULARIZED

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
    settings = REGULARIZED

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


class QuatE(Scorer):
    r"""The QuatE scorer from the `"Quaternion Knowledge Graph Embeddings"
    <https://arxiv.org/abs/1904.10281>`_ paper (Eq. 6-7), the inner product of the tail and of the
    head that a relation of unit quaternions rotates, by the Hamilton product :math:`\otimes`:

    .. math::
        \psi(h, r, t) = \Big( \mathbf{e}_h \otimes \frac{\mathbf{e}_r}{|\mathbf{e}_r|} \Big) \cdot
        \mathbf{e}_t

    The four quarters of an embedding hold the real parts, and those of :math:`i`, :math:`j` and
    :math:`k`.

    Args:
        channels (int): Size of entity and relation embeddings, a multiple of four.
        normalize (bool, optional): If set to :obj:`False`, relations keep their moduli, which makes
            the scorer linear in them. (default: :obj:`True`)
    """

    same_channels = True
    num_parts = 4
    settings = REGULARIZED

    def __init__(
        self, channels: int, rel_channels: int | None = None, normalize: bool = True
    ) -> None:
        super().__init__(channels, rel_channels)
        if channels % 4 != 0:
            raise ValueError(f"QuatE needs 'channels' to be a multiple of four (got {channels})")
        self.normalize = normalize

    def query(self, head: Tensor, rel: Tensor) -> Tensor:
        h, r = _quaternions(head), _quaternions(rel)
        return hamilton(h, F.normalize(r, dim=-2) if self.normalize else r).flatten(-2)

    def invert(self, rel: Tensor) -> Tensor:
        return _conjugate(_quaternions(rel)).flatten(-2)

    def relation_query(self, head: Tensor, tail: Tensor) -> Tensor:
        if self.normalize:
            raise NotImplementedError("'QuatE' predicts relations with 'normalize=False' alone")
        return hamilton(_conjugate(_quaternions(head)), _quaternions(tail)).flatten(-2)


def _quaternions(x: Tensor) -> Tensor:
    return x.unflatten(-1, (4, -1))


def _conjugate(x: Tensor) -> Tensor:
    return torch.cat([x[..., :1, :], -x[..., 1:, :]], dim=-2)


def complex_product(x: Tensor, y: tuple[Tensor, ...]) -> Tensor:
    r"""Multiplies numbers that hold their real, then their imaginary parts."""
    (x_re, x_im), (y_re, y_im) = x.chunk(2, dim=-1), y
    return torch.cat([x_re * y_re - x_im * y_im, x_re * y_im + x_im * y_re], dim=-1)
