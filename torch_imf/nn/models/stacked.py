from collections.abc import Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Module

from torch_imf.nn.fusion import StackFusion
from torch_imf.nn.fusion.base import Tensors
from torch_imf.nn.losses import Loss
from torch_imf.nn.models.adversary import Adversary
from torch_imf.nn.models.base import modality_names
from torch_imf.nn.models.features import FrozenFeatures, StructuralEmbedding
from torch_imf.nn.models.joint import JointKGE
from torch_imf.nn.scorer import ComplEx, CrossModal, GatedScorer, Scorer
from torch_imf.registry import resolve


class IKRL(JointKGE):
    r"""The IKRL model from the `"Image-embodied Knowledge Representation Learning"
    <https://arxiv.org/abs/1609.07028>`_ paper: translations between the structural embeddings of
    entities, those of their images, and across:

    .. math::
        E = E_{SS} + E_{SI} + E_{IS} + E_{II}, \qquad E_{ab} = \| \mathbf{h}_a
        + \mathbf{r} - \mathbf{t}_b \|_p

    The score is :math:`4 \gamma - E`. In place of images, this takes any modalities, by the mean of
    their projections (:class:`~torch_imf.nn.StackFusion`); an entity without any is scored by
    structure alone. Unlike the paper, features are one vector per entity, norms are not
    constrained, and negatives are self-adversarial, as in the re-implementation of AdaMF-MAT. All
    other arguments are those of :class:`JointKGE`.

    Args:
        scorer (str or Scorer, optional): The scorer of each pair; its margin is :math:`\gamma`.
            (default: :obj:`"transe"`)
    """

    #: Whether the sums of both embeddings are scored, too.
    total: bool = False

    def __init__(
        self,
        num_nodes: int,
        num_relations: int,
        hidden_channels: int,
        x_dict: Tensors | None = None,
        mask_dict: Tensors | None = None,
        *,
        scorer: str | type[Scorer] | Scorer = "transe",
        loss: str | type[Loss] | Loss = "sampled",
        struct: bool | Tensor | Module | StructuralEmbedding = True,
        adversary: Adversary | bool | None = None,
    ) -> None:
        super().__init__(
            *(num_nodes, num_relations, hidden_channels, x_dict, mask_dict),
            scorer=CrossModal(resolve("scorer", scorer, hidden_channels), self.total),
            fusion=StackFusion(dict.fromkeys(modality_names(struct, x_dict), hidden_channels)),
            loss=loss,
            struct=struct,
            adversary=adversary,
        )


class VBKGC(IKRL):
    r"""The VBKGC model from the `"Knowledge Graph Completion with Pre-trained Multimodal
    Transformer and Twins Negative Sampling" <https://arxiv.org/abs/2209.07084>`_ paper: structural
    embeddings and those of the modalities of entities, scored within and across by RotatE:

    .. math::
        \psi(h, r, t) = \psi_{SS} + \psi_{MM} + \psi_{SM} + \psi_{MS}, \qquad \psi_{ab} = \gamma -
        \sum_i | (\mathbf{h}_a \circ e^{i \boldsymbol{\theta}_r} - \mathbf{t}_b)_i |

    Negatives are twins: both embeddings of an entity are replaced by those of one other entity,
    which aligns them (a :class:`~torch_imf.sampler.MANSSampler` takes them from two entities). The
    paper has features of VisualBERT, of images and texts at once; this takes any modalities. The
    arguments are those of :class:`~torch_imf.nn.IKRL`.

    Args:
        scorer (str or Scorer, optional): The scorer of each pair. (default: :obj:`"rotate"`)
    """

    settings: ClassVar[Mapping[str, Any]] = {"loss.num_negatives": 32, "lr": 3e-3}

    def __init__(
        self,
        num_nodes: int,
        num_relations: int,
        hidden_channels: int,
        x_dict: Tensors | None = None,
        mask_dict: Tensors | None = None,
        *,
        scorer: str | type[Scorer] | Scorer = "rotate",
        loss: str | type[Loss] | Loss = "sampled",
        struct: bool | Tensor | Module | StructuralEmbedding = True,
        adversary: Adversary | bool | None = None,
    ) -> None:
        super().__init__(
            *(num_nodes, num_relations, hidden_channels, x_dict, mask_dict),
            scorer=scorer,
            loss=loss,
            struct=struct,
            adversary=adversary,
        )


class LBMKGC(JointKGE):
    r"""The LBMKGC model from the `"LBMKGC: Large Model-Driven Balanced Multimodal Knowledge Graph
    Completion" <https://openreview.net/forum?id=Zj1uV88eYU>`_ paper: each relation weighs
    structural embeddings against those of modalities, which are fused adaptively
    (:class:`~torch_imf.nn.GatedScorer`):

    .. math::
        \mathbf{e}_r = \sigma(g_r) \, \mathbf{e}_s + (1 - \sigma(g_r)) \sum_{m} \alpha_m
        \mathbf{e}_m, \qquad \alpha_m = \frac{\exp(\mathbf{w} \cdot \tanh(\mathbf{e}_m))}
        {\sum_{n} \exp(\mathbf{w} \cdot \tanh(\mathbf{e}_n))}

    An entity without any modality has its structural embedding alone. The paper completes missing
    images and aligns features by large models beforehand; this takes any features, and projects
    them by one layer in place of two. All other arguments are those of :class:`JointKGE`.

    Args:
        scorer (str or Scorer, optional): The scorer. Bilinear ones rank by one product. (default:
            :obj:`"rotate"`)
    """

    def __init__(
        self,
        num_nodes: int,
        num_relations: int,
        hidden_channels: int,
        x_dict: Tensors | None = None,
        mask_dict: Tensors | None = None,
        *,
        scorer: str | type[Scorer] | Scorer = "rotate",
        loss: str | type[Loss] | Loss = "sampled",
        struct: bool | Tensor | Module | StructuralEmbedding = True,
        adversary: Adversary | bool | None = None,
        tie_inverses: bool = False,
    ) -> None:
        sizes = dict.fromkeys(modality_names(struct, x_dict), hidden_channels)
        super().__init__(
            *(num_nodes, num_relations, hidden_channels, x_dict, mask_dict),
            scorer=GatedScorer(resolve("scorer", scorer, hidden_channels)),
            fusion=StackFusion(sizes, adaptive=True),
            loss=loss,
            struct=struct,
            adversary=adversary,
            tie_inverses=tie_inverses,
        )


class TBKGC(IKRL):
    r"""The TBKGC model (MKGC in the IMF paper) from the `"A Multimodal Translation-Based Approach
    for Knowledge Graph Representation Learning" <https://aclanthology.org/S18-2027/>`_ paper: the
    energies of :class:`~torch_imf.nn.IKRL`, and that of the sums of both embeddings:

    .. math::
        E = E_S + E_{M1} + E_{SM} + E_{MS} + E_{M2}, \qquad E_{M2} = \| (\mathbf{h}_s +
        \mathbf{h}_m) + \mathbf{r} - (\mathbf{t}_s + \mathbf{t}_m) \|_p

    The score is :math:`5 \gamma - E`. Modalities are projected one by one, not side by side; the
    rest differs as in :class:`~torch_imf.nn.IKRL`, whose arguments it takes.
    """

    total = True


class RSME(JointKGE):
    r"""The RSME model from the `"Is Visual Context Really Helpful for Knowledge Graph? A
    Representation Learning Perspective" <https://dl.acm.org/doi/10.1145/3474085.3475470>`_ paper:
    ComplEx on the weighted sum of structural and visual embeddings (the fusion gate), and the
    similarity of images for relations that it helps (the forget gate):

    .. math::
        \psi(h, r, t) = \beta \, \mathrm{Re}(\mathbf{e}_h^{\top} \mathrm{diag}(\mathbf{r}) \,
        \overline{\mathbf{e}_t}) + (1 - \beta) \, \phi_r \cos(\mathbf{x}_h, \mathbf{x}_t), \qquad
        \mathbf{e} = (1 - \alpha_r) \, \mathbf{e}_s + \alpha_r \mathbf{e}_m

    A gate :math:`\phi_r` keeps the relations whose facts join similar features, *e.g.*,
    :obj:`percentile <= percentile.quantile(0.2)` with the
    :meth:`~torch_imf.data.mean_rank_percentile` of *training* facts (the released code ranks test
    facts, too).

    In place of images, this takes any modalities: :math:`\mathbf{e}_m` is the mean of their
    projections (:class:`~torch_imf.nn.StackFusion`), and the cosine is the mean over all
    modalities, zero where one is lacking. The released code leaves the cosine out of its loss; this
    trains what it predicts. All other arguments are those of :class:`JointKGE`, with even
    :obj:`hidden_channels`.

    Args:
        alpha (float or torch.Tensor, optional): The share :math:`\alpha` of modalities, or that of
            each base relation. (default: :obj:`0.7`)
        beta (float, optional): The weight of ComplEx. (default: :obj:`0.5`)
        gate (torch.Tensor, optional): The gate :math:`\phi` of each base relation, or all are open.
            (default: :obj:`None`)
        loss (str or Loss, optional): The loss. (default: :obj:`"ce"`)
    """

    num_parts = 2
    alpha: Tensor
    gate: Tensor

    def __init__(
        self,
        num_nodes: int,
        num_relations: int,
        hidden_channels: int,
        x_dict: Tensors | None = None,
        mask_dict: Tensors | None = None,
        *,
        alpha: float | Tensor = 0.7,
        beta: float = 0.5,
        gate: Tensor | None = None,
        loss: str | type[Loss] | Loss = "ce",
        struct: bool | Tensor | Module | StructuralEmbedding = True,
    ) -> None:
        if not 0 <= beta <= 1:
            raise ValueError(f"'beta' needs to be in [0, 1] (got {beta})")
        super().__init__(
            *(num_nodes, num_relations, hidden_channels, x_dict, mask_dict),
            scorer=ComplEx(hidden_channels),
            fusion=StackFusion(dict.fromkeys(modality_names(struct, x_dict), hidden_channels)),
            loss=loss,
            struct=struct,
        )
        self.beta = beta
        # Not persistent, so that a checkpoint of other weights does not fit, as of other features:
        for name, value in (("alpha", alpha), ("gate", 1.0 if gate is None else gate)):
            weight = per_relation(name, value, num_relations)
            self.register_buffer(name, weight, persistent=False)
        for name, x in unit_features(self.features).items():
            self.register_buffer(f"x_{name}", x, persistent=False)

    @property
    def prediction_buffers(self) -> list[str]:
        return ["alpha", "gate", *(f"x_{name}" for name in self.features)]

    @torch.no_grad()
    def extend(self, size: int, x_dict: Tensors, mask_dict: Tensors) -> None:
        super().extend(size, x_dict, mask_dict)
        for name, module in self.features.items():
            x = module.standardized(x_dict[name]).masked_fill(~mask_dict[name][:, None], 0)
            x = F.normalize(x, dim=-1) / len(self.features) ** 0.5
            setattr(self, f"x_{name}", torch.cat([getattr(self, f"x_{name}"), x]))

    def part(self, index: Tensor) -> "RSME":
        out: Any = super().part(index)
        for name in self.features:
            setattr(out, f"x_{name}", getattr(self, f"x_{name}")[index])
        return out

    def encode(self, index: Tensor | None = None) -> Tensors:
        rows = {name: slice(None) if index is None else index for name in self.features}
        return self._with_features(super().encode(index), rows)

    def mixed(self, e_dict: Tensors, index_dict: Tensors, index: Tensor | None = None) -> Tensors:
        return self._with_features(super().mixed(e_dict, index_dict, index), index_dict)

    def query(self, head: Tensors, rel_type: Tensor) -> Tensors:
        # Weights of relations are all in the query, so that keys are those of any relation:
        size = self.hidden_channels
        struct, modal, x = head["fused"].tensor_split((size, 2 * size), dim=-1)
        alpha, gate = self.alpha[rel_type].unsqueeze(-1), self.gate[rel_type].unsqueeze(-1)
        fused = {"fused": (1 - alpha) * struct + alpha * modal}
        q = self.beta * super().query(fused, rel_type)["fused"]
        x = (1 - self.beta) * gate * x
        return {"fused": torch.cat([(1 - alpha) * q, alpha * q, x], dim=-1)}

    def _with_features(self, z: Tensors, index_dict: dict[str, Any]) -> Tensors:
        x = [getattr(self, f"x_{name}")[index_dict[name]] for name in self.features]
        return {"fused": torch.cat([z["fused"], *x], dim=-1)}  # [*, 2 * C + D]


def unit_features(features: dict[str, FrozenFeatures]) -> Tensors:
    r"""Returns features :obj:`[N, D]` whose product, side by side, is the mean cosine."""
    out = {}
    for name, module in features.items():
        x = module.read(torch.arange(module.num_rows, device=module.row.device))
        x = F.pad(x, (0, 0, 0, 1))[module.row]  # Zero where there are none.
        out[name] = F.normalize(x, dim=-1) / len(features) ** 0.5
    return out


def per_relation(name: str, value: float | Tensor, num_relations: int) -> Tensor:
    r"""Returns a weight of each relation and each inverse, of shape :obj:`[2 * R]`."""
    out = value.float() if isinstance(value, Tensor) else torch.tensor(float(value), device="cpu")
    out = out.expand(num_relations) if out.dim() == 0 else out
    if out.size() != (num_relations,) or not bool(((out >= 0) & (out <= 1)).all()):
        raise ValueError(f"'{name}' needs one number in [0, 1] or {num_relations} (got {value})")
    return out.repeat(2)
