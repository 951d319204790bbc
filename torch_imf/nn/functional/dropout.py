import torch
import torch.nn.functional as F
from torch import Tensor


def dropout(x: Tensor, p: float = 0.5, training: bool = True) -> Tensor:
    r"""Computes :func:`torch.nn.functional.dropout`, several times faster on a
    CPU, where PyTorch draws a number of 64 random bits for each element. Here,
    it is 16 bits, so that the probability is a multiple of :math:`2^{-16}`.

    Args:
        x (torch.Tensor): The input, of any shape.
        p (float, optional): The probability of an element to be zeroed.
            (default: :obj:`0.5`)
        training (bool, optional): If set to :obj:`False`, returns the input.
            (default: :obj:`True`)
    """
    if not training or not x.is_cpu or not 0 < p < 1:
        return F.dropout(x, p, training)
    bits = torch.randint(-(2**63), 2**63 - 1, (-(-x.numel() // 4),)).view(torch.int16)
    kept = (bits[: x.numel()] >= round(p * 2**16) - 2**15).view(x.size())
    # A product with numbers of the same type is faster than one with a Boolean, or a selection:
    return x * kept.to(x.dtype).mul_(1 / (1 - p))
