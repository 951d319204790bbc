from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Embedding, ModuleDict
from torch_geometric.nn.kge import KGEModel

from torch_imf.data import NegativeLoader, QueryLoader, TripletIndex
from torch_imf.data.index import check_triples
from torch_imf.evaluation.ranking import metrics, rank_tails
from torch_imf.nn.fusion import DecisionFusion
from torch_imf.nn.models.checks import make_loss
from torch_imf.nn.models.sampled import SampledLoss
from torch_imf.nn.models.views import ViewScoring
from torch_imf.nn.scorer import Scorer
from torch_imf.registry import Recorded
from torch_imf.sampler import Sampler
from torch_imf.sampler.base import Objective


class MultimodalKGE(Recorded, ViewScoring, KGEModel):
    r"""An abstract base class of knowledge graph embedding models that score
    an entity in one or several *views* (:obj:`'struct'`, each modality,
    :obj:`'fused'`), each with its own scorer. It is a drop-in for
    :obj:`torch_geometric.nn.kge`, trained against all entities at once (1-N).

    A sub-class implements :meth:`encode`.

    Args:
        num_nodes (int): The number of entities.
        num_relations (int): The number of base relations. The inverse of
            relation :obj:`r` is :obj:`r + num_relations`
            (:class:`~torch_imf.transforms.AddInverse`).
        hidden_channels (int): Size of entity embeddings.
        scorers (dict[str, Scorer]): The scorer of each view.
        decision (DecisionFusion, optional): The fusion of the predictions of
            several views. (default: :obj:`None`)
        shared_relations (bool, optional): If set to :obj:`False`, each view
            has relation embeddings of its own. (default: :obj:`True`)
        loss (str or SampledLoss, optional): The 1-N loss of each view,
            :obj:`"bce"` (summed over candidates) or :obj:`"ce"`, or a loss
            against sampled negatives. (default: :obj:`"bce"`)
        label_smoothing (float, optional): Label smoothing of the
            :obj:`"bce"` loss. (default: :obj:`0.`)
        regularization (float, optional): The weight of the regulariser of
            queries and keys (:meth:`~torch_imf.nn.dura_loss`).
            (default: :obj:`0.`)
        tie_inverses (bool, optional): If set to :obj:`True`, inverse relations
            are those of the scorer, without embeddings of their own.
            (default: :obj:`False`)

    Raises:
        ValueError: If a size is not positive, or the loss invalid.
        NotImplementedError: If a scorer does not tie inverse relations.
    """

    def __init__(
        self,
        num_nodes: int,
        num_relations: int,
        hidden_channels: int,
        scorers: dict[str, Scorer],
        decision: DecisionFusion | None = None,
        shared_relations: bool = True,
        loss: str | SampledLoss = "bce",
        label_smoothing: float = 0.0,
        regularization: float = 0.0,
        tie_inverses: bool = False,
    ) -> None:
        if min(num_nodes, num_relations, hidden_channels) < 1:
            raise ValueError(
                f"'num_nodes', 'num_relations' and 'hidden_channels' need to be positive "
                f"(got {num_nodes}, {num_relations} and {hidden_channels})"
            )
        super().__init__(num_nodes, num_relations, hidden_channels)
        self.views = list(scorers)
        self.scorers = ModuleDict(scorers)  # type: ignore[assignment]
        self.decision = decision
        self.loss_fn = make_loss(loss, label_smoothing, regularization)
        # One table serves all views, or one each; inverse relations have rows of their own, or the
        # scorer gives them:
        size = (1 if tie_inverses else 2) * num_relations
        rel_channels = next(iter(scorers.values())).rel_channels
        self.rel_emb = (
            Embedding(size, rel_channels)
            if shared_relations
            else ModuleDict({view: Embedding(size, rel_channels) for view in self.views})
        )
        for scorer in scorers.values() if tie_inverses else []:
            scorer.invert(torch.zeros(1, rel_channels))  # Raises, if there are none.

    def reset_parameters(self) -> None:
        r"""Resets all learnable parameters of the module."""
        torch.nn.init.xavier_normal_(self.node_emb.weight)
        for view, scorer in self.scorers.items():
            scorer.reset_parameters()
            scorer.reset_relations(self._rel_emb(view).weight.data)
        if self.decision is not None:
            self.decision.reset_parameters()

    # The protocol of torch_geometric.nn.kge ######################################################

    def forward(self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor) -> Tensor:
        r"""Scores triples of shape :obj:`[B]` each, giving :obj:`[B]`."""
        query = self.query(self.encode(head_index), rel_type)
        key = self.key(self.encode(tail_index))
        return self.similarity(query, {v: k.unsqueeze(1) for v, k in key.items()}).squeeze(1)

    @property
    def prediction_buffers(self) -> list[str]:
        r"""The names of the buffers that predictions need and that no
        checkpoint has.
        """
        return []

    @torch.no_grad()
    def predict(
        self, head_index: Tensor, rel_type: Tensor, return_views: bool = False
    ) -> Tensor | tuple[Tensor, dict[str, Tensor], dict[str, float]]:
        r"""Scores every entity as tail of each query.

        Args:
            head_index (torch.Tensor): The head indices, of shape :obj:`[B]`.
            rel_type (torch.Tensor): The relation types, of shape :obj:`[B]`,
                in :obj:`[0, 2 * num_relations)`.
            return_views (bool, optional): If set to :obj:`True`, also returns
                the scores of each view, and its weight in decision fusion.
                (default: :obj:`False`)

        Returns:
            The scores, of shape :obj:`[B, N]`.
        """
        check_triples(head_index, rel_type, head_index, self.num_nodes, 2 * self.num_relations)
        z = self.encode()
        query = self.query({view: x[head_index] for view, x in z.items()}, rel_type)
        score_dict = self.view_similarity(query, self.key(z))
        score = self.fuse(score_dict)
        return (score, score_dict, self.view_weights()) if return_views else score

    def loss(self, head_index: Tensor, rel_type: Tensor, *target: Tensor) -> Tensor:
        r"""Computes the loss of a batch of queries.

        Args:
            head_index (torch.Tensor): The head indices, of shape :obj:`[B]`.
            rel_type (torch.Tensor): The relation types, of shape :obj:`[B]`.
            *target (torch.Tensor): For a 1-N loss, the positives
                :obj:`pos_index`, of shape :obj:`[2, P]` (row: query, column:
                tail), or one tail per query, of shape :obj:`[B]`. For a
                sampled one, :obj:`tail_index`, of shape :obj:`[B]`, and
                :obj:`neg_index`, of shape :obj:`[B, K]`.
        """
        return self.view_loss(self.encode(), head_index, rel_type, *target)

    def view_loss(
        self, z: dict[str, Tensor], head_index: Tensor, rel_type: Tensor, *target: Tensor
    ) -> Tensor:
        r"""The joint loss of all views (Eq. 9-10 of IMF), given the
        representations :obj:`z` of all entities. The :obj:`"bce"` loss is
        :math:`N` times that of Eq. 9: summed over candidates.
        """
        query = self.query({v: F.embedding(head_index, x) for v, x in z.items()}, rel_type)
        if len(target) == 1 and target[0].dim() == 1:
            row = torch.arange(target[0].numel(), device=target[0].device)
            target = (torch.stack([row, target[0]]),)
        key = self.key(z)
        losses = {
            view: self.loss_fn(scorer, query[view], key[view], *target)
            for view, scorer in self.scorers.items()
        }
        return losses[self.views[0]] if self.decision is None else self.decision.loss(losses)

    def loader(
        self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor, **kwargs: Any
    ) -> QueryLoader | NegativeLoader:
        r"""Returns a mini-batch loader over the given triples, which need to
        hold inverse triples too: over their queries, or over triples with
        negatives, as the loss needs.

        Args:
            head_index (torch.Tensor): The head indices, of shape :obj:`[E]`.
            rel_type (torch.Tensor): The relation types, of shape :obj:`[E]`.
            tail_index (torch.Tensor): The tail indices, of shape :obj:`[E]`.
            **kwargs (optional): Arguments of
                :class:`~torch_imf.data.QueryLoader` or
                :class:`~torch_imf.data.NegativeLoader`, such as
                :obj:`batch_size` or :obj:`shuffle`.

        Raises:
            ValueError: If an id is out of range.
        """
        check_triples(head_index, rel_type, tail_index, self.num_nodes, 2 * self.num_relations)
        return self.loss_fn.loader(head_index, rel_type, tail_index, self.num_nodes, **kwargs)

    @torch.no_grad()
    def test(
        self,
        head_index: Tensor,
        rel_type: Tensor,
        tail_index: Tensor,
        batch_size: int = 1024,
        k: int = 10,
        log: bool = True,
        index: TripletIndex | None = None,
    ) -> tuple[float, float, float]:
        r"""Ranks the tails of the given triples among all entities, with
        PyG's signature. :meth:`torch_imf.evaluate` ranks both sides and knows
        what to filter by itself.

        Args:
            head_index (torch.Tensor): The head indices, of shape :obj:`[E]`.
            rel_type (torch.Tensor): The relation types, of shape :obj:`[E]`.
            tail_index (torch.Tensor): The tail indices, of shape :obj:`[E]`.
            batch_size (int, optional): Number of triples to rank at once.
                (default: :obj:`1024`)
            k (int, optional): The :math:`k` in Hits@:math:`k`.
                (default: :obj:`10`)
            log (bool, optional): If set to :obj:`False`, shows no progress
                bar. (default: :obj:`True`)
            index (TripletIndex, optional): The known facts to filter by; an
                empty one gives unfiltered ranks. If :obj:`None`, the given
                triples. (default: :obj:`None`)

        Returns:
            Mean rank (from 1), mean reciprocal rank, and Hits@:math:`k`.
        """
        index = TripletIndex(head_index, rel_type, tail_index) if index is None else index
        greater, equal = rank_tails(
            self, head_index, rel_type, tail_index, index, batch_size=batch_size, progress=log
        )
        out = metrics(1 + greater + equal / 2, ks=(k,))
        return out["mr"], out["mrr"], out[f"hits@{k}"]

    @property
    def sampler(self) -> Sampler | None:
        r"""The sampler of the loss, if it was given as an object."""
        sampler = getattr(self.loss_fn, "sampler", None)
        return sampler if isinstance(sampler, Sampler) else None

    def objectives(self) -> list[Objective]:
        r"""The pairs of parameters and loss that one training step takes in
        turn: the model's own, then :meth:`other_objectives`. A loss is called
        as :meth:`loss`.
        """
        others = self.other_objectives()
        taken = {id(p) for other in others for p in other.parameters}
        own = [p for p in self.parameters() if p.requires_grad and id(p) not in taken]
        return [Objective("model", own, self.loss), *others]

    def other_objectives(self) -> list[Objective]:
        r"""The pairs of what is trained beside the model: a sampler that
        learns.
        """
        objective = None if self.sampler is None else self.sampler.objective(self.score)
        return [] if objective is None else [objective]
