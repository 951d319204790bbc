import torch
from torch import Tensor
from torch.nn import Linear, ModuleDict, Parameter

from torch_imf.nn.fusion.base import Tensors, masked_softmax, stack_masks
from torch_imf.nn.fusion.imf import LowRankFusion


class MoMoKFusion(LowRankFusion):
    r"""The fusion of :class:`~torch_imf.nn.MoMoK`, as in its released code: several sums of
    modalities, weighted by what they are, which are summed in turn:

    .. math::
        \mathbf{e} = \sum_{\rho = 1}^{R} \sum_{m \in \mathcal{M}} \alpha_m^{\rho} \,
        \mathbf{e}_m^{\rho}, \qquad \mathbf{e}_m^{\rho} = \mathrm{ReLU}(\mathbf{e}_m
        \mathbf{M}_m^{\rho} + \mathbf{b}_m^{\rho}), \qquad \alpha_m^{\rho} = \frac{\exp(\mathbf{w}
        \cdot \mathbf{e}_m^{\rho})}{\sum_{n \in \mathcal{M}} \exp(\mathbf{w} \cdot
        \mathbf{e}_n^{\rho})}

    A modality that an entity lacks has weight zero.

    Args:
        in_channels, out_channels: See :class:`Fusion`.
        rank (int, optional): The number :math:`R` of sums. (default: :obj:`2`)
        dropout (float, optional): That of modalities. (default: :obj:`0.2`)
    """

    def __init__(
        self, in_channels: dict[str, int], out_channels: int, rank: int = 2, dropout: float = 0.2
    ) -> None:
        super().__init__(in_channels, out_channels, rank, dropout)
        size = rank * out_channels
        self.lins = ModuleDict({name: Linear(x, size) for name, x in in_channels.items()})
        self.att = Parameter(torch.empty(out_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        bound = 1 / self.out_channels**0.5
        torch.nn.init.uniform_(self.att, -bound, bound)

    def fuse(self, latent_dict: Tensors, mask_dict: Tensors | None = None) -> Tensor:
        factors = self._factors(self.lins, latent_dict, None)
        x = torch.stack([f.relu().unflatten(-1, (self.rank, -1)) for f in factors], dim=-2)
        logit = (x * self.att).sum(dim=-1)  # [*, R, M]
        mask = stack_masks(mask_dict, {name: latent_dict[name] for name in self.lins})
        alpha = masked_softmax(logit, mask.unsqueeze(-2), dim=-1)
        return (alpha.unsqueeze(-1) * x).sum(dim=(-3, -2))
