from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Embedding, Linear, Module, ModuleDict, Parameter

from torch_imf.nn.fusion import DecisionFusion, Fusion
from torch_imf.nn.fusion.base import Tensors, stack_masks
from torch_imf.nn.losses import Loss
from torch_imf.nn.models.features import StructuralEmbedding
from torch_imf.nn.models.imf import IMF
from torch_imf.nn.scorer import Scorer
from torch_imf.sampler.base import Objective


class Experts(Module):
    r"""The relation-guided experts of one view of :class:`MoMoK`.

    Args:
        channels (int): Size of embeddings.
        num_experts (int): The number of experts.
    """

    def __init__(self, channels: int, num_experts: int) -> None:
        super().__init__()
        self.weight = Parameter(torch.empty(num_experts, channels, channels))
        self.bias = Parameter(torch.empty(num_experts, channels))
        self.gate = Parameter(torch.empty(channels, num_experts))
        self.noise = Parameter(torch.empty(channels, num_experts))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        # Nearly alike, as noise would hide at first what others learn:
        torch.nn.init.xavier_normal_(self.weight[0])
        self.weight.data[1:] = self.weight.data[:1] + 0.02 * torch.randn_like(self.weight[1:])
        for x in (self.bias, self.gate, self.noise):
            torch.nn.init.zeros_(x)

    def forward(self, x: Tensor, temperature: Tensor | None = None) -> Tensor:
        r"""Mixes experts of entities :obj:`[B, C]`, given the temperature :obj:`[B, 1]` of the
        relation, if there is one.
        """
        logit = x @ self.gate
        if self.training:
            scale = F.softplus(x @ self.noise) + 1e-2
            logit = logit + scale * torch.randn_like(logit)
        logit = logit if temperature is None else logit / temperature
        return (logit.softmax(dim=-1).unsqueeze(-1) * self.outputs(x)).sum(dim=-2)

    def outputs(self, x: Tensor) -> Tensor:
        r"""Returns what each expert makes of entities, of shape :obj:`[B, K, C]`."""
        weight, bias = self.weight, self.bias
        shift = (bias.unsqueeze(1) @ weight).squeeze(1)  # [K, C]
        return (x @ weight.transpose(0, 1).flatten(1)).unflatten(-1, bias.size()) - shift

    def __repr__(self) -> str:
        num_experts, channels = self.bias.size()
        return f"{self.__class__.__name__}({channels}, num_experts={num_experts})"


class InformationEstimator(Module):
    r"""An upper bound of the mutual information of two variables, from the `"CLUB: A Contrastive
    Log-ratio Upper Bound of Mutual Information" <https://arxiv.org/abs/2006.12013>`_ paper, by a
    Gaussian :math:`q(y \, | \, x)` that is learned beside:

    .. math::
        \frac{1}{B} \sum_i \log q(y_i \, | \, x_i) - \log q(y_{\pi(i)} \, | \, x_i)

    with a random permutation :math:`\pi`.

    Args:
        channels (int): Size of both variables.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        size = max(channels // 2, 1)
        self.mean = torch.nn.Sequential(
            Linear(channels, size), torch.nn.ReLU(), Linear(size, channels)
        )
        self.log_var = torch.nn.Sequential(
            Linear(channels, size), torch.nn.ReLU(), Linear(size, channels), torch.nn.Tanh()
        )

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        for module in self.modules():
            if isinstance(module, Linear):
                module.reset_parameters()

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        r"""Computes the bound, a scalar, from samples :obj:`[B, C]` of both."""
        mean, log_var = self.mean(x), self.log_var(x)
        other = y[torch.randperm(y.size(0)).to(y.device)]
        diff = (mean - other).square() - (mean - y).square()
        return (diff / log_var.exp()).sum(dim=-1).mean() / 2

    def loss(self, x: Tensor, y: Tensor) -> Tensor:
        r"""Computes the negative log-likelihood of :math:`q` to minimise, with the deviation left
        as it is, as in the released code of :class:`MoMoK`.
        """
        mean, log_var = self.mean(x), self.log_var(x)
        return ((mean - y).square() / log_var.exp()).sum(dim=-1).mean() / 2


class MoMoK(IMF):
    r"""The MoMoK model from the `"Multiple Heads are Better than One: Mixture of Modality Knowledge
    Experts for Entity Representation Learning" <https://arxiv.org/abs/2405.16869>`_ paper: in each
    view, experts :math:`k` represent an entity, and the relation tells how sharply it chooses of
    them:

    .. math::
        \mathbf{e}_m(r) = \sum_k G_k \, (\mathbf{x}_m - \mathbf{b}_{m, k}) \mathbf{W}_{m, k}, \qquad
        G = \mathrm{softmax} \Big( \frac{\mathbf{x}_m \mathbf{U}_m + \boldsymbol{\epsilon}}
        {\sigma(g_r)} \Big)

    with noise :math:`\boldsymbol{\epsilon}` of a learned scale in training. Each view and the
    fusion of all of them (:class:`~torch_imf.nn.MoMoKFusion`) has a TuckER head with relation
    embeddings of its own; their binary cross-entropies are summed, and their predictions averaged.
    Experts of a view are disentangled: the mutual information of two of them, drawn anew for each
    batch, is added to the loss, by an estimator that is trained beside the model.

    As in the released code, the relation gates heads only, so that candidates are the same for
    all queries. Its relation embeddings of the fused view are fused of those of the others; here,
    they are learned. The recipe has a softmax in place of binary cross-entropies, by which it
    learns slowly. The arguments are those of :class:`IMF`.

    Args:
        scorer (str or Scorer, optional): The scorer of each view. (default: :obj:`"tucker"`)
        fusion (str or Fusion, optional): The fusion. (default: :obj:`"momok"`)
        num_experts (int, optional): The number of experts of each view. (default: :obj:`3`)
        disentangle (float, optional): The weight of mutual information. (default: :obj:`1e-4`)
        decision (DecisionFusion, dict[str, float] or float, optional): The weights of views.
            (default: :obj:`1.`)
    """

    settings: ClassVar[Mapping[str, Any]] = {
        **{"scorer": "tucker", "scorer.input_dropout": 0.1, "scorer.hidden_dropout": 0.1},
        **{"scorer.output_dropout": 0.1, "loss": "ce", "hidden_channels": 64, "lr": 0.01},
    }
    experts: Any
    estimators: Any

    def __init__(
        self,
        num_nodes: int,
        num_relations: int,
        hidden_channels: int,
        x_dict: Tensors | None = None,
        mask_dict: Tensors | None = None,
        *,
        scorer: str | type[Scorer] | Scorer = "tucker",
        fusion: str | type[Fusion] | Fusion = "momok",
        loss: str | type[Loss] | Loss = "bce",
        struct: bool | Tensor | Module | StructuralEmbedding = True,
        num_experts: int = 3,
        disentangle: float = 1e-4,
        decision: DecisionFusion | dict[str, float] | float | None = 1.0,
        rel_channels: int | None = None,
    ) -> None:
        if disentangle < 0:
            raise ValueError(f"'disentangle' cannot be negative (got {disentangle})")
        super().__init__(
            *(num_nodes, num_relations, hidden_channels, x_dict, mask_dict),
            scorer=scorer,
            fusion=fusion,
            loss=loss,
            struct=struct,
            contrastive=False,
            decision=decision,
            rel_channels=rel_channels,
            shared_relations=False,
        )
        self.disentangle = disentangle if num_experts > 1 else 0.0
        views = [view for view in self.views if view != "fused"]
        self.gate = Embedding(2 * num_relations, 1)
        self.experts = ModuleDict({v: Experts(hidden_channels, num_experts) for v in views})
        self.estimators = ModuleDict()
        if self.disentangle > 0:
            self.estimators.update({v: InformationEstimator(hidden_channels) for v in views})

    def reset_parameters(self) -> None:
        super().reset_parameters()
        parts = [self._modules.get(x) for x in ("gate", "experts", "estimators")]
        for part in parts if self._modules.get("gate") is not None else []:
            modules: Any = part.values() if isinstance(part, ModuleDict) else [part]
            for module in modules:
                module.reset_parameters()

    def query(self, head: Tensors, rel_type: Tensor) -> Tensors:
        return super().query(self._mixed(head, self.gate(rel_type).sigmoid()), rel_type)

    def key(self, tail: Tensors) -> Tensors:
        return super().key(self._mixed(tail))

    def loss(self, head_index: Tensor, rel_type: Tensor, *target: Tensor) -> Tensor:
        loss = super().loss(head_index, rel_type, *target)
        if self.disentangle == 0:
            return loss
        pairs = self._pairs(head_index)
        terms = [self.estimators[view](*pair) for view, pair in pairs.items()]
        return loss + self.disentangle * torch.stack(terms).mean()

    def estimator_loss(self, head_index: Tensor, rel_type: Tensor, *target: Tensor) -> Tensor:
        r"""The loss of the estimators of mutual information."""
        with torch.no_grad():
            pairs = self._pairs(head_index)
        terms = [self.estimators[view].loss(*pair) for view, pair in pairs.items()]
        return torch.stack(terms).mean()

    def other_objectives(self) -> list[Objective]:
        others = super().other_objectives()
        if self.disentangle == 0:
            return others
        params = list(self.estimators.parameters())
        return [*others, Objective("estimator", params, self.estimator_loss)]

    def _encode(self, index: Tensor | None = None) -> tuple[Tensors, Tensors]:
        # Experts come later, as they depend on the relation. In place of the fused view there is
        # what the entity has.
        z = self.embed(index)
        if self.fusion is not None:
            masks = self.fused_masks(self.masks(index), index)
            z["fused"] = stack_masks(masks, z).to(self.gate.weight.dtype)
        return z, {}

    def _mixed(self, z: Tensors, temperature: Tensor | None = None) -> Tensors:
        out = {view: experts(z[view], temperature) for view, experts in self.experts.items()}
        if self.fusion is not None:
            mask_dict = dict(zip(out, z["fused"].bool().unbind(dim=-1), strict=True))
            out["fused"] = self.fusion(dict(out), mask_dict)
        return out

    def _pairs(self, index: Tensor) -> dict[str, tuple[Tensor, ...]]:
        # What two experts of each view make of entities.
        x_dict = self.embed(index.unique())
        out: dict[str, tuple[Tensor, ...]] = {}
        for view, experts in self.experts.items():
            first, second = torch.randperm(experts.bias.size(0))[:2].tolist()
            x = experts.outputs(x_dict[view])
            out[view] = x[:, first], x[:, second]
        return out
