import torch
from torch import Tensor
from torch.nn import Linear, Parameter

from torch_imf.nn.fusion.base import Fusion, check_modalities


class AdaMFFusion(Fusion):
    r"""The adaptive fusion from the `"Unleashing the Power of Imbalanced
    Modality Information for Multi-modal Knowledge Graph Completion"
    <https://arxiv.org/abs/2402.15444>`_ paper (Eq. 4-5):

    .. math::
        \mathbf{e}_{joint} = \sum_{m \in \mathcal{M}} \alpha_m \mathbf{e}_m,
        \qquad \alpha_m = \frac{\exp(\mathbf{w}_m \cdot \tanh(\mathbf{e}_m))}
        {\sum_{n \in \mathcal{M}} \exp(\mathbf{w}_n \cdot \tanh(\mathbf{e}_n))}

    The paper calls the product of :math:`\mathbf{w}_m` and
    :math:`\tanh(\mathbf{e}_m)` point-wise, which gives each modality a weight
    per channel (:obj:`elementwise=True`), but speaks of one weight; its
    released code takes the dot product, with one vector :math:`\mathbf{w}` for
    all modalities (:obj:`shared=True`). By default, each modality has a vector
    of its own and one weight.

    A modality that an entity lacks has weight zero, and the others sum to one.

    Args:
        in_channels (dict[str, int]): Size of each modality. Modalities of
            another size than :obj:`out_channels` are projected to it first
            (Eq. 2-3).
        out_channels (int): Size of the fused representation.
        elementwise (bool, optional): If set to :obj:`True`, each channel has a
            softmax of its own. (default: :obj:`False`)
        shared (bool, optional): If set to :obj:`True`, one vector
            :math:`\mathbf{w}` serves all modalities. (default: :obj:`False`)
        adaptive (bool, optional): If set to :obj:`False`, takes the mean of
            the modalities that are there. (default: :obj:`True`)

    Raises:
        ValueError: If there is no modality.
    """

    def __init__(
        self,
        in_channels: dict[str, int],
        out_channels: int,
        elementwise: bool = False,
        shared: bool = False,
        adaptive: bool = True,
    ) -> None:
        super().__init__()
        if len(in_channels) == 0:
            raise ValueError(f"{self.__class__.__name__} needs at least one modality")
        self.in_channels = dict(in_channels)
        self.out_channels = out_channels
        self.elementwise = elementwise
        self.shared = shared
        self.adaptive = adaptive
        self.lins = torch.nn.ModuleDict(
            {
                name: Linear(size, out_channels)
                for name, size in in_channels.items()
                if size != out_channels
            }
        )
        self.register_parameter("att", None)
        if adaptive:
            self.att = Parameter(torch.empty(1 if shared else len(in_channels), out_channels))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        if self.att is not None:
            bound = 1 / self.out_channels**0.5
            torch.nn.init.uniform_(self.att, -bound, bound)
        for lin in self.lins.values():
            assert isinstance(lin, Linear)
            torch.nn.init.xavier_uniform_(lin.weight)
            torch.nn.init.zeros_(lin.bias)

    def forward(  # type: ignore[override]
        self,
        x_dict: dict[str, Tensor],
        mask_dict: dict[str, Tensor] | None = None,
        return_attention_weights: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        r"""Fuses modalities.

        Args:
            x_dict (dict[str, torch.Tensor]): The representations per modality,
                of shape :obj:`[*, C_m]` each.
            mask_dict (dict[str, torch.Tensor], optional): Which entities have
                the modality, of shape :obj:`[*]` each. (default: :obj:`None`)
            return_attention_weights (bool, optional): If set to :obj:`True`,
                also returns the weights :math:`\alpha`, of shape
                :obj:`[*, M]`, or :obj:`[*, M, C]` if element-wise, with
                modalities in the order of :obj:`in_channels`.
                (default: :obj:`False`)
        """
        latent_dict = self.latent(x_dict)
        alpha = self.attention(latent_dict, mask_dict)
        out = self._sum(latent_dict, alpha)
        return (out, alpha) if return_attention_weights else out

    def latent(self, x_dict: dict[str, Tensor]) -> dict[str, Tensor]:
        r"""Returns the embeddings :math:`\mathbf{e}_m`, of shape
        :obj:`[*, C]` each.
        """
        check_modalities(x_dict, self.in_channels)
        return {
            name: self.lins[name](x_dict[name]) if name in self.lins else x_dict[name]
            for name in self.in_channels
        }

    def attention(
        self,
        latent_dict: dict[str, Tensor],
        mask_dict: dict[str, Tensor] | None = None,
    ) -> Tensor:
        r"""Returns the weights :math:`\alpha` of embeddings
        :math:`\mathbf{e}_m` (Eq. 4), of shape :obj:`[*, M]`, or
        :obj:`[*, M, C]` if element-wise.
        """
        logits = []
        for i, name in enumerate(self.in_channels):
            e = latent_dict[name]
            if self.att is None:
                logit = torch.zeros_like(e)
            else:
                logit = e.tanh() * self.att[i % self.att.size(0)]
            logits.append(logit if self.elementwise else logit.sum(dim=-1))
        dim = -2 if self.elementwise else -1
        logit = torch.stack(logits, dim=dim)  # [*, M] or [*, M, C]
        if not mask_dict:
            return logit.softmax(dim=dim)

        size = next(iter(latent_dict.values())).size()[:-1]
        every = torch.ones(size, dtype=torch.bool, device=logit.device)
        mask = torch.stack([mask_dict.get(name, every) for name in self.in_channels], dim=-1)
        mask = mask.unsqueeze(-1) if self.elementwise else mask
        # An entity without any modality has no weights, rather than NaN in its gradients:
        logit = logit.masked_fill(~mask, torch.finfo(logit.dtype).min)
        return logit.softmax(dim=dim) * mask

    def fuse(
        self,
        latent_dict: dict[str, Tensor],
        mask_dict: dict[str, Tensor] | None = None,
    ) -> Tensor:
        r"""Sums embeddings by their weights (Eq. 5), giving :obj:`[*, C]`."""
        return self._sum(latent_dict, self.attention(latent_dict, mask_dict))

    def _sum(self, latent_dict: dict[str, Tensor], alpha: Tensor) -> Tensor:
        if not self.elementwise:
            alpha = alpha.unsqueeze(-1)
        out: Tensor | None = None
        for i, name in enumerate(self.in_channels):
            term = alpha[..., i, :] * latent_dict[name]
            out = term if out is None else out + term
        assert out is not None
        return out

    def __repr__(self) -> str:
        settings = [f"{self.in_channels}", f"{self.out_channels}"]
        settings += [
            f"{name}={getattr(self, name)}"
            for name, default in (("elementwise", False), ("shared", False), ("adaptive", True))
            if getattr(self, name) != default
        ]
        return f"{self.__class__.__name__}({', '.join(settings)})"
