import torch
from torch import Tensor
from torch.nn import Linear

from torch_imf.nn.fusion.base import Fusion, Tensors


class AutoencoderFusion(Fusion):
    r"""The encoder of the multimodal autoencoder of :class:`~torch_imf.nn.TransAE`: a hidden layer
    over all modalities side by side,

    .. math::
        \mathbf{e} = \mathbf{W} [\, f(\mathbf{e}_1) \, \Vert \, \ldots \, \Vert \,
        f(\mathbf{e}_{|\mathcal{M}|}) \,] + \mathbf{b}, \qquad f = \tanh

    in which a modality that an entity lacks is zero.

    Args:
        in_channels, out_channels: See :class:`Fusion`.
    """

    def __init__(self, in_channels: dict[str, int], out_channels: int) -> None:
        super().__init__(in_channels, out_channels)
        self.lin = Linear(sum(in_channels.values()), out_channels)
        self.reset_parameters()

    def latent(self, x_dict: Tensors) -> Tensors:
        return {name: x.tanh() for name, x in super().latent(x_dict).items()}

    def fuse(self, latent_dict: Tensors, mask_dict: Tensors | None = None) -> Tensor:
        masks = mask_dict or {}
        items = ((latent_dict[name], masks.get(name)) for name in self.in_channels)
        return self.lin(torch.cat([x if m is None else x * m.unsqueeze(-1) for x, m in items], -1))
