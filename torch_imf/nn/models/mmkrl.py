from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Module

from torch_imf.nn.fusion import SideBySide
from torch_imf.nn.fusion.base import Tensors
from torch_imf.nn.losses import Loss
from torch_imf.nn.models.base import distinct_ids, modality_names
from torch_imf.nn.models.features import StructuralEmbedding
from torch_imf.nn.models.joint import JointKGE
from torch_imf.nn.scorer import Parallel, Scorer
from torch_imf.registry import resolve


class MMKRL(JointKGE):
    r"""The MMKRL model from the `"MMKRL: A Robust Embedding Approach for Multi-modal Knowledge
    Graph Representation Learning" <https://doi.org/10.1007/s10489-021-02693-9>`_ paper: one
    translation for structure, one for each modality and one for their sum,

    .. math::
        E = \sum_{k \in \mathcal{M} \cup \{ \Sigma \}} \| \mathbf{h}_k + \mathbf{r} - \mathbf{t}_k
        \|_p, \qquad \mathbf{e}_{\Sigma} = \sum_{k \in \mathcal{M}} \mathbf{e}_k

    aligned with structure, and trained with noise :math:`\boldsymbol{\delta}` that raises the loss
    most:

    .. math::
        \mathcal{L} = \mathcal{L}_{KGE}(\mathbf{e}) + \lambda \sum_{m} \frac{1}{|\mathcal{E}_m|}
        \sum_{e \in \mathcal{E}_m} \| \mathbf{e}_s - \mathbf{e}_m \|_2^2 + \mu \,
        \mathcal{L}_{KGE}(\mathbf{e} + \boldsymbol{\delta}), \qquad \boldsymbol{\delta} = \epsilon
        \| \mathbf{e} \| \frac{\nabla_{\mathbf{e}} \mathcal{L}_{KGE}}{\| \nabla_{\mathbf{e}}
        \mathcal{L}_{KGE} \|}

    The score is :math:`(|\mathcal{M}| + 1) \, \gamma - E`. Of a modality that an entity lacks, the
    mean of the others stands in (:class:`~torch_imf.nn.SideBySide`). The alignment is over the
    heads of a batch.

    .. note::
        The paper itself is not openly available. This follows its abstract and how others describe
        it; where these say nothing (the form of alignment and noise), the simplest is taken. The
        re-implementation that later papers compare with joins all features to one modality, scores
        the pairs of :class:`~torch_imf.nn.IKRL`, and learns a generator of noise, of the weight
        :math:`\mu` here.

    All other arguments are those of :class:`JointKGE`.

    Args:
        scorer (str or Scorer, optional): The scorer of each part; its margin is :math:`\gamma`.
            (default: :obj:`"transe"`)
        loss (str or Loss, optional): The loss. (default: :obj:`"margin"`)
        align (float, optional): The weight :math:`\lambda`, not negative. (default: :obj:`0.1`)
        adversarial (float, optional): The weight :math:`\mu`; zero is no noise. (default:
            :obj:`0.07`)
        radius (float, optional): The length :math:`\epsilon` of noise, as a share of that of
            embeddings. (default: :obj:`0.1`)
    """

    settings: ClassVar[Mapping[str, Any]] = {
        **{"hidden_channels": 64, "loss": "margin", "loss.num_negatives": 8},
        **{"batch_size": 128, "lr": 0.01},
    }

    def __init__(
        self,
        num_nodes: int,
        num_relations: int,
        hidden_channels: int,
        x_dict: Tensors | None = None,
        mask_dict: Tensors | None = None,
        *,
        scorer: str | type[Scorer] | Scorer = "transe",
        loss: str | type[Loss] | Loss = "margin",
        struct: bool | Tensor | Module | StructuralEmbedding = True,
        align: float = 0.1,
        adversarial: float = 0.07,
        radius: float = 0.1,
    ) -> None:
        if struct is False or not x_dict:
            raise ValueError("MMKRL needs structure ('struct' cannot be False) and a modality")
        if not min(align, adversarial, radius) >= 0:
            got = align, adversarial, radius
            raise ValueError(f"'align', 'adversarial' and 'radius' cannot be negative (got {got})")
        names = modality_names(struct, x_dict)
        made: Scorer = resolve("scorer", scorer, hidden_channels)
        super().__init__(
            *(num_nodes, num_relations, hidden_channels, x_dict, mask_dict),
            scorer=Parallel(made, len(names) + 1),
            fusion=SideBySide(dict.fromkeys(names, hidden_channels)),
            loss=loss,
            struct=struct,
        )
        self.align = align
        self.adversarial = adversarial
        self.radius = radius

    def loss(self, head_index: Tensor, rel_type: Tensor, *target: Tensor) -> Tensor:
        index, batch = self.loss_fn.sample(self.num_nodes, head_index, rel_type, *target)
        z = self.encode(index)
        loss = clean = self.view_loss(z, *batch)
        if self.align > 0:
            loss = loss + self.align * self.alignment(z, batch[0], index)
        if self.adversarial > 0 and self.training:
            noisy = {"fused": z["fused"] + self.noise(clean, z["fused"])}
            loss = loss + self.adversarial * self.view_loss(noisy, *batch)
        return loss

    def alignment(self, z: Tensors, head_index: Tensor, index: Tensor | None) -> Tensor:
        r"""How far modalities of entities are from their structural embeddings, given the
        embeddings of all, or of those of :obj:`index`, among which they have positions.
        """
        position, heads = distinct_ids(head_index, index)
        struct, *parts, _ = z["fused"][position].split(self.hidden_channels, dim=-1)
        losses = []
        for x, mask in zip(parts, self.masks(heads).values(), strict=True):
            error = (struct - x).float().square().sum(dim=-1)
            losses.append((error * mask).sum() / mask.sum().clamp(min=1))
        return torch.stack(losses).sum()

    def noise(self, loss: Tensor, x: Tensor) -> Tensor:
        r"""The noise, as a constant, for embeddings :obj:`[N, C]` and a loss of them."""
        (grad,) = torch.autograd.grad(loss, x, retain_graph=True)
        return self.radius * x.detach().norm(dim=-1, keepdim=True) * F.normalize(grad, dim=-1)
