import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Linear


class ModalityGenerator(torch.nn.Module):
    r"""The generator of synthetic modality embeddings from the `"Unleashing
    the Power of Imbalanced Modality Information for Multi-modal Knowledge
    Graph Completion" <https://arxiv.org/abs/2402.15444>`_ paper (Eq. 9):

    .. math::
        G_m(\mathbf{e}_s, \mathbf{z}) = \mathbf{W}_2 \, \delta \left(
        \mathbf{W}_1 [\mathbf{e}_s ; \mathbf{z}] + \mathbf{b}_1 \right) +
        \mathbf{b}_2, \qquad \mathbf{z} \sim \mathcal{N}(0, \mathbf{I})

    with LeakyReLU as :math:`\delta`.

    Args:
        in_channels (int): Size of structural embeddings.
        out_channels (int): Size of the embeddings of the modality.
        noise_channels (int, optional): Size of the noise :math:`\mathbf{z}`.
            (default: :obj:`64`)
        hidden_channels (int, optional): Size of the hidden layer. If
            :obj:`None`, it is :obj:`out_channels`. (default: :obj:`None`)

    Shapes:
        - **input:** structural embeddings :math:`(*, C)`, and noise
          :math:`(*, Z)`, drawn anew if it is not given
        - **output:** :math:`(*, C_m)`
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        noise_channels: int = 64,
        hidden_channels: int | None = None,
    ) -> None:
        super().__init__()
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.noise_channels = noise_channels
        hidden_channels = out_channels if hidden_channels is None else hidden_channels
        self.lin1 = Linear(in_channels + noise_channels, hidden_channels)
        self.lin2 = Linear(hidden_channels, out_channels)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        self.lin1.reset_parameters()
        self.lin2.reset_parameters()

    def forward(self, x: Tensor, noise: Tensor | None = None) -> Tensor:
        if noise is None:
            noise = torch.randn(*x.size()[:-1], self.noise_channels, device=x.device, dtype=x.dtype)
        return self.lin2(F.leaky_relu(self.lin1(torch.cat([x, noise], dim=-1))))

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.in_channels}, {self.out_channels}, "
            f"noise_channels={self.noise_channels})"
        )
