from collections.abc import Sequence

import torch
from torch import Tensor

from torch_imf.nn.functional import contrastive_loss, info_nce_loss
from torch_imf.registry import Recorded


class Contrastive(Recorded, torch.nn.Module):
    r"""The contrastive term of :class:`~torch_imf.nn.IMF`, which aligns the latent representations
    of an entity in its modalities.

    Args:
        weight (float, optional): Its weight :math:`\lambda`. (default: :obj:`1.`)
        temperature (float, optional): That of :meth:`~torch_imf.nn.info_nce_loss`, positive. If
            :obj:`None`, it is Eq. 6 of IMF (:meth:`~torch_imf.nn.contrastive_loss`). (default:
            :obj:`None`)
        pairs (list[tuple[str, str]], optional): The pairs of modalities to align, or all of them.
            (default: :obj:`None`)
    """

    def __init__(
        self,
        weight: float = 1.0,
        temperature: float | None = None,
        pairs: Sequence[tuple[str, str]] | None = None,
    ) -> None:
        super().__init__()
        if temperature is not None and temperature <= 0:
            raise ValueError(f"'temperature' needs to be positive (got {temperature})")
        self.weight = weight
        self.temperature = temperature
        self.pairs = pairs

    def forward(self, x_dict: dict[str, Tensor], mask_dict: dict[str, Tensor]) -> Tensor:
        r"""Computes the term from entities :obj:`[B, C]` per modality."""
        if self.temperature is None:
            return self.weight * contrastive_loss(x_dict, mask_dict, self.pairs)
        return self.weight * info_nce_loss(x_dict, mask_dict, self.temperature, self.pairs)

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}(weight={self.weight}, temperature={self.temperature})"
