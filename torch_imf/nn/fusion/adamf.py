import math
from functools import reduce
from operator import add
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import Linear, ModuleDict, Parameter

from torch_imf.nn.fusion.base import Fusion, Tensors, masked_softmax, stack_masks


class AdaMFFusion(Fusion):
    r"""The adaptive fusion from the `"Unleashing the Power of Imbalanced Modality Information for
    Multi-modal Knowledge Graph Completion" <https://arxiv.org/abs/2402.15444>`_ paper (Eq. 4-5):

    .. math::
        \mathbf{e}_{joint} = \sum_{m \in \mathcal{M}} \alpha_m \mathbf{e}_m,
        \qquad \alpha_m = \frac{\exp(\mathbf{w}_m \cdot \tanh(\mathbf{e}_m))}
        {\sum_{n \in \mathcal{M}} \exp(\mathbf{w}_n \cdot \tanh(\mathbf{e}_n))}

    A modality that an entity lacks has weight zero, and the others sum to one. Modalities of
    another size than :obj:`out_channels` are projected to it first (Eq. 2-3).

    Args:
        in_channels, out_channels: See :class:`Fusion`.
        elementwise (bool, optional): Whether each channel has a softmax of its own, as the paper
            says; its released code takes the dot product. (default: :obj:`False`)
        shared (bool, optional): Whether one vector :math:`\mathbf{w}` serves all modalities, as in
            the released code. (default: :obj:`False`)
        adaptive (bool, optional): If set to :obj:`False`, takes the mean of the modalities that are
            there. (default: :obj:`True`)
    """

    att: Tensor | None

    def __init__(
        self,
        in_channels: dict[str, int],
        out_channels: int,
        elementwise: bool = False,
        shared: bool = False,
        adaptive: bool = True,
    ) -> None:
        super().__init__(in_channels, out_channels)
        self.elementwise = elementwise
        sizes = {name: size for name, size in in_channels.items() if size != out_channels}
        self.lins = ModuleDict({name: Linear(x, out_channels) for name, x in sizes.items()})
        att = Parameter(torch.empty(1 if shared else len(in_channels), out_channels))
        self.register_parameter("att", att if adaptive else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        if self.att is not None:
            bound = 1 / self.out_channels**0.5
            torch.nn.init.uniform_(self.att, -bound, bound)
        super().reset_parameters()

    def forward(  # type: ignore[override]
        self,
        x_dict: Tensors,
        mask_dict: Tensors | None = None,
        return_attention_weights: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        r"""Fuses modalities, as :meth:`Fusion.forward`, and returns the weights of
        :meth:`attention`, too, if :obj:`return_attention_weights` is set.
        """
        latent_dict = self.latent(x_dict)
        alpha = self.attention(latent_dict, mask_dict)
        out = self._sum(latent_dict, alpha)
        return (out, alpha) if return_attention_weights else out

    def latent(self, x_dict: Tensors) -> Tensors:
        r"""Returns the embeddings :math:`\mathbf{e}_m` :obj:`[*, C]`."""
        x_dict = super().latent(x_dict)
        return {**x_dict, **{name: lin(x_dict[name]) for name, lin in self.lins.items()}}

    def attention(self, latent_dict: Tensors, mask_dict: Tensors | None = None) -> Tensor:
        r"""Returns the weights :math:`\alpha` (Eq. 4) :obj:`[*, M]`, or :obj:`[*, M, C]` if
        element-wise, in the order of :obj:`in_channels`.
        """
        dim = -2 if self.elementwise else -1
        x_dict = {name: latent_dict[name] for name in self.in_channels}
        logits = [self.logit(i, x) for i, x in enumerate(x_dict.values())]
        logit = torch.stack(logits, dim=dim)  # [*, M] or [*, M, C]
        if not mask_dict:
            return logit.softmax(dim=dim)
        mask = stack_masks(mask_dict, x_dict)
        return masked_softmax(logit, mask.unsqueeze(-1) if self.elementwise else mask, dim)

    def logit(self, i: int, x: Tensor) -> Tensor:
        r"""Returns what the softmax is over for a modality, given its number: :obj:`[*]`, or
        :obj:`[*, C]` if element-wise.
        """
        att = None if self.att is None else self.att[i % self.att.size(0)]
        out = torch.zeros_like(x) if att is None else x.tanh() * att
        return out if self.elementwise else out.sum(dim=-1)

    def fuse(self, latent_dict: Tensors, mask_dict: Tensors | None = None) -> Tensor:
        r"""Sums embeddings by their weights (Eq. 5), giving :obj:`[*, C]`."""
        return self._sum(latent_dict, self.attention(latent_dict, mask_dict))

    def _sum(self, latent_dict: Tensors, alpha: Tensor) -> Tensor:
        parts = (alpha if self.elementwise else alpha.unsqueeze(-1)).unbind(dim=-2)
        pairs = zip(parts, self.in_channels, strict=True)
        return reduce(add, [part * latent_dict[name] for part, name in pairs])


class WeightedFusion(AdaMFFusion):
    r"""The fusion of :class:`~torch_imf.nn.OTKGE`, a sum with fixed weights:

    .. math::
        \mathbf{e} = \sum_{m \in \mathcal{M}} \frac{w_m}{\sum_{n \in \mathcal{M}} w_n} \,
        \mathbf{e}_m

    over the modalities :math:`\mathcal{M}` that an entity has.

    Args:
        in_channels, out_channels: See :class:`Fusion`.
        weight (dict[str, float], optional): The positive weight of each modality. If :obj:`None`,
            it is 0.2 for :obj:`"struct"`, and all others share the rest. (default: :obj:`None`)
    """

    def __init__(
        self,
        in_channels: dict[str, int],
        out_channels: int,
        weight: dict[str, float] | None = None,
    ) -> None:
        super().__init__(in_channels, out_channels, adaptive=False)
        if weight is None:
            weight = dict.fromkeys(in_channels, 0.8 / max(len({*in_channels} - {"struct"}), 1))
            weight |= {"struct": 0.2} if "struct" in in_channels else {}
        if set(weight) != set(in_channels) or not all(w > 0 for w in weight.values()):
            names = list(in_channels)
            raise ValueError(f"'weight' needs a positive number for each of {names} (got {weight})")
        self.weight = {name: float(weight[name]) for name in in_channels}

    def logit(self, i: int, x: Tensor) -> Tensor:
        return torch.full_like(x[..., 0], math.log([*self.weight.values()][i]))


class StackFusion(Fusion):
    r"""Puts the structural embedding and the mean of the embeddings in other modalities side by
    side, for scorers that compare the two (:class:`~torch_imf.nn.CrossModal`,
    :class:`~torch_imf.nn.GatedScorer`). The mean is over the modalities that an entity has. For an
    entity without any, the structural embedding stands in, so that it is scored by structure alone,
    and the other way around.

    Args:
        in_channels (dict[str, int]): Size of each modality, :math:`C` for all. One is
            :obj:`"struct"`, and there is another one. The output is of size :math:`2 C`.
        adaptive (bool, optional): Whether the mean is weighted, as in :class:`AdaMFFusion` with one
            vector for all modalities. (default: :obj:`False`)
    """

    aliases: ClassVar[dict] = {}

    def __init__(self, in_channels: dict[str, int], adaptive: bool = False) -> None:
        if "struct" not in in_channels or len(in_channels) < 2 or len({*in_channels.values()}) > 1:
            raise ValueError(
                f"StackFusion needs 'struct' and at least one modality, of one size each (got "
                f"{in_channels})"
            )
        super().__init__(in_channels, 2 * in_channels["struct"])
        modalities = {name: size for name, size in in_channels.items() if name != "struct"}
        size = in_channels["struct"]
        self.mean = AdaMFFusion(modalities, size, shared=True, adaptive=adaptive)

    def reset_parameters(self) -> None:
        self.mean.reset_parameters()

    def fuse(self, latent_dict: Tensors, mask_dict: Tensors | None = None) -> Tensor:
        struct = latent_dict["struct"]
        x_dict = {name: latent_dict[name] for name in self.mean.in_channels}
        mean, weight = self.mean(x_dict, mask_dict, return_attention_weights=True)
        mean = mean.where(weight.sum(dim=-1, keepdim=True) > 0, struct)
        mask = (mask_dict or {}).get("struct")
        struct = struct if mask is None else struct.where(mask.unsqueeze(-1), mean)
        return torch.cat([struct, mean], dim=-1)  # [*, 2 * C]


class SideBySide(Fusion):
    r"""Puts the embeddings in all modalities and their sum side by side, for scorers that score
    each by itself (:class:`~torch_imf.nn.Parallel`). The mean of the modalities that an entity has
    stands in for each that it lacks.

    Args:
        in_channels (dict[str, int]): Size of each modality, :math:`C` for all. The output is of
            size :math:`(|\mathcal{M}| + 1) \, C`.
    """

    aliases: ClassVar[dict] = {}

    def __init__(self, in_channels: dict[str, int]) -> None:
        if len({*in_channels.values()}) > 1:
            raise ValueError(f"SideBySide needs modalities of one size (got {in_channels})")
        super().__init__(in_channels, (len(in_channels) + 1) * next(iter(in_channels.values()), 1))
        self.mean = AdaMFFusion(in_channels, next(iter(in_channels.values())), adaptive=False)

    def fuse(self, latent_dict: Tensors, mask_dict: Tensors | None = None) -> Tensor:
        masks = mask_dict or {}
        mean, weight = self.mean(latent_dict, masks, return_attention_weights=True)
        known = weight.sum(dim=-1, keepdim=True) > 0  # Of others, each is its learned vector.
        parts = []
        for name in self.in_channels:
            x = latent_dict[name]
            has = masks[name].unsqueeze(-1) | ~known if name in masks else None
            parts.append(x if has is None else x.where(has, mean))
        return torch.cat([*parts, reduce(add, parts)], dim=-1)  # [*, (M + 1) * C]
