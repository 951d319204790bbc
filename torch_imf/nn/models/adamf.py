from typing import Any

import torch
from torch import Tensor

from torch_imf.data.features import check_features
from torch_imf.nn.fusion import Fusion, fusion_resolver
from torch_imf.nn.models.adversary import Adversary
from torch_imf.nn.models.base import MultimodalKGE, Objective
from torch_imf.nn.models.checks import check_views
from torch_imf.nn.models.features import FrozenFeatures, find_masks
from torch_imf.nn.models.sampled import SampledLoss
from torch_imf.nn.scorer import Scorer, scorer_resolver


class AdaMF(MultimodalKGE):
    r"""The AdaMF-MAT model from the `"Unleashing the Power of Imbalanced
    Modality Information for Multi-modal Knowledge Graph Completion"
    <https://arxiv.org/abs/2402.15444>`_ paper: entities are the adaptive
    fusion of structure and all modalities (Eq. 2-5), scored by RotatE (Eq. 6)
    and trained against self-adversarial negatives (Eq. 7-8) and, with an
    :obj:`adversary`, against synthetic modality embeddings (Eq. 9-11).

    Without an :obj:`adversary`, or with one of weight zero, this is plain
    AdaMF: which is what the commands of the released code train, as they set
    the weight to zero.

    .. code-block:: python

        model = AdaMF(data.num_nodes, data.num_relations, 400, x_dict, mask_dict)
        mat = AdaMF(..., adversary=Adversary(weight=0.1))

    Args:
        num_nodes (int): The number of entities.
        num_relations (int): The number of base relations.
        hidden_channels (int): Size of entity embeddings. A complex embedding
            of :math:`d` entries, as RotatE's, has size :math:`2 d`.
        x_dict (dict[str, torch.Tensor], optional): The features of each
            modality, of shape :obj:`[N, D]` each. (default: :obj:`None`)
        mask_dict (dict[str, torch.Tensor], optional): Which entities have the
            modality, of shape :obj:`[N]` each. (default: :obj:`None`)
        rel_channels (int, optional): Size of relation embeddings. If
            :obj:`None`, the scorer decides. (default: :obj:`None`)
        struct (bool, optional): If set to :obj:`False`, leaves the structural
            embeddings out of the fusion. (default: :obj:`True`)
        scorer (str or Scorer, optional): The scorer, by name or as a module.
            (default: :obj:`"rotate"`)
        fusion (str or Fusion, optional): The fusion, by name or as a module of
            modalities of size :obj:`hidden_channels`.
            (default: :obj:`"adamf"`)
        loss (str or SampledLoss, optional): The loss, :class:`SampledLoss` by
            default; :obj:`"ce"` or :obj:`"bce"` train against all entities.
            (default: :obj:`None`)
        adversary (Adversary, optional): What generates synthetic embeddings.
            (default: :obj:`None`)
        regularization (float, optional): The weight of the regulariser of
            queries and keys, for losses against all entities.
            (default: :obj:`0.`)

    Raises:
        ValueError: If features are of the wrong shape or not finite, a
            modality is missing for every entity, or nothing is left to fuse.
    """

    def __init__(
        self,
        num_nodes: int,
        num_relations: int,
        hidden_channels: int,
        x_dict: dict[str, Tensor] | None = None,
        mask_dict: dict[str, Tensor] | None = None,
        rel_channels: int | None = None,
        struct: bool = True,
        scorer: str | Scorer = "rotate",
        fusion: str | Fusion = "adamf",
        loss: str | SampledLoss | None = None,
        adversary: Adversary | None = None,
        regularization: float = 0.0,
    ) -> None:
        x_dict, mask_dict = x_dict or {}, mask_dict or {}
        check_features(x_dict, mask_dict, num_nodes)
        check_views(None, x_dict, mask_dict)
        names = [*(["struct"] if struct else []), *x_dict]
        if len(names) == 0 or (adversary is not None and not struct):
            raise ValueError(
                "AdaMF needs structure or a modality to fuse, and structure for an adversary, "
                "which generates modalities from it"
            )
        super().__init__(
            num_nodes,
            num_relations,
            hidden_channels,
            scorers={"fused": scorer_resolver(scorer, hidden_channels, rel_channels)},
            loss=SampledLoss() if loss is None else loss,
            regularization=regularization,
        )
        self.struct = struct
        self.features = torch.nn.ModuleDict()
        for name, x in x_dict.items():
            mask = mask_dict.get(name, torch.ones(num_nodes, dtype=torch.bool))
            self.features[name] = FrozenFeatures(x, mask, hidden_channels)
        in_channels = dict.fromkeys(names, hidden_channels)
        self.fusion = fusion_resolver(fusion, in_channels, hidden_channels)
        self.adversary = adversary
        if adversary is not None:
            adversary.build(hidden_channels, list(x_dict))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        modules: list[Any] = [*self.features.values(), self.fusion]
        for module in modules if self.adversary is None else [*modules, self.adversary]:
            module.reset_parameters()

    def encode(self, index: Tensor | None = None) -> dict[str, Tensor]:
        return self.join(self.embed(index), find_masks(self.features, index))

    def embed(self, index: Tensor | None = None) -> dict[str, Tensor]:
        r"""Returns the embeddings :math:`\mathbf{e}_m` of entities, or of all
        of them, of shape :obj:`[*, C]` per modality (Eq. 2-3).
        """
        out = {}
        if self.struct:
            out["struct"] = self.node_emb.weight if index is None else self.node_emb(index)
        return out | {name: module(index) for name, module in self.features.items()}

    def join(
        self, e_dict: dict[str, Tensor], mask_dict: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        r"""Returns the joint embeddings of entities (Eq. 4-5), of shape
        :obj:`[*, C]`.
        """
        return {"fused": self.fusion(e_dict, mask_dict)}

    def loss(self, head_index: Tensor, rel_type: Tensor, *target: Tensor) -> Tensor:
        loss = super().loss(head_index, rel_type, *target)
        if self.adversary is None or self.adversary.weight == 0:
            return loss
        facts = self._facts(head_index, rel_type, *target)
        return loss + self.adversary.weight * self.adversary.loss(self, *facts)

    def generator_loss(self, head_index: Tensor, rel_type: Tensor, *target: Tensor) -> Tensor:
        r"""Computes the loss of the generators of the adversary, called as
        :meth:`loss`.
        """
        assert self.adversary is not None
        facts = self._facts(head_index, rel_type, *target)
        return self.adversary.generator_loss(self, *facts)

    def objectives(self) -> list[Objective]:
        if self.adversary is None or self.adversary.weight == 0:
            return super().objectives()
        generators = {id(p) for p in self.adversary.parameters()}
        own = [p for p in self.parameters() if p.requires_grad and id(p) not in generators]
        return [(own, self.loss), (list(self.adversary.parameters()), self.generator_loss)]

    def _facts(self, head_index: Tensor, rel_type: Tensor, *target: Tensor) -> tuple[Tensor, ...]:
        if isinstance(self.loss_fn, SampledLoss) or target[0].dim() == 1:
            return head_index, rel_type, target[0]
        row, tail_index = target[0]  # All facts of each query.
        return head_index[row], rel_type[row], tail_index
