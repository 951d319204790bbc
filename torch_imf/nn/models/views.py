from typing import Any

import torch.nn.functional as F
from torch import Tensor
from torch.nn import Embedding

from torch_imf.nn.functional.grouped_mm import group_by_size
from torch_imf.nn.fusion import DecisionFusion
from torch_imf.nn.models.sampled import gather_scores
from torch_imf.nn.scorer import Scorer


class ViewScoring:
    r"""The scoring contract of :class:`~torch_imf.nn.scorer.Scorer` for models,
    with one entry per view: :meth:`query` and :meth:`key` encode what
    :meth:`encode` returns, and :meth:`similarity` compares them, so that every
    candidate is encoded once however many queries there are.
    """

    views: list[str]
    scorers: dict[str, Scorer]
    decision: DecisionFusion | None
    rel_emb: Any
    num_relations: int

    def encode(self, index: Tensor | None = None) -> dict[str, Tensor]:
        r"""Represents entities in every view.

        Args:
            index (torch.Tensor, optional): The entities, of any shape. If
                :obj:`None`, all entities. (default: :obj:`None`)

        Returns:
            The representations, of shape :obj:`[*, C]` per view.
        """
        raise NotImplementedError

    def query(self, head: dict[str, Tensor], rel_type: Tensor) -> dict[str, Tensor]:
        r"""Encodes queries from the representations of their heads, of shape
        :obj:`[B, C]` per view, and their relation types, of shape :obj:`[B]`.
        """
        distinct, group = group_by_size(rel_type)
        return {
            view: scorer.grouped_query(head[view], self.relation(view, distinct), group)
            for view, scorer in self.scorers.items()
        }

    def relation(self, view: str, rel_type: Tensor) -> Tensor:
        r"""Embeds relation types, of shape :obj:`[B]`, in a view, giving
        :obj:`[B, C_r]`. Inverses that have no embeddings are the scorer's.
        """
        emb = self._rel_emb(view)
        if emb.num_embeddings > self.num_relations:
            return emb(rel_type)
        is_inverse = rel_type >= self.num_relations
        # No modulo, so that the table raises for a relation that is not there:
        rel = emb((rel_type - self.num_relations).where(is_inverse, rel_type))
        return self.scorers[view].invert(rel).where(is_inverse.unsqueeze(-1), rel)

    def key(self, tail: dict[str, Tensor]) -> dict[str, Tensor]:
        r"""Encodes candidates from their representations, of shape
        :obj:`[*, C]` per view.
        """
        return {view: scorer.key(tail[view]) for view, scorer in self.scorers.items()}

    def similarity(self, query: dict[str, Tensor], key: dict[str, Tensor]) -> Tensor:
        r"""Scores queries, :obj:`[B, Q]` per view, against keys,
        :obj:`[N, Q]` or :obj:`[B, K, Q]` per view, over all views: of shape
        :obj:`[B, N]` or :obj:`[B, K]`.
        """
        return self.fuse(self.view_similarity(query, key))

    def view_similarity(
        self, query: dict[str, Tensor], key: dict[str, Tensor]
    ) -> dict[str, Tensor]:
        r"""The scores of :meth:`similarity` in each view."""
        return {v: scorer.similarity(query[v], key[v]) for v, scorer in self.scorers.items()}

    def score(self, head_index: Tensor, rel_type: Tensor, key_index: Tensor) -> Tensor:
        r"""Scores candidates of their own for each query. All entities are
        encoded once, so this is for many candidates in all, as of a batch of
        negatives; keys of candidates are never stored.

        Args:
            head_index (torch.Tensor): The head indices, of shape :obj:`[B]`.
            rel_type (torch.Tensor): The relation types, of shape :obj:`[B]`.
            key_index (torch.Tensor): The candidates, of shape :obj:`[B, K]`.

        Returns:
            The scores, of shape :obj:`[B, K]`.
        """
        z = self.encode()
        query = self.query({v: F.embedding(head_index, x) for v, x in z.items()}, rel_type)
        key = self.key(z)
        return self.fuse(
            {v: gather_scores(x, query[v], key[v], key_index) for v, x in self.scorers.items()}
        )

    def fuse(self, score_dict: dict[str, Tensor]) -> Tensor:
        r"""Joins the scores of all views (Eq. 11 of IMF)."""
        if self.decision is None:
            return score_dict[self.views[0]]
        return self.decision(score_dict)

    def view_weights(self) -> dict[str, float]:
        r"""The weight of each view in :meth:`fuse`; they sum to one."""
        if self.decision is None:
            return {self.views[0]: 1.0}
        return dict(zip(self.views, self.decision.weight().tolist(), strict=True))

    def _rel_emb(self, view: str) -> Embedding:
        emb: Any = self.rel_emb
        return emb if isinstance(emb, Embedding) else emb[view]
