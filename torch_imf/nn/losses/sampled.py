from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from torch_imf.data import NegativeLoader, TripletIndex
from torch_imf.data.distributed import mean
from torch_imf.nn.functional import gather_similarity, self_adversarial_loss
from torch_imf.nn.losses.base import Loss
from torch_imf.nn.losses.regularizer import Facts
from torch_imf.nn.scorer import Scorer
from torch_imf.registry import resolve
from torch_imf.sampler import Sampler


class Sampled(Loss):
    r"""The loss of facts against sampled negatives, by :meth:`~torch_imf.nn.self_adversarial_loss`;
    by the name of :obj:`"soft_margin"` with a temperature of zero, which weights all alike.
    A model trained with it loads facts with negatives, both of which change from epoch to epoch.

    Args:
        num_negatives (int, optional): The negatives :math:`K` per fact, of a sampler given by name.
            (default: :obj:`64`)
        temperature (float, optional): The temperature :math:`\beta` of self-adversarial weights.
            (default: :obj:`1.`)
        sampler (str or Sampler, optional): The sampler, by name or class, which draws no training
            fact, or as an object, which one that learns or adapts needs to be: it is part of the
            model. (default: :obj:`"uniform"`)
    """

    aliases: ClassVar[dict] = {"sampled": {}, "soft_margin": {"temperature": 0.0}}
    is_sparse = True

    def __init__(
        self,
        num_negatives: int = 64,
        temperature: float = 1.0,
        sampler: str | type[Sampler] | Sampler = "uniform",
    ) -> None:
        super().__init__()
        if not temperature >= 0:
            raise ValueError(f"'temperature' cannot be negative (got {temperature})")
        if isinstance(sampler, Sampler) and num_negatives not in (64, sampler.num_negatives):
            got = f"'num_negatives' is {num_negatives}, but that of the sampler"
            raise ValueError(f"{got} {sampler.num_negatives}. Give it to the sampler alone")
        self.num_negatives = num_negatives
        self.temperature = temperature
        self.sampler = sampler

    def forward(self, scorer: Scorer, query: Tensor, key: Tensor, *target: Tensor) -> Tensor:
        r"""Computes the loss of queries with a tail each :obj:`[B]`, and negatives :obj:`[B, K]`
        (:obj:`-1` for none).
        """
        tail_index, neg_index = target
        pos_score = scorer.similarity(query, key[tail_index].unsqueeze(1)).squeeze(1)
        shared = shared_negatives(neg_index)
        if shared is None:
            neg_score = gather_scores(scorer, query, key, neg_index.clamp(min=0))
        else:
            neg_score = chunk_scores(scorer, query, key, *shared)
        return self.compare(pos_score, neg_score, neg_index)

    def compare(self, pos_score: Tensor, neg_score: Tensor, neg_index: Tensor) -> Tensor:
        r"""Computes the loss from scores of facts :obj:`[B]` and negatives :obj:`[B, K]`."""
        loss = self_adversarial_loss(pos_score, neg_score, self.temperature, neg_index >= 0)
        return mean(loss, pos_score.numel())

    def loader(self, facts: Facts, num_nodes: int, **kwargs: Any) -> NegativeLoader:
        sizes = {"num_nodes": num_nodes, "num_negatives": self.num_negatives}
        sampler = self.sampler
        if not isinstance(sampler, Sampler):
            message = f"A sampler that learns or adapts needs to be an object (got '{sampler}')"
            try:
                sampler = resolve("sampler", sampler, **sizes, index=TripletIndex(*facts))
            except TypeError as error:  # It needs more than these.
                raise ValueError(message) from error
            if sampler.state_dict():
                raise ValueError(message)
        if sampler.num_nodes != num_nodes:
            size = sampler.num_nodes
            raise ValueError(f"The sampler draws of {size} entities (expected {num_nodes})")
        return NegativeLoader(*facts, sampler, **kwargs)

    def sample(
        self, num_nodes: int, head_index: Tensor, rel_type: Tensor, *target: Tensor
    ) -> tuple[Tensor | None, tuple[Tensor, ...]]:
        index, (head_index, *target) = self.touched(num_nodes, head_index, *target)  # type: ignore
        return index, (head_index, rel_type, *target)

    def facts(self, head_index: Tensor, rel_type: Tensor, *target: Tensor) -> Facts:
        return head_index, rel_type, target[0]

    def __repr__(self) -> str:
        args = f"num_negatives={self.num_negatives}, temperature={self.temperature}"
        return f"{self.__class__.__name__}({args}, sampler={self.sampler!r})"


class MarginRanking(Sampled):
    r"""The loss of facts against sampled negatives of TransE and the models that follow it, by
    name :obj:`"margin"`, here averaged over the negatives of a fact:

    .. math::
        \mathcal{L} = \frac{1}{K} \sum_{i=1}^K \max \{ 0, \gamma - s^+ + s^-_i \}

    A margin of the scorer itself cancels.

    Args:
        num_negatives, sampler: See :class:`Sampled`. In the papers, there is one negative.
            (default: :obj:`1`, :obj:`"uniform"`)
        margin (float, optional): The margin :math:`\gamma`, positive. (default: :obj:`1.`)
    """

    aliases: ClassVar[dict] = {"margin": {}}

    def __init__(
        self,
        num_negatives: int = 1,
        margin: float = 1.0,
        sampler: str | type[Sampler] | Sampler = "uniform",
    ) -> None:
        super().__init__(num_negatives, 0.0, sampler)
        if not margin > 0:
            raise ValueError(f"'margin' needs to be positive (got {margin})")
        self.margin = margin

    def compare(self, pos_score: Tensor, neg_score: Tensor, neg_index: Tensor) -> Tensor:
        hinge = (self.margin - pos_score.unsqueeze(1) + neg_score).relu()
        mask = neg_index >= 0
        loss = ((hinge * mask).sum(dim=-1) / mask.sum(dim=-1).clamp(min=1)).mean()
        return mean(loss, pos_score.numel())

    def __repr__(self) -> str:
        args = f"num_negatives={self.num_negatives}, margin={self.margin}"
        return f"{self.__class__.__name__}({args}, sampler={self.sampler!r})"


def gather_scores(scorer: Scorer, query: Tensor, key: Tensor, key_index: Tensor) -> Tensor:
    r"""Scores queries :obj:`[B, Q]` against keys of their own :obj:`[B, K]`."""
    parameters = tuple(p for p in scorer.parameters() if p.requires_grad)
    return gather_similarity(scorer.similarity, query, key, key_index, parameters)


def shared_negatives(neg_index: Tensor) -> tuple[Tensor, int] | None:
    r"""Returns the negatives that the facts of each chunk share, of shape :obj:`[ceil(B / C), K]`,
    and the size :math:`C` of chunks (as many facts as agree with the first), if they share any.
    """
    if neg_index.numel() == 0:
        return None
    few = neg_index[:, :8]  # Enough to tell chunks apart; whether all agree is seen below.
    differs = (few != few[:1]) & (few >= 0) & (few[:1] >= 0)
    size = int(differs.flatten().byte().argmax()) // few.size(1) or neg_index.size(0)
    if size == 1:
        return None
    shared = torch.stack([chunk.max(dim=0).values for chunk in neg_index.split(size)]).clamp(min=0)
    row = torch.arange(neg_index.size(0), device=neg_index.device) // size
    is_shared = (neg_index < 0) | (neg_index == shared[row])
    return (shared, size) if bool(is_shared.all()) else None


def chunk_scores(scorer: Scorer, query: Tensor, key: Tensor, shared: Tensor, size: int) -> Tensor:
    r"""Scores queries against the keys :obj:`[ceil(B / C), K]` of their chunk: the backward pass
    computes scores again, rather than to store what they were made of.
    """
    # Keys are gathered at once, as each time has a gradient of the size of all:
    pairs = zip(query.split(size), key[shared].unbind(), strict=True)
    if scorer.dot_product or not scorer.stores_pairs:
        return torch.cat([scorer.similarity(*pair) for pair in pairs])
    return torch.cat([checkpoint(scorer.similarity, *x, use_reentrant=False) for x in pairs])
