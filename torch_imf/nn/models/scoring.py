import torch
from torch import Tensor

from torch_imf.data import TripletIndex
from torch_imf.data.index import check_triples
from torch_imf.evaluation.ranking import inference, metrics, rank_tails
from torch_imf.nn.fusion.base import Tensors
from torch_imf.registry import Recorded


class ViewModel(Recorded, torch.nn.Module):
    r"""An abstract base class of whatever scores all entities for a query in one or several *views*
    and joins these: the contract of :class:`~torch_imf.nn.Scorer` with one entry per view.
    """

    num_nodes: int
    num_relations: int
    #: The names of the views.
    views: list[str]
    #: Digests of the names and facts that it was trained with, once it is.
    known_names: dict[str, str]

    # Representations and scores ##################################################################

    def encode(self, index: Tensor | None = None) -> Tensors:
        r"""Represents the entities :obj:`index`, or all, as :obj:`[*, C]` in each view."""
        raise NotImplementedError

    def query(self, head: Tensors, rel_type: Tensor) -> Tensors:
        r"""Encodes queries from their heads :obj:`[B, C]` per view and relations :obj:`[B]`."""
        raise NotImplementedError

    def key(self, tail: Tensors) -> Tensors:
        r"""Encodes candidates, of shape :obj:`[*, C]` per view."""
        raise NotImplementedError

    def view_similarity(self, query: Tensors, key: Tensors) -> Tensors:
        r"""The scores of :meth:`similarity` in each view."""
        raise NotImplementedError

    def fuse(self, score_dict: Tensors) -> Tensor:
        r"""Joins the scores of all views."""
        raise NotImplementedError

    def view_weights(self) -> dict[str, float]:
        r"""The weight of each view in :meth:`fuse`; those of a model sum to one."""
        raise NotImplementedError

    def view_masks(self) -> Tensors:
        r"""Which entities :obj:`[N]` have the modality of each view that stands for one."""
        return {}

    def similarity(self, query: Tensors, key: Tensors) -> Tensor:
        r"""Scores queries :obj:`[B, Q]` per view against keys :obj:`[N, Q]` or :obj:`[B, K, Q]` per
        view, giving :obj:`[B, N]` or :obj:`[B, K]`.
        """
        return self.fuse(self.view_similarity(query, key))

    def pair_similarity(self, query: Tensors, tail: Tensors) -> Tensor:
        r"""Scores queries against one tail each, giving :obj:`[B]`."""
        key = {view: x.unsqueeze(1) for view, x in self.key(tail).items()}
        return self.similarity(query, key).squeeze(1)

    # The protocol of torch_geometric.nn.kge ######################################################

    def forward(self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor) -> Tensor:
        r"""Scores triples :obj:`[B]`, giving :obj:`[B]`."""
        query = self.query(self.encode(head_index), rel_type)
        return self.pair_similarity(query, self.encode(tail_index))

    def predict(
        self, head_index: Tensor, rel_type: Tensor, return_views: bool = False
    ) -> Tensor | tuple[Tensor, Tensors, dict[str, float]]:
        r"""Scores every entity as tail of each query :obj:`[B]`, giving :obj:`[B, N]`, as in
        evaluation mode. If :obj:`return_views` is set, also returns the scores of each view, and
        its weight.
        """
        check_triples(head_index, rel_type, head_index, self.num_nodes, 2 * self.num_relations)
        with inference(self) as model:
            z = model.encode()
            query = model.query({view: x[head_index] for view, x in z.items()}, rel_type)
            score_dict = model.view_similarity(query, model.key(z))
            score = model.fuse(score_dict)
            return (score, score_dict, model.view_weights()) if return_views else score

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
        r"""Ranks the tails of triples :obj:`[E]` among all entities, and returns their mean rank
        (from 1), mean reciprocal rank, and Hits@:obj:`k`. Facts of :obj:`index`, or else the given
        ones, are filtered. :meth:`torch_imf.evaluate` ranks both sides, and knows what to filter.
        """
        facts = head_index, rel_type, tail_index
        index = TripletIndex(*facts) if index is None else index
        greater, equal = rank_tails(self, *facts, index, batch_size=batch_size, progress=log)
        out = metrics(1 + greater + equal / 2, ks=(k,))
        return out["mr"], out["mrr"], out[f"hits@{k}"]
