from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Module
from torch.utils.checkpoint import checkpoint

from torch_imf.nn.fusion import Fusion
from torch_imf.nn.fusion.base import Tensors
from torch_imf.nn.losses import Loss, Sampled
from torch_imf.nn.models.adversary import Adversary
from torch_imf.nn.models.base import MultimodalKGE, modality_names, rows
from torch_imf.nn.models.features import StructuralEmbedding
from torch_imf.nn.scorer import Scorer
from torch_imf.registry import resolve
from torch_imf.sampler import MANSSampler
from torch_imf.sampler.base import Objective

#: How many numbers of mixed entities to hold at once.
CHUNK = 2**22


class JointKGE(MultimodalKGE):
    r"""A model that scores one joint embedding per entity, which a fusion makes of its embeddings
    in all modalities: structural ones, and features that are projected to the same size.

    An :class:`Adversary` may train any such model against synthetic modality embeddings, and a
    :class:`~torch_imf.sampler.MANSSampler` against entities of which one modality is replaced. All
    other arguments are those of :class:`MultimodalKGE`. Complex embeddings of :math:`d` entries, as
    RotatE's, have :math:`2 d` channels.

    Args:
        scorer (str or Scorer, optional): The scorer. (default: :obj:`"rotate"`)
        fusion (str or Fusion, optional): The fusion. (default: :obj:`"adamf"`)
        loss (str or Loss, optional): The loss. (default: :obj:`"sampled"`)
        adversary (Adversary or bool, optional): What generates synthetic embeddings. (default:
            :obj:`None`)
        rel_channels (int, optional): Size of relation embeddings, or that of the scorer. (default:
            :obj:`None`)
    """

    aliases: ClassVar[dict] = {}

    #: How many embeddings that a scorer takes lie side by side in those of the fusion.
    num_parts: int = 1

    def __init__(
        self,
        num_nodes: int,
        num_relations: int,
        hidden_channels: int,
        x_dict: Tensors | None = None,
        mask_dict: Tensors | None = None,
        *,
        scorer: str | type[Scorer] | Scorer = "rotate",
        fusion: str | type[Fusion] | Fusion = "adamf",
        loss: str | type[Loss] | Loss = "sampled",
        struct: bool | Tensor | Module | StructuralEmbedding = True,
        adversary: Adversary | bool | None = None,
        rel_channels: int | None = None,
        tie_inverses: bool = False,
    ) -> None:
        if adversary is True:
            adversary = Adversary()
        names = modality_names(struct, x_dict)
        if len(names) == 0 or (adversary and struct is False):
            raise ValueError("'struct' cannot be False without modalities or with an adversary")
        made: Scorer = resolve("scorer", scorer, hidden_channels, rel_channels)
        if rel_channels not in (None, made.rel_channels):
            raise ValueError(
                f"The scorer's 'rel_channels' are {made.rel_channels} (expected {rel_channels})"
            )
        super().__init__(
            *(num_nodes, num_relations, hidden_channels, x_dict, mask_dict),
            scorers={"fused": made},
            loss=loss,
            struct=struct,
            tie_inverses=tie_inverses,
        )
        if isinstance(self.sampler, MANSSampler):
            self._check_mix(self.sampler)
        in_channels = dict.fromkeys(names, hidden_channels)
        self.fusion = resolve("fusion", fusion, in_channels, hidden_channels)
        got, size = self.fusion.out_channels, self.num_parts * made.channels
        if got != size:
            raise ValueError(f"The fusion yields {got} channels, but the scorer takes {size}")
        self.adversary = adversary or None
        if self.adversary is not None:
            self.adversary.build(hidden_channels, list(self.features))
        self.reset_parameters()

    def reset_parameters(self) -> None:
        super().reset_parameters()
        if self.adversary is not None:
            self.adversary.reset_parameters()

    def encode(self, index: Tensor | None = None) -> Tensors:
        return self.join(self.embed(index), self.fused_masks(self.masks(index), index))

    def join(self, e_dict: Tensors, mask_dict: Tensors | None = None) -> Tensors:
        r"""Returns the joint embeddings of entities, of shape :obj:`[*, C]`."""
        assert self.fusion is not None
        return {"fused": self.fusion(e_dict, mask_dict)}

    def mixed(self, e_dict: Tensors, index_dict: Tensors, index: Tensor | None = None) -> Tensors:
        r"""Joins the embeddings of the entities :obj:`index`, or all, given which entities to take
        each modality from.
        """
        place = index_dict
        if index is not None:
            place = {name: torch.searchsorted(index, x) for name, x in index_dict.items()}
        e_dict = {name: F.embedding(place[name], x) for name, x in e_dict.items()}
        mask_dict = {name: module.has(index_dict[name]) for name, module in self.features.items()}
        return self.join(e_dict, self.fused_masks(mask_dict))

    def _mixed_loss(
        self,
        z: Tensors,
        index: Tensor | None,
        head_index: Tensor,
        rel_type: Tensor,
        tail_index: Tensor,
        neg_index: Tensor,
    ) -> Tensor:
        # Against negatives of a sampler of which one modality is replaced.
        sampler, loss = self.sampler, self.loss_fn
        assert isinstance(sampler, MANSSampler) and isinstance(loss, Sampled)
        query = self.query(rows(z, head_index), rel_type)
        score = self.pair_similarity(query, rows(z, tail_index))
        tail, neg = tail_index, neg_index
        if index is not None:  # The sampler knows entities by their ids.
            tail, neg = index[tail], index[neg.clamp(min=0)].where(neg >= 0, neg)
        index_dict = sampler.mix(tail, neg)
        is_mixed = index_dict["struct"] == tail.unsqueeze(1)
        neg_score = self._mixed_score(query, index_dict, index)
        if sampler.adaptive and self.training:
            sampler.adapt(score, neg_score, is_mixed)
        return loss.compare(score, neg_score, neg_index)

    def _mixed_score(self, query: Tensors, index_dict: Tensors, index: Tensor | None) -> Tensor:
        # Some rows at a time: the backward pass computes [B, K, C] again rather than to store it.
        e_dict, struct = self.embed(index), index_dict["struct"]
        index_dict = {name: index_dict.get(name, struct).clamp(min=0) for name in e_dict}

        def score(query: Tensors, index_dict: Tensors) -> Tensor:
            return self.similarity(query, self.key(self.mixed(e_dict, index_dict, index)))

        size = struct.size(1) * self.hidden_channels * len(e_dict)
        out = []
        for i in torch.arange(struct.size(0), device=struct.device).split(max(1, CHUNK // size)):
            parts = ({name: x[i] for name, x in d.items()} for d in (query, index_dict))
            out.append(checkpoint(score, *parts, use_reentrant=False))
        return torch.cat(out)

    def loss(self, head_index: Tensor, rel_type: Tensor, *target: Tensor) -> Tensor:
        index, batch = self.loss_fn.sample(self.num_nodes, head_index, rel_type, *target)
        z = self.encode(index)
        if isinstance(self.sampler, MANSSampler):
            loss = self._mixed_loss(z, index, *batch)
        else:
            loss = self.view_loss(z, *batch)
        if self.adversary is None or self.adversary.weight == 0:
            return loss
        facts = self.loss_fn.facts(*batch)
        return loss + self.adversary.weight * self.adversary.loss(self, z, facts, index)

    def _check_mix(self, sampler: MANSSampler) -> None:
        names, masks = sampler.modalities, self.masks()
        if not set(names) <= set(masks):
            raise ValueError(f"The sampler replaces {names}, but the model joins {list(masks)}")
        for name, mask in zip(names, sampler.mask, strict=True):
            # Entities that both lack it would not differ:
            if bool((mask.cpu() & ~masks[name].cpu()).any()):
                raise ValueError(f"Some lack '{name}'. Give the sampler the model's 'mask_dict'")

    def generator_loss(self, head_index: Tensor, rel_type: Tensor, *target: Tensor) -> Tensor:
        r"""The loss of the generators of the adversary."""
        assert self.adversary is not None
        facts = self.loss_fn.facts(head_index, rel_type, *target)
        return self.adversary.generator_loss(self, facts)

    def other_objectives(self) -> list[Objective]:
        others = super().other_objectives()
        if self.adversary is None or self.adversary.weight == 0:
            return others
        params = list(self.adversary.parameters())
        return [*others, Objective("generator", params, self.generator_loss)]


class AdaMF(JointKGE):
    r"""The AdaMF-MAT model from the `"Unleashing the Power of Imbalanced Modality Information for
    Multi-modal Knowledge Graph Completion" <https://arxiv.org/abs/2402.15444>`_ paper: entities are
    the adaptive fusion of structure and all modalities (Eq. 2-5), scored by RotatE (Eq. 6) and
    trained against self-adversarial negatives (Eq. 7-8) and, with :obj:`adversary=True`, against
    synthetic modality embeddings (Eq. 9-11): plain AdaMF, which the commands of the released code
    train, has none. These are the defaults of :class:`JointKGE`, whose arguments it takes.

    .. note::
        For entities that training never saw, pass :obj:`struct=StructuralEmbedding(dropout=0.5)`,
        so that other modalities learn to speak for them. One model for each modality, which vote
        (:meth:`torch_imf.fit_view_weights`), know them better than one joint embedding
        (:obj:`benchmarks/README.md`).
    """
