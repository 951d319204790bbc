from typing import ClassVar

import torch
from torch import Tensor

from torch_imf.nn.fusion.adamf import AdaMFFusion
from torch_imf.nn.fusion.base import Fusion


class StackFusion(Fusion):
    r"""Puts the structural embedding and the mean of the embeddings in other modalities side by
    side, for scorers that compare the two (:class:`~torch_imf.nn.CrossModal`). The mean is over the
    modalities that an entity has. For an entity without any, the structural embedding stands in, so
    that it is scored by structure alone.

    Args:
        in_channels (dict[str, int]): Size of each modality, :math:`C` for all. One is
            :obj:`"struct"`. The output is of size :math:`2 C`.

    Raises:
        ValueError: If sizes differ, or there is no structure or no modality beside it.
    """

    aliases: ClassVar[dict] = {}

    def __init__(self, in_channels: dict[str, int]) -> None:
        if "struct" not in in_channels or len(in_channels) < 2:
            raise ValueError(
                f"StackFusion needs 'struct' and at least one modality (got {list(in_channels)})"
            )
        if len(set(in_channels.values())) > 1:
            raise ValueError(f"StackFusion needs modalities of one size (got {in_channels})")
        super().__init__(in_channels, 2 * in_channels["struct"])
        modalities = {name: size for name, size in in_channels.items() if name != "struct"}
        self.mean = AdaMFFusion(modalities, in_channels["struct"], adaptive=False)

    def fuse(
        self, latent_dict: dict[str, Tensor], mask_dict: dict[str, Tensor] | None = None
    ) -> Tensor:
        struct = latent_dict["struct"]
        x_dict = {name: latent_dict[name] for name in self.mean.in_channels}
        mean, weight = self.mean(x_dict, mask_dict, return_attention_weights=True)
        mean = mean.where(weight.sum(dim=-1, keepdim=True) > 0, struct)
        return torch.cat([struct, mean], dim=-1)  # [*, 2 * C]
