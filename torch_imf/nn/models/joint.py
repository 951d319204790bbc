from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from torch_imf.data.graph import check_features
from torch_imf.nn.functional import self_adversarial_loss
from torch_imf.nn.fusion import Fusion
from torch_imf.nn.models.adversary import Adversary, similarity
from torch_imf.nn.models.base import MultimodalKGE
from torch_imf.nn.models.checks import check_mix, check_views
from torch_imf.nn.models.features import FrozenFeatures, find_masks
from torch_imf.nn.models.sampled import SampledLoss
from torch_imf.nn.scorer import Scorer
from torch_imf.registry import resolve
from torch_imf.sampler import MANSSampler
from torch_imf.sampler.base import Objective

#: How many numbers of mixed entities to hold at once.
CHUNK = 2**22


class JointKGE(MultimodalKGE):
    r"""A model that scores one joint embedding per entity, which a fusion makes
    of its embeddings in all modalities: structural ones, and features that are
    projected to the same size.

    An :class:`Adversary` may train any such model against synthetic modality
    embeddings, and a :class:`~torch_imf.sampler.MANSSampler` against entities
    of which one modality is replaced (:meth:`mixed`).

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
            embeddings out of the fusion, which are not trained then.
            (default: :obj:`True`)
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
            modality is missing for every entity, nothing is left to fuse, or
            a sampler replaces what entities lack.
    """

    aliases: ClassVar[dict] = {}

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
        self.node_emb.requires_grad_(struct)
        self.features = torch.nn.ModuleDict()
        for name, x in x_dict.items():
            mask = mask_dict.get(name, torch.ones(num_nodes, dtype=torch.bool))
            self.features[name] = FrozenFeatures(x, mask, hidden_channels)
        check_mix(self.sampler, self.masks())
        in_channels = dict.fromkeys(names, hidden_channels)
        self.fusion = resolve("fusion", fusion, in_channels, hidden_channels)
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

    def mixed(self, e_dict: dict[str, Tensor], index_dict: dict[str, Tensor]) -> dict[str, Tensor]:
        r"""Represents entities that have each modality of another entity.

        Args:
            e_dict (dict[str, torch.Tensor]): The embeddings of all entities in
                each modality (:meth:`embed`).
            index_dict (dict[str, torch.Tensor]): The entity to take each
                modality from, of one shape.

        Returns:
            Joint embeddings, of shape :obj:`[*, C]`.
        """
        e_dict = {name: F.embedding(index_dict[name], x) for name, x in e_dict.items()}
        masks = {name: mask[index_dict[name]] for name, mask in self.masks().items()}
        return self.join(e_dict, masks)

    def view_loss(
        self, z: dict[str, Tensor], head_index: Tensor, rel_type: Tensor, *target: Tensor
    ) -> Tensor:
        if not isinstance(self.sampler, MANSSampler):
            return super().view_loss(z, head_index, rel_type, *target)
        assert isinstance(self.loss_fn, SampledLoss)
        tail_index, neg_index = target
        query = self.query({v: F.embedding(head_index, x) for v, x in z.items()}, rel_type)
        score = similarity(self, query, {v: F.embedding(tail_index, x) for v, x in z.items()})
        index_dict = self.sampler.mix(tail_index, neg_index)
        neg_score = self._mixed_score(query, index_dict)
        if self.sampler.adaptive and self.training:
            is_mixed = index_dict["struct"] == tail_index.unsqueeze(1)
            self.sampler.adapt(score, neg_score, is_mixed)
        return self_adversarial_loss(score, neg_score, self.loss_fn.temperature, neg_index >= 0)

    def _mixed_score(self, query: dict[str, Tensor], index_dict: dict[str, Tensor]) -> Tensor:
        # Scores queries against mixed entities, of shape [B, K], some rows at a time. Nothing of
        # the size [B, K, C] is stored: the backward pass computes it again.
        e_dict = self.embed()
        struct = index_dict["struct"].clamp(min=0)
        index_dict = {name: index_dict.get(name, struct).clamp(min=0) for name in e_dict}

        def score(query: dict[str, Tensor], index_dict: dict[str, Tensor]) -> Tensor:
            return self.similarity(query, self.key(self.mixed(e_dict, index_dict)))

        size = struct.size(1) * self.hidden_channels * len(e_dict)
        rows = torch.arange(struct.size(0), device=struct.device).split(max(1, CHUNK // size))
        return torch.cat(
            [
                checkpoint(
                    score,
                    {view: x[i] for view, x in query.items()},
                    {name: x[i] for name, x in index_dict.items()},
                    use_reentrant=False,
                )
                for i in rows
            ]
        )

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
        params = list(self.adversary.parameters())
        return [*others, Objective("generator", params, self.generator_loss)]
