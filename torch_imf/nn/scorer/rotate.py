import math
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from torch_imf.nn.scorer.base import DistanceScorer


class RotatE(DistanceScorer):
    r"""The RotatE scorer from the `"RotatE: Knowledge Graph Embedding by
    Relational Rotation in Complex Space" <https://arxiv.org/abs/1902.10197>`_
    paper:

    .. math::
        \psi(h, r, t) = \gamma - \sum_i | (\mathbf{e}_h \circ
        e^{i \boldsymbol{\theta}_r} - \mathbf{e}_t)_i |

    Args:
        channels (int): Size of entity embeddings, even: the first half holds
            the real, the second the imaginary parts. Those of relations, the
            phases :math:`\boldsymbol{\theta}_r` in radians, are half as large.
        margin (float, optional): The margin :math:`\gamma`.
            (default: :obj:`6.`)
    """

    def __init__(self, channels: int, rel_channels: int | None = None, margin: float = 6.0) -> None:
        rel_channels = channels // 2 if rel_channels is None else rel_channels
        super().__init__(channels, rel_channels, margin)
        if channels != 2 * rel_channels:
            raise ValueError(
                f"RotatE needs an even number of 'channels', and 'rel_channels' to be half of it "
                f"(got {channels} and {rel_channels})"
            )

    def reset_relations(self, weight: Tensor) -> None:
        torch.nn.init.uniform_(weight, -math.pi, math.pi)

    def query(self, head: Tensor, rel: Tensor) -> Tensor:
        (h_re, h_im), r_re, r_im = head.chunk(2, dim=-1), rel.cos(), rel.sin()
        return torch.cat([h_re * r_re - h_im * r_im, h_re * r_im + h_im * r_re], dim=-1)

    def distance(self, query: Tensor, key: Tensor) -> Tensor:
        return ComplexDistance.apply(query, key)

    def invert(self, rel: Tensor) -> Tensor:
        return -rel


class ComplexDistance(torch.autograd.Function):
    r"""The sum of the moduli of :obj:`query - key`, whose backward pass visits
    memory less often than autograd's. It can be differentiated once: there are
    no gradients of its gradients, such as penalties on them need.
    """

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor) -> Tensor:
        diff = query - key
        re, im = diff.chunk(2, dim=-1)
        # The gradient of a plain norm is undefined where both parts are zero:
        modulus = (re * re).addcmul_(im, im).clamp_(min=1e-18).sqrt_()
        ctx.save_for_backward(diff, modulus)
        ctx.sizes = query.size(), key.size()
        return modulus.sum(dim=-1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        diff, modulus = ctx.saved_tensors
        query_size, key_size = ctx.sizes
        scale = -grad.unsqueeze(-1) / modulus
        out = torch.empty_like(diff)  # The gradient of keys, the larger part.
        for x, y in zip(diff.chunk(2, dim=-1), out.chunk(2, dim=-1), strict=True):
            torch.mul(x, scale, out=y)
        return -out.sum_to_size(query_size), out.sum_to_size(key_size)
