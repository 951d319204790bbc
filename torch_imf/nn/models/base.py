from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Embedding, Module, ModuleDict
from torch_geometric.nn.kge import KGEModel

from torch_imf.data import NegativeLoader, QueryLoader
from torch_imf.data.distributed import Shard, mean
from torch_imf.data.graph import warn_of_one_side
from torch_imf.data.index import check_triples
from torch_imf.evaluation.ranking import inference, twin
from torch_imf.nn.functional.gather import by_blocks, group_by_size
from torch_imf.nn.fusion import DecisionFusion, Fusion
from torch_imf.nn.fusion.base import Tensors
from torch_imf.nn.losses import Loss
from torch_imf.nn.losses.sampled import gather_scores
from torch_imf.nn.models.decoder import FeatureDecoder
from torch_imf.nn.models.features import FrozenFeatures, StructuralEmbedding, project
from torch_imf.nn.models.scoring import ViewModel
from torch_imf.nn.scorer import Scorer
from torch_imf.nn.scorer.distance import DistanceScorer
from torch_imf.registry import resolve
from torch_imf.sampler import Sampler
from torch_imf.sampler.base import Objective

#: Arguments of a loader of PyTorch that change no batch.
WORKERS = ("num_workers", "pin_memory", "persistent_workers", "prefetch_factor")


class MultimodalKGE(ViewModel, KGEModel):
    r"""An abstract base class of models that score an entity in one or several *views*
    (:obj:`'struct'`, each modality, :obj:`'fused'`), each with its own scorer. It is a drop-in for
    :obj:`torch_geometric.nn.kge`, and has the contract of :class:`~torch_imf.nn.Scorer` with one
    entry per view: :meth:`query` and :meth:`key` encode what :meth:`encode` of a sub-class returns.

    Args:
        num_nodes (int): The number of entities.
        num_relations (int): The number of base relations. The inverse of :obj:`r` is :obj:`r +
            num_relations`.
        hidden_channels (int): Size of entity embeddings in every view.
        x_dict (dict[str, torch.Tensor], optional): The frozen features :obj:`[N, D]` per modality.
            (default: :obj:`None`)
        mask_dict (dict[str, torch.Tensor], optional): Which entities :obj:`[N]` have a modality, or
            all. (default: :obj:`None`)
        scorers (dict[str, Scorer]): The scorer of each view.
        loss (str or Loss, optional): The loss of each view, by name, class or as an object:
            :obj:`"bce"` and :obj:`"ce"` compare with all entities (:class:`~torch_imf.nn.OneToN`),
            :obj:`"sampled"` with negatives (:class:`~torch_imf.nn.Sampled`). (default:
            :obj:`"bce"`)
        struct (bool, torch.Tensor or torch.nn.Module, optional): Learned structural embeddings
            (:obj:`True`) or none (:obj:`False`), those :obj:`[N, C]` to start from, a module that
            gives them, or a :class:`StructuralEmbedding`. (default: :obj:`True`)
        decision (DecisionFusion, optional): Joins several views. (default: :obj:`None`)
        shared_relations (bool, optional): Whether all views share their relation embeddings.
            (default: :obj:`True`)
        tie_inverses (bool, optional): Whether the scorer gives inverse relations, rather than
            embeddings; not all can. (default: :obj:`False`)

    Raises:
        ValueError: If sizes, features, embeddings or the names of modalities cannot be used.
    """

    #: What it trains well with if nothing else is chosen, as :attr:`Scorer.settings`.
    settings: ClassVar[Mapping[str, Any]] = {}
    hidden_channels: int
    node_emb: Embedding
    scorers: dict[str, Scorer]
    features: dict[str, FrozenFeatures]
    seen: Tensor | None
    blocks: Tensor | None

    #: Which entities this process holds, if not all (:meth:`torch_imf.shard`).
    shard: Shard | None = None
    #: How many embeddings of :obj:`hidden_channels` the structural one of an entity holds.
    struct_parts: ClassVar[int] = 1

    def __init__(
        self,
        num_nodes: int,
        num_relations: int,
        hidden_channels: int,
        x_dict: Tensors | None = None,
        mask_dict: Tensors | None = None,
        *,
        scorers: dict[str, Scorer],
        loss: str | type[Loss] | Loss = "bce",
        struct: bool | Tensor | Module = True,
        decision: DecisionFusion | None = None,
        shared_relations: bool = True,
        tie_inverses: bool = False,
    ) -> None:
        sizes = num_nodes, num_relations, hidden_channels
        if min(sizes) < 1:  # Of whatever signature.
            text = "'num_nodes', 'num_relations' and 'hidden_channels' need to be positive"
            raise ValueError(f"{text} (got {sizes})")
        super().__init__(*sizes)
        if self.struct_parts > 1:
            self.node_emb = Embedding(num_nodes, self.struct_parts * hidden_channels)
        self.views = list(scorers)
        self.decision = decision
        self.fusion: Fusion | None = None  # Sub-classes may have one,
        self.decoder: FeatureDecoder | None = None  # and this.
        self.loss_fn: Loss = resolve("loss", loss)
        self.struct = StructuralEmbedding.of(struct)
        self.node_emb.requires_grad_(self.struct is not None and self.struct.uses_table)
        # Which entities have a training fact, as `fit` lets a model know that learns embeddings.
        # Of points, the mean is nearer to a query than most, and so would not be neutral.
        parts = [part for scorer in scorers.values() for part in scorer.modules()]
        is_near = any(isinstance(part, DistanceScorer) for part in parts)
        self._takes_mean = self.struct is not None and not self.struct.freeze and not is_near
        knows = self._takes_mean or (self.struct is not None and self.struct.dropout > 0)
        self.register_buffer("seen", torch.ones(num_nodes, dtype=torch.bool) if knows else None)
        # How many entities came at a time, once some were added.
        self.register_buffer("blocks", None)
        size = (1 if tie_inverses else 2) * num_relations
        rel_channels = next(iter(scorers.values())).rel_channels
        names = ["all"] if shared_relations else self.views
        tables = {name: Embedding(size, rel_channels) for name in names}
        self.rel_emb = tables["all"] if shared_relations else ModuleDict(tables)
        for scorer in scorers.values() if tie_inverses else []:
            scorer.invert(torch.zeros(1, rel_channels))  # Raises, if there are none.
        features = project(x_dict or {}, mask_dict or {}, num_nodes, hidden_channels)
        self.features = features  # type: ignore[assignment]
        self.scorers = ModuleDict(scorers)  # type: ignore[assignment]

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters, other than those of a structural module."""
        torch.nn.init.xavier_normal_(self.node_emb.weight)
        for view, scorer in self.scorers.items():
            scorer.reset_parameters()
            scorer.reset_relations(self._rel_emb(view).weight.data)
        if self.struct is not None:
            view = "struct" if "struct" in self.views else self.views[0]
            self.struct.reset_tables(self.node_emb, self._rel_emb(view))
        for part in (*self.features.values(), self.decision, self.fusion, self.decoder):
            if part is not None:
                part.reset_parameters()

    # Representations and scores ##################################################################

    def embed(self, index: Tensor | None = None) -> Tensors:
        r"""Returns structural embeddings and projected features, as :meth:`encode`."""
        return self.fetched(self._embed, index)

    def masks(self, index: Tensor | None = None) -> Tensors:
        r"""Returns which entities have each modality."""
        features = self.features.items()
        return self.fetched(lambda i: {name: module.has(i) for name, module in features}, index)

    def fetched(
        self, lookup: Callable[[Tensor | None], Tensors], index: Tensor | None = None
    ) -> Tensors:
        r"""Returns :obj:`lookup(index)` of entities, or all that this process holds. Where several
        hold some each, rows of others come from there.
        """
        far = self.shard is not None and index is not None
        return self.shard.fetch(lookup, index) if far else lookup(index)  # type: ignore

    def fused_masks(self, mask_dict: Tensors, index: Tensor | None = None) -> Tensors:
        r"""Returns the masks of what is fused, given those of modalities of the entities
        :obj:`index`, or all: structural embeddings may be dropped.
        """
        if self.struct is None:
            return mask_dict
        seen = self._own_seen() if index is None else self.seen
        seen = seen if index is None or seen is None else seen[index]
        return self.struct.drop(mask_dict, seen)

    def query(self, head: Tensors, rel_type: Tensor) -> Tensors:
        distinct, group = group_by_size(rel_type)
        return {
            view: scorer.grouped_query(head[view], self.relation(view, distinct), group)
            for view, scorer in self.scorers.items()
        }

    def relation(self, view: str, rel_type: Tensor) -> Tensor:
        r"""Embeds relation types :obj:`[B]` in a view, giving :obj:`[B, C_r]`."""
        emb = self._rel_emb(view)
        if emb.num_embeddings > self.num_relations:
            return emb(rel_type)
        is_inverse = rel_type >= self.num_relations
        # No modulo, so that the table raises for a relation that is not there:
        rel = emb((rel_type - self.num_relations).where(is_inverse, rel_type))
        return self.scorers[view].invert(rel).where(is_inverse.unsqueeze(-1), rel)

    def key(self, tail: Tensors) -> Tensors:
        return {view: scorer.key(tail[view]) for view, scorer in self.scorers.items()}

    def view_similarity(self, query: Tensors, key: Tensors) -> Tensors:
        return {
            v: by_blocks(scorer.similarity, query[v], key[v], self.blocks)
            for v, scorer in self.scorers.items()
        }

    def fuse(self, score_dict: Tensors) -> Tensor:
        r"""Joins the scores of all views (Eq. 11 of IMF)."""
        return score_dict[self.views[0]] if self.decision is None else self.decision(score_dict)

    def view_weights(self) -> dict[str, float]:
        weight = [1.0] if self.decision is None else self.decision.weight().tolist()
        return dict(zip(self.views, weight, strict=True))

    def view_masks(self) -> Tensors:
        return {name: mask for name, mask in self.masks().items() if name in self.views}

    def score(self, head_index: Tensor, rel_type: Tensor, key_index: Tensor) -> Tensor:
        r"""Scores the candidates :obj:`[B, K]` of each query :obj:`[B]`. Their entities are encoded
        once; keys of candidates are never stored.
        """
        index, (head_index, key_index) = Loss.touched(self.num_nodes, head_index, key_index)
        z = self.encode(index)
        query, key = self.query(rows(z, head_index), rel_type), self.key(z)
        items = self.scorers.items()
        return self.fuse({v: gather_scores(x, query[v], key[v], key_index) for v, x in items})

    # Entities that are added to a trained model ###################################################

    @torch.no_grad()
    def extend(self, size: int, x_dict: Tensors, mask_dict: Tensors) -> None:
        r"""Adds so many entities at the end, given their raw features :obj:`[K, D]` and which of
        them there are. Their structural embeddings are the mean of those of entities with training
        facts, which entities without one now hold for good, and scores of others stay as they are.
        """
        blocks = torch.tensor([self.num_nodes]) if self.blocks is None else self.blocks.cpu()
        weight = self.node_emb.weight
        new = weight.new_zeros(size, weight.size(1))
        if self.struct is not None:
            with inference(self) as model:
                weight = model.struct(model.node_emb, None, model.seen)
            new += (weight if self.seen is None else weight[self.seen]).mean(dim=0)
        weight = torch.cat([weight, new])
        if self.struct is not None:
            self.struct.extend(weight)
        learns = self.struct is not None and self.struct.uses_table
        self.node_emb = Embedding(len(weight), weight.size(1), _weight=weight).requires_grad_(
            learns
        )
        if self.seen is not None:
            self.seen = self.seen.new_ones(len(weight))
        self.blocks = torch.cat([blocks, torch.tensor([size])]).to(weight.device)
        for name, module in self.features.items():
            module.extend(x_dict[name], mask_dict[name])
        self.num_nodes += size
        self.init_args = {**self.init_args, "num_nodes": self.num_nodes}

    def part(self, index: Tensor) -> "MultimodalKGE":
        r"""Returns a model of some of the entities, in evaluation mode, that has all else in common
        with this one but their structural embeddings, which are a copy.
        """
        out: Any = twin(self)
        weight = self.node_emb.weight.detach()[index]
        out.node_emb = Embedding(len(weight), weight.size(1), _weight=weight)
        out.seen = out.blocks = None
        for module in out.features.values():
            module.select(index)
        out.num_nodes = index.numel()
        return out

    def _embed(self, index: Tensor | None) -> Tensors:
        out = {name: module(index) for name, module in self.features.items()}
        if self.struct is None:
            return out
        seen = self._own_seen() if self._takes_mean else None
        return {"struct": self.struct(self.node_emb, index, seen), **out}

    def _own_seen(self) -> Tensor | None:
        if self.seen is None or self.shard is None:
            return self.seen
        return self.seen[self.shard.start : self.shard.end]

    def _rel_emb(self, view: str) -> Embedding:
        emb: Any = self.rel_emb
        return emb if isinstance(emb, Embedding) else emb[view]

    # The protocol of torch_geometric.nn.kge ######################################################

    def loss(self, head_index: Tensor, rel_type: Tensor, *target: Tensor) -> Tensor:
        r"""Computes the loss of queries :obj:`[B]` and what follows in a batch of :meth:`loader`:
        for a 1-N loss, positives :obj:`[2, P]` (row: query, column: tail), or one tail per query;
        for a sampled one, a tail per query and negatives :obj:`[B, K]`.
        """
        index, batch = self.loss_fn.sample(self.num_nodes, head_index, rel_type, *target)
        return self.view_loss(self.encode(index), *batch)

    def view_loss(
        self, z: Tensors, head_index: Tensor, rel_type: Tensor, *target: Tensor
    ) -> Tensor:
        r"""The joint loss of all views (Eq. 9-10 of IMF), given those of entities, and a batch with
        positions among these.
        """
        query, key = self.query(self.rows(z, head_index), rel_type), self.key(z)
        items = self.scorers.items()
        losses = {v: self.loss_fn(scorer, query[v], key[v], *target) for v, scorer in items}
        if terms := self.loss_fn.terms:
            facts = self.loss_fn.facts(head_index, rel_type, *target)
            if self._is_far:
                index, position = torch.cat(facts[::2]).unique(return_inverse=True)
                (head, tail), z = position.chunk(2), self.rows(z, index)
                facts = head, facts[1], tail
            every = torch.arange(2 * self.num_relations, device=rel_type.device)
            for view, scorer in items:
                if z[view].size(-1) != scorer.channels:  # Several side by side.
                    name = type(self).__name__
                    raise ValueError(f"{terms[0]} needs one embedding per entity ({name} has more)")
                args = scorer, z[view], self.relation(view, every), facts
                losses[view] = losses[view] + mean(sum(x(*args) for x in terms), facts[0].numel())
        return losses[self.views[0]] if self.decision is None else self.decision.loss(losses)

    def rows(self, z: Tensors, index: Tensor) -> Tensors:
        r"""Returns entities of a batch of :meth:`view_loss`, wherever they are."""
        if not self._is_far:
            return rows(z, index)
        return self.fetched(lambda i: z if i is None else rows(z, i), index)

    @property
    def _is_far(self) -> bool:
        # Whether a batch knows entities by their ids, of which others hold some. Where it is
        # compared with few, they have been fetched.
        return self.shard is not None and not self.loss_fn.is_sparse

    def loader(
        self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor, **kwargs: Any
    ) -> QueryLoader | NegativeLoader:
        r"""Returns the mini-batch loader that the loss needs, over facts :obj:`[E]` with their
        inverse triples. Further arguments are those of :class:`~torch_imf.data.QueryLoader` or
        :class:`~torch_imf.data.NegativeLoader`, and :obj:`num_workers` and the like have no effect,
        as batches are made at once, where the facts are.
        """
        facts = head_index, rel_type, tail_index
        check_triples(*facts, self.num_nodes, 2 * self.num_relations)
        if self._rel_emb(self.views[0]).num_embeddings > self.num_relations:
            warn_of_one_side(rel_type, self.num_relations)
        kwargs = {name: x for name, x in kwargs.items() if name not in WORKERS}
        return self.loss_fn.loader(facts, self.num_nodes, **kwargs)

    # Training and saving #########################################################################

    @property
    def sampler(self) -> Sampler | None:
        r"""The sampler of the loss, if it was given as an object."""
        sampler = getattr(self.loss_fn, "sampler", None)
        return sampler if isinstance(sampler, Sampler) else None

    def objectives(self) -> list[Objective]:
        r"""What one training step takes in turn: :obj:`"model"`, then :meth:`other_objectives`.
        Their losses are called as :meth:`loss`.
        """
        others = self.other_objectives()
        taken = {id(p) for other in others for p in other.parameters}
        own = [p for p in self.parameters() if p.requires_grad and id(p) not in taken]
        return [Objective("model", own, self.loss), *others]

    def other_objectives(self) -> list[Objective]:
        r"""What is trained beside the model: a :obj:`"sampler"` that learns."""
        objective = None if self.sampler is None else self.sampler.objective(self.score)
        return [] if objective is None else [objective]

    @property
    def prediction_buffers(self) -> list[str]:
        r"""The buffers that predictions need and no checkpoint has."""
        return []


def make_scorer(
    scorer: str | type[Scorer] | Scorer, channels: int, rel_channels: int | None
) -> Scorer:
    r"""Returns a scorer of embeddings of these sizes."""
    out: Scorer = resolve("scorer", scorer, channels, rel_channels)
    got = out.channels, out.rel_channels
    sizes = channels, out.rel_channels if rel_channels is None else rel_channels
    if got != sizes:
        raise ValueError(f"The scorer's 'channels, rel_channels' are {got} (expected {sizes})")
    return out


def modality_names(struct: object, x_dict: Mapping[str, object] | None) -> list[str]:
    r"""Returns what there is to know of entities, given the arguments of a model."""
    return [*([] if struct is False else ["struct"]), *(x_dict or {})]


def rows(z: Tensors, index: Tensor) -> Tensors:
    r"""Returns the entities :obj:`index` of those in every view."""
    return {view: F.embedding(index, x) for view, x in z.items()}


def distinct_ids(position: Tensor, index: Tensor | None) -> tuple[Tensor, Tensor]:
    r"""Returns distinct positions among the entities :obj:`index`, or all, and these entities."""
    position = position.unique()
    return position, position if index is None else index[position]
