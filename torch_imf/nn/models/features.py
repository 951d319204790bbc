import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import ModuleDict

from torch_imf.data.graph import check_features


class FrozenFeatures(torch.nn.Module):
    r"""Frozen features, of shape :obj:`[N, D]`, of the entities that have a modality, as a mask of
    shape :obj:`[N]` tells, projected to a common size, and one learned vector for those without.
    They are centred and scaled to rows of norm one on average, and no checkpoint carries them.
    """

    x: Tensor
    row: Tensor
    _low: tuple[Tensor, int, Tensor] | None = None

    def __init__(self, x: Tensor, mask: Tensor, out_channels: int) -> None:
        super().__init__()
        row = mask.cumsum(0) - 1
        x = x[mask].detach().float()
        x = x - x.mean(dim=0)
        x = x / x.norm(dim=-1).mean().clamp(min=1e-12)
        self.register_buffer("x", x, persistent=False)
        self.register_buffer("row", row.where(mask, mask.sum()), persistent=False)
        self.full = bool(mask.all())
        self.lin = torch.nn.Linear(x.size(1), out_channels)
        self.missing = torch.nn.Parameter(torch.empty(out_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        torch.nn.init.xavier_normal_(self.lin.weight)
        torch.nn.init.zeros_(self.lin.bias)
        torch.nn.init.normal_(self.missing, std=1 / self.missing.numel() ** 0.5)

    @property
    def mask(self) -> Tensor:
        r"""Which entities have the modality, of shape :obj:`[N]`."""
        return self.row < self.x.size(0)

    def forward(self, index: Tensor | None = None) -> Tensor:
        r"""Represents the entities :obj:`index`, or all, as :obj:`[*, C]`."""
        if index is None:
            h = self.lin(self._cast())
            if self.full:
                return h
            return F.embedding(self.row, torch.cat([h, self.missing[None].to(h.dtype)]))
        row = self.row[index]
        missing = row == self.x.size(0)
        h = self.lin(self.x[row.masked_fill(missing, 0)])
        return h.where(~missing.unsqueeze(-1), self.missing.to(h.dtype))

    def _cast(self) -> Tensor:
        # Features in the type that autocast asks for, kept from one step to the next.
        x, device = self.x, self.x.device.type
        if not torch.is_autocast_enabled(device):
            return x
        dtype = torch.get_autocast_dtype(device)
        source, version, low = (None, 0, x) if self._low is None else self._low
        if source is not x or version != x._version or low.dtype != dtype:
            with torch.inference_mode(False):  # It may be needed in training later.
                low = x.to(dtype)
            self._low = x, x._version, low
        return low

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}({self.x.size(1)}, {self.lin.out_features}, "
            f"coverage={self.x.size(0)}/{self.row.numel()})"
        )


def project(
    x_dict: dict[str, Tensor], mask_dict: dict[str, Tensor], num_nodes: int, out_channels: int
) -> ModuleDict:
    r"""Returns the :class:`FrozenFeatures` of each modality."""
    check_features(x_dict, mask_dict, num_nodes)
    out = ModuleDict()
    for name, x in x_dict.items():
        # Names of views that are there anyway, and those that a ModuleDict cannot hold:
        if name in ("struct", "fused") or "." in name or hasattr(ModuleDict, name):
            raise ValueError(f"A modality cannot be called '{name}'. Rename 'x_{name}'")
        mask = mask_dict.get(name, torch.ones(num_nodes, dtype=torch.bool))
        if not bool(mask.any()):
            raise ValueError(f"Modality '{name}' is missing for every entity. Leave it out")
        out[name] = FrozenFeatures(x, mask, out_channels)
    return out
