import torch
from torch import Tensor
from torch.nn import Linear, ModuleDict, Parameter

from torch_imf.nn.fusion.base import Fusion


class AdaMFFusion(Fusion):
    r"""The adaptive fusion from the `"Unleashing the Power of Imbalanced Modality Information for
    Multi-modal Knowledge Graph Completion" <https://arxiv.org/abs/2402.15444>`_ paper (Eq. 4-5):

    .. math::
        \mathbf{e}_{joint} = \sum_{m \in \mathcal{M}} \alpha_m \mathbf{e}_m,
        \qquad \alpha_m = \frac{\exp(\mathbf{w}_m \cdot \tanh(\mathbf{e}_m))}
        {\sum_{n \in \mathcal{M}} \exp(\mathbf{w}_n \cdot \tanh(\mathbf{e}_n))}

    A modality that an entity lacks has weight zero, and the others sum to one.

    Args:
        in_channels (dict[str, int]): Size of each modality; those of another size are projected to
            :obj:`out_channels` first (Eq. 2-3).
        out_channels (int): Size of the fused representation.
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
        x_dict: dict[str, Tensor],
        mask_dict: dict[str, Tensor] | None = None,
        return_attention_weights: bool = False,
    ) -> Tensor | tuple[Tensor, Tensor]:
        r"""Fuses modalities, as :meth:`Fusion.forward`, and returns the weights of
        :meth:`attention`, too, if :obj:`return_attention_weights` is set.
        """
        latent_dict = self.latent(x_dict)
        alpha = self.attention(latent_dict, mask_dict)
        out = self._sum(latent_dict, alpha)
        return (out, alpha) if return_attention_weights else out

    def latent(self, x_dict: dict[str, Tensor]) -> dict[str, Tensor]:
        r"""Returns the embeddings :math:`\mathbf{e}_m` :obj:`[*, C]`."""
        x_dict = super().latent(x_dict)
        return {
            k: self.lins[k](x_dict[k]) if k in self.lins else x_dict[k] for k in self.in_channels
        }

    def attention(
        self, latent_dict: dict[str, Tensor], mask_dict: dict[str, Tensor] | None = None
    ) -> Tensor:
        r"""Returns the weights :math:`\alpha` (Eq. 4) :obj:`[*, M]`, or :obj:`[*, M, C]` if
        element-wise, in the order of :obj:`in_channels`.
        """
        logits = []
        for i, name in enumerate(self.in_channels):
            e = latent_dict[name]
            att = None if self.att is None else self.att[i % self.att.size(0)]
            logit = torch.zeros_like(e) if att is None else e.tanh() * att
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
        self, latent_dict: dict[str, Tensor], mask_dict: dict[str, Tensor] | None = None
    ) -> Tensor:
        r"""Sums embeddings by their weights (Eq. 5), giving :obj:`[*, C]`."""
        return self._sum(latent_dict, self.attention(latent_dict, mask_dict))

    def _sum(self, latent_dict: dict[str, Tensor], alpha: Tensor) -> Tensor:
        alpha = alpha if self.elementwise else alpha.unsqueeze(-1)
        out: Tensor | None = None
        for i, name in enumerate(self.in_channels):
            term = alpha[..., i, :] * latent_dict[name]
            out = term if out is None else out + term
        assert out is not None
        return out
