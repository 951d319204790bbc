import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Linear


class ModalityGenerator(torch.nn.Module):
    r"""The generator of synthetic modality embeddings from the `"Unleashing the Power of Imbalanced
    Modality Information for Multi-modal Knowledge Graph Completion"
    <https://arxiv.org/abs/2402.15444>`_ paper (Eq. 9):

    .. math::
        G_m(\mathbf{e}_s, \mathbf{z}) = \mathbf{W}_2 \, \delta \left(
        \mathbf{W}_1 [\mathbf{e}_s ; \mathbf{z}] + \mathbf{b}_1 \right) +
        \mathbf{b}_2, \qquad \mathbf{z} \sim \mathcal{N}(0, \mathbf{I})

    with LeakyReLU as :math:`\delta`.

    Args:
        in_channels (int): Size of structural embeddings.
        out_channels (int): Size of the modality, and of the hidden layer.
        noise_channels (int, optional): Size of :math:`\mathbf{z}`. (default: :obj:`64`)
    """

    def __init__(self, in_channels: int, out_channels: int, noise_channels: int = 64) -> None:
        super().__init__()
        self.noise_channels = noise_channels
        self.lin1 = Linear(in_channels + noise_channels, out_channels)
        self.lin2 = Linear(out_channels, out_channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        self.lin1.reset_parameters()
        self.lin2.reset_parameters()

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        r"""Generates embeddings :obj:`[*, C_m]` from structural ones :obj:`[*, C]` and noise
        :obj:`[*, Z]`, which is drawn anew if it is not given.
        """
        if noise is None:
            noise = torch.randn(*x.size()[:-1], self.noise_channels, device=x.device, dtype=x.dtype)
        return self.lin2(F.leaky_relu(self.lin1(torch.cat([x, noise], dim=-1))))

    def __repr__(self) -> str:
        size = self.lin2.out_features
        return f"{self.__class__.__name__}({size}, noise_channels={self.noise_channels})"
