from functools import reduce

import torch
from torch import Tensor
from torch.nn import Linear, ModuleDict

from torch_imf.nn.fusion.base import Fusion, Tensors


class LowRankFusion(Fusion):
    r"""A base class of fusions that sum products of linear maps of all modalities."""

    def __init__(
        self, in_channels: dict[str, int], out_channels: int, rank: int, dropout: float
    ) -> None:
        super().__init__(in_channels, out_channels)
        self.rank = rank
        self.dropout = dropout

    def _factors(
        self, lins: ModuleDict, x_dict: Tensors, mask_dict: Tensors | None, missing: float = 1.0
    ) -> list[Tensor]:
        out = []
        for name, lin in lins.items():
            x = lin(torch.dropout(x_dict[name], self.dropout, self.training))
            mask = (mask_dict or {}).get(name)
            out.append(x if mask is None else x.where(mask.unsqueeze(-1), x.new_full((), missing)))
        return out

    def _sum(self, product: Tensor) -> Tensor:
        return product.unflatten(-1, (self.rank, self.out_channels)).sum(dim=-2)

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, rank={self.rank})"


class IMFFusion(LowRankFusion):
    r"""The multimodal fusion of :class:`~torch_imf.nn.IMF` (Eq. 4), a Tucker decomposition of the
    bilinear map of all modalities whose core tensor is decomposed in turn:

    .. math::
        \mathbf{e}_m = \sum_{\rho = 1}^{R} \prod_{k \in \mathcal{K}}
        \tilde{\mathbf{e}}_k^{\top} \mathbf{M}_d^{k, \rho}, \qquad
        \tilde{\mathbf{e}}_k = \mathrm{ReLU}(\mathbf{e}_k \mathbf{M}_k)

    The paper has :math:`R = 1`; its released code sums :math:`R = 2` such products. A product of
    small factors vanishes, and with it every gradient. By default, each factor is therefore one
    plus its map, and the one is taken off again, which is the sum of the interactions of every
    order, from each modality alone to Eq. 4 itself:

    .. math::
        \mathbf{e}_m = \sum_{\rho = 1}^{R} \Big( \prod_{k \in \mathcal{K}}
        (1 + \tilde{\mathbf{e}}_k^{\top} \mathbf{M}_d^{k, \rho}) - 1 \Big)

    Args:
        in_channels, out_channels: See :class:`Fusion`.
        rank (int, optional): The number :math:`R` of products. (default: :obj:`2`)
        latent_channels (int, optional): Size of :math:`\tilde{\mathbf{e}}_k`, or
            :obj:`out_channels`. (default: :obj:`None`)
        dropout (float, optional): That of latent representations. (default: :obj:`0.`)
        all_orders (bool, optional): If set to :obj:`False`, computes the plain product of Eq. 4,
            which is as printed with :obj:`rank=1` and :obj:`bias=False`. (default: :obj:`True`)
        bias (bool, optional): If set to :obj:`False`, maps have no biases. (default: :obj:`True`)
    """

    def __init__(
        self,
        in_channels: dict[str, int],
        out_channels: int,
        rank: int = 2,
        latent_channels: int | None = None,
        dropout: float = 0.0,
        all_orders: bool = True,
        bias: bool = True,
    ) -> None:
        super().__init__(in_channels, out_channels, rank, dropout)
        size = latent_channels or out_channels
        self.all_orders = all_orders
        self.lins = ModuleDict({name: Linear(x, size, bias) for name, x in in_channels.items()})
        out = {name: Linear(size, rank * out_channels, bias) for name in in_channels}
        self.out_lins = ModuleDict(out)
        self.reset_parameters()

    def latent(self, x_dict: Tensors) -> Tensors:
        r"""Returns the latent representations :math:`\tilde{\mathbf{e}}_k` of Eq. 6."""
        x_dict = super().latent(x_dict)
        return {name: lin(x_dict[name]).relu() for name, lin in self.lins.items()}

    def fuse(self, latent_dict: Tensors, mask_dict: Tensors | None = None) -> Tensor:
        if not self.all_orders:
            return self._sum(
                reduce(torch.mul, self._factors(self.out_lins, latent_dict, mask_dict))
            )
        factors = self._factors(self.out_lins, latent_dict, mask_dict, missing=0.0)
        # (1 + x) * (1 + y) - 1, without the ones, which would round the rest away:
        return self._sum(reduce(lambda x, y: x + y + x * y, factors))


class MutanFusion(LowRankFusion):
    r"""The fusion in the released code of IMF, after `"MUTAN: Multimodal Tucker Fusion for Visual
    Question Answering" <https://arxiv.org/abs/1705.06676>`_:

    .. math::
        \mathbf{e}_m = \mathrm{ReLU} \Big( \sum_{\rho = 1}^{R} \prod_{k \in
        \mathcal{K}} \mathrm{ReLU}(\mathbf{e}_k \mathbf{M}_k^{\rho}) \Big)

    Its latent representations are the modalities themselves. :class:`IMFFusion` trains better.

    Args:
        in_channels, out_channels: See :class:`Fusion`.
        rank (int, optional): The number :math:`R` of products. (default: :obj:`2`)
        dropout (float, optional): That of modalities. (default: :obj:`0.2`)
    """

    def __init__(
        self, in_channels: dict[str, int], out_channels: int, rank: int = 2, dropout: float = 0.2
    ) -> None:
        super().__init__(in_channels, out_channels, rank, dropout)
        size = rank * out_channels
        self.lins = ModuleDict({name: Linear(x, size) for name, x in in_channels.items()})
        self.reset_parameters()

    def fuse(self, latent_dict: Tensors, mask_dict: Tensors | None = None) -> Tensor:
        factors = self._factors(self.lins, latent_dict, mask_dict)
        return self._sum(torch.stack([x.relu() for x in factors]).prod(dim=0)).relu()
