import math

import torch
from torch import Tensor

from torch_imf.nn.scorer.distance import SAMPLED, DistanceScorer, in_chunks, root, square_distance


class HAKE(DistanceScorer):
    r"""The HAKE scorer from the `"Learning Hierarchy-Aware Knowledge Graph Embeddings for Link
    Prediction" <https://arxiv.org/abs/1911.09419>`_ paper, in polar coordinates: moduli tell levels
    of a hierarchy apart, and phases entities of a level:

    .. math::
        \psi(h, r, t) = \gamma - \lambda_m \big\| \mathbf{h}_m \circ (\mathbf{r}_m + \mathbf{r}'_m)
        - \mathbf{t}_m \circ (1 - \mathbf{r}'_m) \big\|_2 - \lambda \sum_i \Big| \sin
        \frac{(\mathbf{h}_p + \mathbf{r}_p - \mathbf{t}_p)_i}{2} \Big|

    with :math:`\mathbf{r}_m > 0` and :math:`-\mathbf{r}_m < \mathbf{r}'_m < 1`: absolute values
    are taken of the one, and the other is clipped. Phases are radians. The paper learns
    :math:`\lambda`, and has no :math:`\lambda_m`, which the released code learns, too.

    Args:
        channels (int): Size of entity embeddings, an even number: moduli, then phases. Those of
            relations, with the bias :math:`\mathbf{r}'_m` at the end, are half as large again.
        margin (float, optional): The margin :math:`\gamma`. (default: :obj:`9.`)
        phase_weight (float, optional): The initial :math:`\lambda`, in units of
            :math:`2 (\gamma + 2) / C`, as in the released code. (default: :obj:`0.5`)
        modulus_weight (float, optional): The (initial) :math:`\lambda_m`. (default: :obj:`1.`)
        learn_modulus_weight (bool, optional): Whether :math:`\lambda_m` is learned. (default:
            :obj:`False`)
    """

    settings = SAMPLED

    def __init__(
        self,
        channels: int,
        rel_channels: int | None = None,
        margin: float = 9.0,
        phase_weight: float = 0.5,
        modulus_weight: float = 1.0,
        learn_modulus_weight: bool = False,
    ) -> None:
        rel_channels = 3 * channels // 2 if rel_channels is None else rel_channels
        super().__init__(channels, rel_channels, margin)
        if 2 * rel_channels != 3 * channels:
            raise ValueError(
                f"HAKE needs an even number of 'channels', and 'rel_channels' to be half as many "
                f"again (got {channels} and {rel_channels})"
            )
        self.init_weights = 2 * phase_weight * (margin + 2) / channels, modulus_weight
        self.phase_weight = torch.nn.Parameter(torch.empty(()))
        self.modulus_weight = torch.nn.Parameter(torch.empty(()), learn_modulus_weight)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        torch.nn.init.constant_(self.phase_weight, self.init_weights[0])
        torch.nn.init.constant_(self.modulus_weight, self.init_weights[1])

    def reset_relations(self, weight: Tensor) -> None:
        modulus, phase, bias = weight.chunk(3, dim=-1)
        torch.nn.init.ones_(modulus)
        torch.nn.init.uniform_(phase, -math.pi, math.pi)
        torch.nn.init.zeros_(bias)

    def query(self, head: Tensor, rel: Tensor) -> Tensor:
        (modulus, phase), (r, r_phase, bias) = head.chunk(2, dim=-1), rel.chunk(3, dim=-1)
        r, bias = _valid(r, bias)
        phase = (phase + r_phase) / 2
        return torch.cat([modulus * (r + bias), 1 - bias, phase.sin(), phase.cos()], dim=-1)

    def key(self, tail: Tensor) -> Tensor:
        modulus, phase = tail.chunk(2, dim=-1)
        return torch.cat([modulus, (phase / 2).cos(), (phase / 2).sin()], dim=-1)

    def similarity(self, query: Tensor, key: Tensor) -> Tensor:
        size = self.channels // 2
        (x, weight), phase = query[..., : 2 * size].chunk(2, dim=-1), query[..., 2 * size :]
        t, t_phase = key[..., :size], key[..., size:]
        if key.dim() == 3:
            modulus = torch.addcmul(x.unsqueeze(1), weight.unsqueeze(1), t, value=-1).norm(dim=-1)
            angle = self.distance(phase.unsqueeze(1), t_phase)
        else:
            modulus = root(square_distance(x, t, weight))
            angle = in_chunks(self.distance, phase, t_phase, 2 * size)
        return self.margin - self.modulus_weight * modulus - self.phase_weight * angle

    def distance(self, query: Tensor, key: Tensor) -> Tensor:
        # The sine of a difference, of sines and cosines.
        (sin, cos), (key_cos, key_sin) = query.chunk(2, dim=-1), key.chunk(2, dim=-1)
        return torch.addcmul(sin * key_cos, cos, key_sin, value=-1).abs().sum(dim=-1)

    def invert(self, rel: Tensor) -> Tensor:
        r, phase, bias = rel.chunk(3, dim=-1)
        r, bias = _valid(r, bias)
        return torch.cat([r, -phase, 1 - r - bias], dim=-1)


def _valid(r: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    # Within the bounds of the paper.
    r = r.abs()
    return r, torch.maximum(bias.clamp(max=1), -r)
