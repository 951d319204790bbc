from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Linear, ModuleList

from torch_imf.nn.fusion.adamf import AdaMFFusion
from torch_imf.nn.fusion.base import Fusion, Tensors


class HyperFusion(Fusion):
    r"""The factorisation of entities of :class:`~torch_imf.nn.MHyper` into four embeddings side by
    side: one for what the relation fuses, one of structure, and two of modalities,

    .. math::
        \mathbf{e} = [\mathbf{e}_f ; \mathbf{s}_1 + \mathbf{s}_2 ; \mathbf{v}_1 + \mathbf{v}_2 ;
        \mathbf{t}_1 + \mathbf{t}_2]

    where :math:`\mathbf{v}_1` and :math:`\mathbf{t}_1` are the features (zero, where an entity has
    none) and the five others are learned. In training, a share of entities has Gaussian noise, of
    the mean and deviation of each channel, on :math:`\mathbf{s}_1, \mathbf{v}_1, \mathbf{t}_1`.

    Of other than two modalities, the embeddings of both take the modalities in turn, and their mean
    (of three, the first and the third share one).

    Args:
        in_channels (dict[str, int]): Size of each modality: :math:`5 C` for :obj:`"struct"`, and
            :math:`C` for all others. The output is of size :math:`4 C`.
        noise (float, optional): The share of entities with noise. (default: :obj:`0.2`)
    """

    aliases: ClassVar[dict] = {}
    means: Any

    def __init__(self, in_channels: dict[str, int], noise: float = 0.2) -> None:
        size = in_channels.get("struct", 0) // 5
        if size == 0 or {**in_channels, "struct": size} != dict.fromkeys(in_channels, size):
            raise ValueError(
                f"HyperFusion needs 'struct' to be five times as large as all others (got "
                f"{in_channels})"
            )
        if not 0 <= noise <= 1:
            raise ValueError(f"'noise' needs to be in [0, 1] (got {noise})")
        super().__init__(in_channels, 4 * size)
        self.noise = noise
        names = [name for name in in_channels if name != "struct"]
        groups = [dict.fromkeys(names[i::2], size) for i in range(2)]
        self.means = ModuleList(AdaMFFusion(x, size, adaptive=False) for x in groups if x)
        self.lins = ModuleList(Linear(3 * size, size) for _ in range(3))
        self.reset_parameters()

    def fuse(self, latent_dict: Tensors, mask_dict: Tensors | None = None) -> Tensor:
        fused, own, given, _ = self._parts(latent_dict, mask_dict)
        given = self._noisy(given) if self.training else given
        return torch.cat([fused, given + own], dim=-2).flatten(-2)

    def reconstruction_loss(self, x_dict: Tensors, mask_dict: Tensors | None = None) -> Tensor:
        r"""Computes the mean squared error of :math:`\mathbf{s}_1`, which a linear map tells from
        :math:`[\mathbf{s}_2 ; \mathbf{v}_1 ; \mathbf{t}_1]`, and of :math:`\mathbf{v}_1` and
        :math:`\mathbf{t}_1` alike, over the entities that have them.
        """
        _, own, given, there = self._parts(self.latent(x_dict), mask_dict)
        given = self._noisy(given) if self.training else given
        total = given.new_zeros(())
        for i, lin in enumerate(self.lins):
            x = given.clone()
            x[..., i, :] = own[..., i, :]
            error = (lin(x.flatten(-2)) - given[..., i, :]).square().mean(dim=-1)
            total = total + (error * there[..., i]).sum() / there[..., i].sum().clamp(min=1)
        return total / len(self.lins)

    def _parts(
        self, x_dict: Tensors, mask_dict: Tensors | None
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        # [*, 1, C], what is learned and what is given [*, 3, C], and which of these there are.
        struct, mask = x_dict["struct"], (mask_dict or {}).get("struct")
        struct = struct if mask is None else struct * mask.unsqueeze(-1)
        fused, first, own = struct.unflatten(-1, (5, -1)).tensor_split((1, 2), dim=-2)
        given, there = [first.squeeze(-2)], [torch.ones_like(struct[..., 0])]
        for mean in self.means:
            parts = {name: x_dict[name] for name in mean.in_channels}
            x, weight = mean(parts, mask_dict, return_attention_weights=True)
            given.append(x)
            there.append((weight.sum(dim=-1) > 0).to(x.dtype))
        size = 3 - len(given)  # With less than two modalities.
        x, is_there = torch.stack(given, dim=-2), torch.stack(there, dim=-1)
        return fused, own, F.pad(x, (0, 0, 0, size)), F.pad(is_there, (0, size))

    def _noisy(self, x: Tensor) -> Tensor:
        flat = x.detach().flatten(0, -3)
        std, mean = (flat.std(dim=0), flat.mean(dim=0)) if flat.size(0) > 1 else (0 * flat[0],) * 2
        hit = torch.rand(x.size()[:-1], device=x.device) < self.noise
        return x + hit.unsqueeze(-1) * (mean + std * torch.randn_like(x))

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.in_channels}, noise={self.noise})"
