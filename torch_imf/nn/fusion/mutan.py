import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Linear

from torch_imf.nn.fusion.base import LowRankFusion, check_modalities


class MutanFusion(LowRankFusion):
    r"""The fusion in the released code of the `"IMF: Interactive Multimodal
    Fusion Model for Link Prediction" <https://arxiv.org/abs/2303.10816>`_
    paper, after `"MUTAN: Multimodal Tucker Fusion for Visual Question
    Answering" <https://arxiv.org/abs/1705.06676>`_:

    .. math::
        \mathbf{e}_m = \mathrm{ReLU} \Big( \sum_{\rho = 1}^{R} \prod_{k \in
        \mathcal{K}} \mathrm{ReLU}(\mathbf{e}_k \mathbf{M}_k^{\rho}) \Big)

    with the element-wise product. Its latent representations are the
    modalities themselves. A product of small factors vanishes, and so do its
    gradients: :class:`IMFFusion` trains better.

    Args:
        in_channels (dict[str, int]): Size of each modality.
        out_channels (int): Size of the fused representation.
        rank (int, optional): The number :math:`R` of products to sum.
            (default: :obj:`2`)
        dropout (float, optional): Dropout probability of the modalities.
            (default: :obj:`0.2`)

    Raises:
        ValueError: If there is no modality, or sizes do not fit.
    """

    def __init__(
        self,
        in_channels: dict[str, int],
        out_channels: int,
        rank: int = 2,
        dropout: float = 0.2,
    ) -> None:
        super().__init__(in_channels, out_channels, rank)
        self.dropout = dropout
        self.lins = torch.nn.ModuleDict(
            {name: Linear(size, rank * out_channels) for name, size in in_channels.items()}
        )
        self.reset_parameters()

    def fuse(
        self,
        latent_dict: dict[str, Tensor],
        mask_dict: dict[str, Tensor] | None = None,
    ) -> Tensor:
        r"""Multiplies modalities, giving :obj:`[*, C]`."""
        check_modalities(latent_dict, self.in_channels)
        factors = []
        for name, lin in self.lins.items():
            x = lin(F.dropout(latent_dict[name], self.dropout, self.training)).relu()
            mask = None if mask_dict is None else mask_dict.get(name)
            factors.append(x if mask is None else x.where(mask.unsqueeze(-1), x.new_ones(())))
        out = torch.stack(factors).prod(dim=0)
        return out.unflatten(-1, (self.rank, self.out_channels)).sum(dim=-2).relu()
