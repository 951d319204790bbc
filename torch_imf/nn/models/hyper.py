from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import Module

from torch_imf.nn.functional.gather import group_by_size
from torch_imf.nn.fusion import HyperFusion
from torch_imf.nn.fusion.base import Tensors
from torch_imf.nn.losses import Loss
from torch_imf.nn.models.base import modality_names
from torch_imf.nn.models.features import StructuralEmbedding
from torch_imf.nn.models.joint import JointKGE
from torch_imf.nn.scorer import HyperScorer, Scorer
from torch_imf.registry import resolve


class MHyper(JointKGE):
    r"""The M-Hyper model from the `"Collaboration of Fusion and Independence: Hypercomplex-driven
    Robust Multi-Modal Knowledge Graph Completion" <https://arxiv.org/abs/2509.23714>`_ paper: what
    is known of an entity, by structure, by image, by text, and by their relation-aware fusion
    (:class:`~torch_imf.nn.HyperScorer`), are the four bases of a biquaternion
    (:class:`~torch_imf.nn.HyperFusion`), which :class:`~torch_imf.nn.BiQUE` scores:

    .. math::
        \psi(h, r, t) = \langle (\mathbf{q}_{h, r} + \mathbf{q}_r^{+}) \otimes
        \mathbf{q}_r^{\times}, \mathbf{q}_t \rangle, \qquad \mathbf{q} = \mathbf{e}_f +
        \mathbf{e}_s \mathbf{i} + \mathbf{e}_v \mathbf{j} + \mathbf{e}_t \mathbf{k}

    Two terms are added to the loss: the mean squared difference of the fused embeddings of heads
    with and without noise, and :meth:`~torch_imf.nn.HyperFusion.reconstruction_loss`. They are
    computed for the heads of a batch; those of the released code are of all entities. In place of
    the Hamilton product, it has the plain complex product of the bases (:obj:`scorer="complex"`,
    which has no translation). All other arguments are those of :class:`JointKGE`.

    Args:
        hidden_channels (int): Size of each basis, even. Structural embeddings to start from are of
            five times that size.
        scorer (str or Scorer, optional): The scorer of four bases, side by side. (default:
            :obj:`"bique"`)
        noise (float, optional): The share of entities with noise in training. (default:
            :obj:`0.2`)
        consistency (float, optional): The weight of the first term. (default: :obj:`1.`)
        reconstruction (float, optional): The weight of the second one. (default: :obj:`1.`)
        loss (str or Loss, optional): The loss. (default: :obj:`"ce"`)
    """

    settings: ClassVar[Mapping[str, Any]] = {"scorer": "bique"}
    struct_parts = 5
    fusion: Any

    def __init__(
        self,
        num_nodes: int,
        num_relations: int,
        hidden_channels: int,
        x_dict: Tensors | None = None,
        mask_dict: Tensors | None = None,
        *,
        scorer: str | type[Scorer] | Scorer = "bique",
        noise: float = 0.2,
        consistency: float = 1.0,
        reconstruction: float = 1.0,
        loss: str | type[Loss] | Loss = "ce",
        struct: bool | Tensor | Module | StructuralEmbedding = True,
    ) -> None:
        if not min(consistency, reconstruction) >= 0:
            got = consistency, reconstruction
            raise ValueError(f"'consistency' and 'reconstruction' cannot be negative (got {got})")
        sizes = dict.fromkeys(modality_names(struct, x_dict), hidden_channels)
        sizes |= {"struct": 5 * hidden_channels} if "struct" in sizes else {}
        super().__init__(
            *(num_nodes, num_relations, hidden_channels, x_dict, mask_dict),
            scorer=HyperScorer(resolve("scorer", scorer, 4 * hidden_channels)),
            fusion=HyperFusion(sizes, noise),
            loss=loss,
            struct=struct,
        )
        self.consistency = consistency
        self.reconstruction = reconstruction

    def loss(self, head_index: Tensor, rel_type: Tensor, *target: Tensor) -> Tensor:
        loss = super().loss(head_index, rel_type, *target)
        heads, row = head_index.unique(return_inverse=True)
        e_dict, masks = self.embed(heads), self.fused_masks(self.masks(heads), heads)
        if self.reconstruction > 0:
            loss = loss + self.reconstruction * self.fusion.reconstruction_loss(e_dict, masks)
        if self.consistency > 0 and self.fusion.noise > 0:
            scorer: Any = self.scorers["fused"]
            distinct, group = group_by_size(rel_type)
            rel, fused = self.relation("fused", distinct), []
            for is_noisy in (True, False):
                self.fusion.train(is_noisy and self.training)
                z = self.fusion(e_dict, masks)[row]
                fused.append(scorer.fused(z, rel, group)[:, : self.hidden_channels])
            self.fusion.train(self.training)
            loss = loss + self.consistency * torch.nn.functional.mse_loss(*fused)
        return loss
