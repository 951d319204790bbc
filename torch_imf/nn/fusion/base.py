import torch
from torch import Tensor
from torch.nn import Linear

from torch_imf.registry import Recorded


class Fusion(Recorded, torch.nn.Module):
    r"""An abstract base class of fusions: they turn the representations of an
    entity in each modality into one.
    """

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        raise NotImplementedError

    def forward(
        self,
        x_dict: dict[str, Tensor],
        mask_dict: dict[str, Tensor] | None = None,
    ) -> Tensor:
        r"""Fuses modalities.

        Args:
            x_dict (dict[str, torch.Tensor]): The representations per modality,
                of shape :obj:`[*, C_k]` each.
            mask_dict (dict[str, torch.Tensor], optional): Which entities have
                the modality, of shape :obj:`[*]` each. A missing modality has
                no influence. (default: :obj:`None`)

        Returns:
            The fused representations, of shape :obj:`[*, C]`.
        """
        return self.fuse(self.latent(x_dict), mask_dict)

    def latent(self, x_dict: dict[str, Tensor]) -> dict[str, Tensor]:
        r"""Returns what :meth:`fuse` joins, and a contrastive loss compares:
        one latent representation per modality, of shape :obj:`[*, C']`.
        """
        return x_dict

    def fuse(
        self,
        latent_dict: dict[str, Tensor],
        mask_dict: dict[str, Tensor] | None = None,
    ) -> Tensor:
        r"""Joins latent representations, giving :obj:`[*, C]`."""
        raise NotImplementedError


class LowRankFusion(Fusion):
    r"""An abstract base class of fusions that sum a number of products of linear
    maps of all modalities.

    Args:
        in_channels (dict[str, int]): Size of each modality.
        out_channels (int): Size of the fused representation.
        rank (int): The number of products.

    Raises:
        ValueError: If there is no modality, or no product.
    """

    def __init__(self, in_channels: dict[str, int], out_channels: int, rank: int) -> None:
        super().__init__()
        if len(in_channels) == 0 or rank < 1:
            raise ValueError(
                f"{self.__class__.__name__} needs at least one modality and a positive rank "
                f"(got {in_channels} and {rank})"
            )
        self.in_channels = dict(in_channels)
        self.out_channels = out_channels
        self.rank = rank

    def reset_parameters(self) -> None:
        for module in self.modules():
            if isinstance(module, Linear):
                torch.nn.init.xavier_uniform_(module.weight)
                torch.nn.init.zeros_(module.bias)

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.in_channels}, {self.out_channels}, rank={self.rank})"
        )


def check_modalities(x_dict: dict[str, Tensor], expected: dict[str, int]) -> None:
    r"""Raises a :class:`ValueError` if :obj:`x_dict` does not hold the modalities and sizes that
    a fusion was made for.
    """
    got = {name: x.size(-1) for name, x in x_dict.items()}
    if got != expected:
        raise ValueError(
            f"The fusion expects modalities of sizes {expected} (got {got}). Set the features of "
            f"a missing modality to zero and mask it"
        )
    sizes = {x.size()[:-1] for x in x_dict.values()}
    if len(sizes) > 1:
        raise ValueError(
            f"Modalities disagree on the number of entities (got "
            f"{ {name: list(x.size()) for name, x in x_dict.items()} })"
        )
