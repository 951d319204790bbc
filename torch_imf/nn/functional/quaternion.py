import torch
from torch import Tensor


def hamilton(a: Tensor, b: Tensor) -> Tensor:
    r"""The Hamilton product of quaternions, given and returned by their parts, of shape :obj:`[*,
    4, C]`: the real one, and those of :math:`i`, :math:`j` and :math:`k`.
    """
    (p, q, u, v), (w, x, y, z) = a.unbind(dim=-2), b.unbind(dim=-2)
    parts = (
        p * w - q * x - u * y - v * z,
        p * x + q * w + u * z - v * y,
        p * y - q * z + u * w + v * x,
        p * z + q * y - u * x + v * w,
    )
    return torch.stack(parts, dim=-2)
