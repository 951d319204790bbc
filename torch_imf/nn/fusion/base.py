import torch
from torch import Tensor
from torch.nn import Linear

from torch_imf.registry import Recorded

#: Tensors by the names of modalities or views.
Tensors = dict[str, Tensor]


class Fusion(Recorded, torch.nn.Module):
    r"""An abstract base class of fusions: they turn the representations of an entity in each
    modality into one. A sub-class implements :meth:`fuse`.

    Args:
        in_channels (dict[str, int]): Size of each modality, of which there is at least one.
        out_channels (int): Size of the fused representation.
    """

    def __init__(self, in_channels: dict[str, int], out_channels: int) -> None:
        super().__init__()
        if len(in_channels) == 0:
            raise ValueError(f"{self.__class__.__name__} needs at least one modality")
        self.in_channels = dict(in_channels)
        self.out_channels = out_channels

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        for module in self.modules():
            if isinstance(module, Linear):
                torch.nn.init.xavier_uniform_(module.weight)
                if module.bias is not None:
                    torch.nn.init.zeros_(module.bias)

    def forward(self, x_dict: Tensors, mask_dict: Tensors | None = None) -> Tensor:
        r"""Fuses modalities :obj:`[*, C_k]` into :obj:`[*, C]`. One that an entity lacks, by the
        mask :obj:`[*]` of the modality, has no influence.
        """
        return self.fuse(self.latent(x_dict), mask_dict)

    def latent(self, x_dict: Tensors) -> Tensors:
        r"""Returns what :meth:`fuse` joins, and a contrastive loss compares: one latent
        representation :obj:`[*, C']` per modality. Raises a :class:`ValueError` if modalities or
        sizes are others than expected.
        """
        got = {name: list(x.size()) for name, x in x_dict.items()}
        if {name: size[-1] for name, size in got.items()} != self.in_channels:
            raise ValueError(
                f"The fusion expects modalities of sizes {self.in_channels} (got {got}). Set the "
                f"features of a missing modality to zero and mask it"
            )
        if len({tuple(size[:-1]) for size in got.values()}) > 1:
            raise ValueError(f"Modalities disagree on the number of entities (got {got})")
        return x_dict

    def fuse(self, latent_dict: Tensors, mask_dict: Tensors | None = None) -> Tensor:
        r"""Joins latent representations, giving :obj:`[*, C]`."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({self.in_channels}, {self.out_channels})"


def stack_masks(mask_dict: Tensors | None, x_dict: Tensors) -> Tensor:
    r"""Returns which of some modalities :obj:`[*, C_k]` entities have, of shape :obj:`[*, M]`: all,
    but for the masks that are given.
    """
    masks, first = mask_dict or {}, next(iter(x_dict.values()))
    every = torch.ones(first.size()[:-1], dtype=torch.bool, device=first.device)
    return torch.stack([masks.get(name, every) for name in x_dict], dim=-1)


def masked_softmax(logit: Tensor, mask: Tensor, dim: int) -> Tensor:
    r"""The softmax over what a mask leaves, and zero elsewhere."""
    # An entity without any modality has no weights, rather than NaN in its gradients:
    return logit.masked_fill(~mask, torch.finfo(logit.dtype).min).softmax(dim=dim) * mask
