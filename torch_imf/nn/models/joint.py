from typing import Any

import torch
from torch import Tensor

from torch_imf.data.features import check_features
from torch_imf.nn.fusion import Fusion, fusion_resolver
from torch_imf.nn.models.adversary import Adversary
from torch_imf.nn.models.base import MultimodalKGE
from torch_imf.nn.models.checks import check_views
from torch_imf.nn.models.features import FrozenFeatures, find_masks
from torch_imf.nn.models.sampled import SampledLoss
from torch_imf.nn.scorer import Scorer
from torch_imf.sampler.base import Objective


class JointKGE(MultimodalKGE):
    r"""A model that scores one joint embedding per entity, which a fusion makes
    of its embeddings in all modalities: structural ones, and features that are
    projected to the same size.

    An :class:`Adversary` may train any such model against synthetic modality
    embeddings.

    Args:
        num_nodes (int): The number of entities.
        num_relations (int): The number of base relations.
        hidden_channels (int): Size of embeddings in each modality.
        x_dict (dict[str, torch.Tensor]): The features of each modality, of
            shape :obj:`[N, D]` each.
        mask_dict (dict[str, torch.Tensor]): Which entities have the modality,
            of shape :obj:`[N]` each.
        scorer (Scorer): The scorer of joint embeddings.
        fusion (str or Fusion): The fusion, by name or as a module, of
            modalities of size :obj:`hidden_channels`.
        struct (bool, optional): If set to :obj:`False`, leaves the structural
            embeddings out of the fusion. (default: :obj:`True`)
        loss (str or SampledLoss, optional): The loss, :class:`SampledLoss` by
            default; :obj:`"ce"` or :obj:`"bce"` train against all entities.
            (default: :obj:`None`)
        adversary (Adversary, optional): What generates synthetic embeddings.
            (default: :obj:`None`)
        regularization (float, optional): The weight of the regulariser of
            queries and keys, for losses against all entities.
            (default: :obj:`0.`)
        tie_inverses (bool, optional): If set to :obj:`True`, inverse relations
            are those of the scorer, without embeddings of their own.
            (default: :obj:`False`)

    Raises:
        ValueError: If features are of the wrong shape or not finite, a
            modality is missing for every entity, or nothing is left to fuse.
    """

    def __init__(
        self,
        num_nodes: int,
        num_relations: int,
        hidden_channels: int,
        x_dict: dict[str, Tensor],
        mask_dict: dict[str, Tensor],
        scorer: Scorer,
        fusion: str | Fusion,
        struct: bool = True,
        loss: str | SampledLoss | None = None,
        adversary: Adversary | None = None,
        regularization: float = 0.0,
        tie_inverses: bool = False,
    ) -> None:
        check_features(x_dict, mask_dict, num_nodes)
        check_views(None, x_dict, mask_dict)
        names = [*(["struct"] if struct else []), *x_dict]
        if len(names) == 0 or (adversary is not None and not struct):
            raise ValueError(
                f"{self.__class__.__name__} needs structure or a modality to fuse, and structure "
                f"for an adversary, which generates modalities from it"
            )
        super().__init__(
            num_nodes,
            num_relations,
            hidden_channels,
            scorers={"fused": scorer},
            loss=SampledLoss() if loss is None else loss,
            regularization=regularization,
            tie_inverses=tie_inverses,
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
        return self.join(self.embed(index), self.masks(index))

    def embed(self, index: Tensor | None = None) -> dict[str, Tensor]:
        r"""Returns the embeddings of entities, or of all of them, of shape
        :obj:`[*, C]` per modality.
        """
        out = {}
        if self.struct:
            out["struct"] = self.node_emb.weight if index is None else self.node_emb(index)
        return out | {name: module(index) for name, module in self.features.items()}

    def masks(self, index: Tensor | None = None) -> dict[str, Tensor]:
        r"""Returns which entities have each modality."""
        return find_masks(self.features, index)

    def join(
        self, e_dict: dict[str, Tensor], mask_dict: dict[str, Tensor] | None = None
    ) -> dict[str, Tensor]:
        r"""Returns the joint embeddings of entities, of shape :obj:`[*, C]`."""
        return {"fused": self.fusion(e_dict, mask_dict)}

    def loss(self, head_index: Tensor, rel_type: Tensor, *target: Tensor) -> Tensor:
        z = self.encode()
        loss = self.view_loss(z, head_index, rel_type, *target)
        if self.adversary is None or self.adversary.weight == 0:
            return loss
        facts = self.loss_fn.facts(head_index, rel_type, *target)
        adv_loss = self.adversary.loss(self, self.node_emb.weight, z, *facts)
        return loss + self.adversary.weight * adv_loss

    def generator_loss(self, head_index: Tensor, rel_type: Tensor, *target: Tensor) -> Tensor:
        r"""Computes the loss of the generators of the adversary, called as
        :meth:`loss`.
        """
        assert self.adversary is not None
        facts = self.loss_fn.facts(head_index, rel_type, *target)
        return self.adversary.generator_loss(self, *facts)

    def other_objectives(self) -> list[Objective]:
        r"""The pairs of what is trained beside the model: a sampler that
        learns, and the generators of the adversary.
        """
        others = super().other_objectives()
        if self.adversary is None or self.adversary.weight == 0:
            return others
        return [*others, (list(self.adversary.parameters()), self.generator_loss)]
