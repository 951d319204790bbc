from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from torch_imf.data import NegativeLoader, TripletIndex
from torch_imf.nn.functional import gather_similarity, self_adversarial_loss
from torch_imf.nn.scorer import Scorer
from torch_imf.registry import resolve
from torch_imf.sampler import Sampler


class SampledLoss(torch.nn.Module):
    r"""The loss of facts against sampled negatives, by
    :meth:`~torch_imf.nn.self_adversarial_loss`. A model trained with it loads
    facts with negatives, both of which change from epoch to epoch.

    Args:
        num_negatives (int, optional): The number :math:`K` of negatives per
            fact, of a sampler given by name. (default: :obj:`64`)
        temperature (float, optional): The temperature :math:`\beta` of
            self-adversarial weights. (default: :obj:`1.`)
        sampler (str or Sampler, optional): The sampler, by name
            (:obj:`"uniform"`, :obj:`"bernoulli"`, :obj:`"shared"`), which draws
            no training fact, or as an object, with an index and a number of
            negatives of its own. One that learns or adapts needs to be an
            object, and is part of the model. (default: :obj:`"uniform"`)

    Raises:
        ValueError: If an argument is out of range, a sampler given by name
            learns or adapts, or one is of other entities than the model.
    """

    def __init__(
        self,
        num_negatives: int = 64,
        temperature: float = 1.0,
        sampler: str | Sampler = "uniform",
    ) -> None:
        super().__init__()
        if num_negatives < 1:
            raise ValueError(f"'num_negatives' needs to be positive (got {num_negatives})")
        if not temperature >= 0:
            raise ValueError(f"'temperature' cannot be negative (got {temperature})")
        self.num_negatives = num_negatives
        self.temperature = temperature
        self.sampler = sampler
        self.chunk_size = 1  # How many facts share their negatives, as the loader finds.

    def forward(
        self,
        scorer: Scorer,
        query: Tensor,
        key: Tensor,
        tail_index: Tensor,
        neg_index: Tensor,
    ) -> Tensor:
        r"""Computes the loss, a scalar, of queries :obj:`[B, Q]` whose tail is
        :obj:`tail_index`, of shape :obj:`[B]`, against negatives
        :obj:`neg_index`, of shape :obj:`[B, K]` (:obj:`-1` for none), given
        all keys :obj:`[N, Q]`.
        """
        pos_score = scorer.similarity(query, key[tail_index].unsqueeze(1)).squeeze(1)
        shared = shared_negatives(neg_index, self.chunk_size)
        if shared is None:
            neg_score = gather_scores(scorer, query, key, neg_index.clamp(min=0))
        else:
            neg_score = chunk_scores(scorer, query, key, shared, self.chunk_size)
        return self_adversarial_loss(pos_score, neg_score, self.temperature, neg_index >= 0)

    def loader(
        self,
        head_index: Tensor,
        rel_type: Tensor,
        tail_index: Tensor,
        num_nodes: int,
        **kwargs: Any,
    ) -> NegativeLoader:
        r"""Returns the loader of facts and negatives."""
        sampler = self.sampler
        if isinstance(sampler, str):
            index = TripletIndex(head_index, rel_type, tail_index)
            sampler = resolve(
                "sampler",
                sampler,
                num_nodes=num_nodes,
                index=index,
                num_negatives=self.num_negatives,
            )
            if sampler.state_dict():
                raise ValueError(
                    f"A sampler that learns or adapts needs to be an object (got '{self.sampler}')"
                )
        if sampler.num_nodes != num_nodes:
            raise ValueError(
                f"The sampler draws of {sampler.num_nodes} entities (expected {num_nodes})"
            )
        self.chunk_size = getattr(sampler, "chunk_size", 1)
        return NegativeLoader(head_index, rel_type, tail_index, sampler, **kwargs)

    def facts(
        self, head_index: Tensor, rel_type: Tensor, tail_index: Tensor, *others: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        r"""Returns the facts of a batch of :meth:`loader`."""
        return head_index, rel_type, tail_index

    def __repr__(self) -> str:
        return (
            f"{self.__class__.__name__}(num_negatives={self.num_negatives}, "
            f"temperature={self.temperature}, sampler={self.sampler!r})"
        )


def gather_scores(scorer: Scorer, query: Tensor, key: Tensor, key_index: Tensor) -> Tensor:
    r"""Scores queries :obj:`[B, Q]` against the keys :obj:`key_index`, of
    shape :obj:`[B, K]`, among all keys :obj:`[N, Q]`.
    """
    parameters = tuple(p for p in scorer.parameters() if p.requires_grad)
    return gather_similarity(scorer.similarity, query, key, key_index, parameters)


def shared_negatives(neg_index: Tensor, chunk_size: int) -> Tensor | None:
    r"""Returns the negatives that the facts of each chunk share, of shape
    :obj:`[ceil(B / C), K]`, given those of each fact, of shape :obj:`[B, K]`
    (:obj:`-1` for none), or :obj:`None` if they share none.
    """
    if chunk_size == 1 or neg_index.numel() == 0:
        return None
    chunks = neg_index.split(chunk_size)
    shared = torch.stack([chunk.max(dim=0).values for chunk in chunks]).clamp(min=0)
    row = torch.arange(neg_index.size(0), device=neg_index.device) // chunk_size
    is_shared = (neg_index < 0) | (neg_index == shared[row])
    return shared if bool(is_shared.all()) else None


def chunk_scores(
    scorer: Scorer, query: Tensor, key: Tensor, shared: Tensor, chunk_size: int
) -> Tensor:
    r"""Scores queries :obj:`[B, Q]` against the keys :obj:`shared`, of shape
    :obj:`[ceil(B / C), K]`, that those of a chunk have in common: the backward
    pass computes the scores of a chunk again, rather than to store differences.
    """
    out = []
    for rows, index in zip(query.split(chunk_size), shared, strict=True):
        args = rows, key[index]
        out.append(
            scorer.similarity(*args)
            if scorer.dot_product
            else checkpoint(scorer.similarity, *args, use_reentrant=False)
        )
    return torch.cat(out)
