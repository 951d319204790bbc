import math
from typing import Any, ClassVar

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor

from torch_imf.data import QueryLoader
from torch_imf.data.distributed import gather, gathered, holds_some, mean, sharing, summed, total
from torch_imf.data.index import mark
from torch_imf.nn.functional import linear_bce_loss, linear_ce_loss
from torch_imf.nn.losses.base import Loss
from torch_imf.nn.losses.regularizer import Facts, FactTerm, Regularizer
from torch_imf.nn.scorer import Scorer
from torch_imf.registry import resolve


class OneToN(Loss):
    r"""The loss of queries against all candidates at once, by name :obj:`"bce"` or :obj:`"ce"`: by
    :meth:`~torch_imf.nn.linear_bce_loss` or :meth:`~torch_imf.nn.linear_ce_loss` where the
    similarity is a product.

    Args:
        loss (str, optional): :obj:`"bce"`, the binary cross-entropy, averaged over queries, or
            :obj:`"ce"`, the softmax cross-entropy, averaged over facts. (default: :obj:`"bce"`)
        label_smoothing (float, optional): That of :obj:`"bce"`, in :obj:`[0, 1)`. (default:
            :obj:`0.`)
        regularizer (str or Regularizer, optional): What is added for queries and keys, or for the
            embeddings of facts. (default: :obj:`None`)
        auxiliary (str or FactTerm, optional): A further term for facts, such as
            :class:`RelationPrediction`. (default: :obj:`None`)
        num_candidates (int, optional): The number :math:`M` of entities that a batch of :obj:`"ce"`
            is compared with, beside the :math:`K` heads and tails of its facts. They are drawn
            for each batch, and those drawn count :math:`(N - K) / M` times in the softmax,
            whose denominator is then right on average. A model encodes no others. If :obj:`None`,
            it is all. (default: :obj:`None`)
        seen_only (bool, optional): Whether :obj:`"ce"` compares with entities that are in a fact to
            train on alone. All others are only ever false, which features would learn to tell them
            by: for entities that are new (:meth:`~torch_imf.data.inductive_split`). (default:
            :obj:`False`)
        reduction (str, optional): What :obj:`"bce"` is over candidates: :obj:`"sum"`, or
            :obj:`"mean"`, as Eq. 9 of IMF is printed, whose gradients are near Adam's epsilon on
            large graphs. (default: :obj:`"sum"`)
        spread (float, optional): What smoothing adds to the labels of all candidates together. If
            :obj:`None`, as much as it takes from positives; the released code of IMF adds one.
            (default: :obj:`None`)
        resample_every (int, optional): How many batches share the :obj:`num_candidates` that are
            drawn, which costs less for each. (default: :obj:`1`)
    """

    aliases: ClassVar[dict] = {"bce": {"loss": "bce"}, "ce": {"loss": "ce"}}

    def __init__(
        self,
        loss: str = "bce",
        label_smoothing: float = 0.0,
        regularizer: str | type[Regularizer] | Regularizer | None = None,
        auxiliary: str | type[FactTerm] | FactTerm | None = None,
        num_candidates: int | None = None,
        seen_only: bool = False,
        reduction: str = "sum",
        spread: float | None = None,
        resample_every: int = 1,
    ) -> None:
        super().__init__()
        if loss not in {"bce", "ce"}:
            raise ValueError(f"Invalid 'loss' argument (got '{loss}', choose 'bce' or 'ce')")
        if not 0 <= label_smoothing < 1:
            raise ValueError(f"'label_smoothing' needs to be in [0, 1) (got {label_smoothing})")
        if reduction not in {"sum", "mean"}:
            raise ValueError(f"'reduction' needs to be 'sum' or 'mean' (got '{reduction}')")
        if spread is not None and not 0 <= spread <= 1:
            raise ValueError(f"'spread' needs to be in [0, 1] (got {spread})")
        if loss != "ce" and (seen_only or num_candidates is not None):
            name = "seen_only" if seen_only else "num_candidates"
            raise ValueError(f"'{name}' needs 'loss' to be 'ce' (got '{loss}')")
        if resample_every > 1 and num_candidates is None:
            raise ValueError(f"'resample_every={resample_every}' needs 'num_candidates'")
        self.resample_every = resample_every
        self._drawn: Tensor | None = None  # What batches share, and how many have done so.
        self._num_shared = 0
        self.loss = loss
        self.is_binary = loss == "bce"
        self.label_smoothing = label_smoothing
        self.num_candidates = num_candidates
        self.seen_only = seen_only
        self._seen: Tensor | None = None  # As a mask, if there are others.
        self.reduction = reduction
        self.spread = label_smoothing if spread is None else spread
        self.regularizer: Regularizer | None = None
        if regularizer is not None:
            self.regularizer = resolve("regularizer", regularizer)
        self.auxiliary: FactTerm | None = None
        if auxiliary is not None:
            self.auxiliary = resolve("regularizer", auxiliary)

    def forward(self, scorer: Scorer, query: Tensor, key: Tensor, *target: Tensor) -> Tensor:
        r"""Computes the loss of queries with distinct positives :obj:`[2, P]` (row: query, column:
        key), or one each :obj:`[B]`, and what :meth:`sample` adds to the scores of each key, if it
        draws any. A model adds the :obj:`terms` of facts.
        """
        pos_index, bias = _positives(target[0]), target[1] if len(target) > 1 else None
        if holds_some() and not self.is_sparse:
            return self._of_shards(scorer, query, key, pos_index)
        count = torch.bincount(pos_index[0], minlength=query.size(0))
        num_facts = pos_index.size(1)
        loss = self._loss(scorer, query, key, pos_index, count, bias)
        loss = mean(loss, num_facts if self.loss == "ce" else query.size(0))
        if self.regularizer is None or isinstance(self.regularizer, FactTerm):
            return loss
        return loss + mean(self.regularizer(query, key, pos_index, count), num_facts)

    def loader(self, facts: Facts, num_nodes: int, **kwargs: Any) -> QueryLoader:
        self._seen = None
        if self.seen_only:
            seen = mark(torch.cat(facts[::2]), num_nodes)
            self._seen = None if bool(seen.all()) else seen
        return QueryLoader(*facts, **kwargs)

    @property
    def is_sparse(self) -> bool:  # type: ignore[override]
        return self.num_candidates is not None

    def sample(
        self, num_nodes: int, head_index: Tensor, rel_type: Tensor, *target: Tensor
    ) -> tuple[Tensor | None, tuple[Tensor, ...]]:
        if self.num_candidates is None and self._seen is None:
            return super().sample(num_nodes, head_index, rel_type, *target)
        row, tail_index = _positives(target[0])
        num_others = num_nodes if self._seen is None else int(self._seen.sum())
        if self.resample_every > 1 and num_others > (self.num_candidates or num_others):
            known = torch.cat([head_index, tail_index])
            every = torch.cat([known, self._shared(num_nodes).to(known.device)])
            index, position = every.unique(return_inverse=True)
            head_index, tail_index, _ = position.tensor_split([len(head_index), len(known)])
            is_known = mark(position[: len(known)], index.numel())
            num_drawn = int((~is_known).sum())
            num_others -= index.numel() - num_drawn
            bias = math.log(max(num_others, 1) / max(num_drawn, 1)) * (~is_known).float()
            return index, (head_index, rel_type, torch.stack([row, tail_index]), bias)
        is_known = mark(torch.cat([head_index, tail_index]), num_nodes)
        others = (~is_known if self._seen is None else self._seen & ~is_known).nonzero().squeeze(1)
        drawn = others
        if self.num_candidates is not None and others.numel() > self.num_candidates:
            drawn = others[torch.randperm(others.numel())[: self.num_candidates].to(others.device)]
        elif self._seen is None and not holds_some():
            return super().sample(num_nodes, head_index, rel_type, *target)
        is_in = is_known.index_fill(0, drawn, True)
        index, position = is_in.nonzero().squeeze(1), is_in.cumsum(0) - 1
        count = math.log(max(others.numel(), 1) / max(drawn.numel(), 1))
        bias = count * (~is_known[index]).float()
        pos_index = torch.stack([row, position[tail_index]])
        return index, (position[head_index], rel_type, pos_index, bias)

    def train(self, mode: bool = True) -> "OneToN":
        r"""Sets the mode, and lets the epoch that begins draw candidates anew, also if it goes on
        from a checkpoint.
        """
        self._num_shared = 0
        return super().train(mode)

    def _shared(self, num_nodes: int) -> Tensor:
        # What is drawn of all entities, or of those that are in a fact.
        if self._drawn is None or self._num_shared % self.resample_every == 0:
            size = num_nodes if self._seen is None else int(self._seen.sum())
            drawn = torch.randperm(size)[: self.num_candidates]
            seen = None if self._seen is None else self._seen.nonzero().squeeze(1)
            self._drawn = drawn if seen is None else seen[drawn.to(seen.device)]
        self._num_shared += 1
        return self._drawn

    def facts(self, head_index: Tensor, rel_type: Tensor, *target: Tensor) -> Facts:
        row, tail_index = _positives(target[0])
        return head_index[row], rel_type[row], tail_index

    def _of_shards(self, scorer: Scorer, query: Tensor, key: Tensor, pos_index: Tensor) -> Tensor:
        # Of the queries of all processes against the keys that each of them holds. What is reduced
        # is of the size of queries.
        shard: Any = sharing().shard  # type: ignore[union-attr]
        every, (row, own_col) = gather(query), pos_index
        sizes = gathered(row.new_tensor([query.size(0)]))
        row = row + sizes[: shard.rank].sum()
        row, col = gathered(torch.stack([row, own_col], dim=1)).t()
        count = torch.bincount(row, minlength=every.size(0))
        here = shard.own(col)
        near = torch.stack([row[here], col[here] - shard.start])
        part = len(shard) / shard.num_nodes
        if self.loss == "bce":
            loss = self._loss(scorer, every, key, near, count, None, part)
            loss = total(loss if self.reduction == "sum" else loss * part)
        elif scorer.dot_product:
            loss = linear_ce_loss(every, key, near, count, count=count)
        else:
            score = scorer.similarity(every, key)  # [B, N / P]
            score = score.to(torch.promote_types(score.dtype, torch.float32))
            top = summed(score.detach().amax(dim=-1), dist.ReduceOp.MAX)
            log_sum = top + total((score - top.unsqueeze(-1)).exp().sum(dim=-1)).log()
            hits = total(score[near[0], near[1]].sum())
            loss = ((log_sum * count).sum() - hits) / max(row.numel(), 1)
        if self.regularizer is None or isinstance(self.regularizer, FactTerm):
            return loss
        index, col = own_col.unique(return_inverse=True)
        tail = shard.fetch(lambda i: {"key": key[i]}, index)["key"]
        count = torch.bincount(pos_index[0], minlength=query.size(0))
        term = self.regularizer(query, tail, torch.stack([pos_index[0], col]), count)
        return loss + mean(term, col.numel())

    def _loss(
        self,
        scorer: Scorer,
        query: Tensor,
        key: Tensor,
        pos_index: Tensor,
        count: Tensor,
        bias: Tensor | None,
        part: float = 1.0,
    ) -> Tensor:
        # Of keys that are some part of all.
        smoothing, size, spread = self.label_smoothing, key.size(0), part * self.spread
        scale = size if self.reduction == "sum" else 1
        if scorer.dot_product:
            if self.loss == "ce":
                return linear_ce_loss(query, key, pos_index, count, bias=bias)
            args = query, key, pos_index, smoothing, scorer.logit_bias
            return scale * linear_bce_loss(*args, spread=spread)

        score = scorer.similarity(query, key)  # [B, N]
        score = score.to(torch.promote_types(score.dtype, torch.float32))
        score = score if bias is None else score + bias
        row, col = pos_index
        if self.loss == "ce":
            return -score.log_softmax(dim=-1)[row, col].sum() / max(row.numel(), 1)
        loss = F.softplus(score).sum() - (1 - smoothing) * score[row, col].sum()
        if spread > 0:
            loss = loss - spread / size * score.sum()
        return scale * loss / score.numel()

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}('{self.loss}')"


def _positives(target: Tensor) -> Tensor:
    # Of shape [2, P], also if there is one for each query.
    if target.dim() == 2:
        return target
    return torch.stack([torch.arange(target.numel(), device=target.device), target])
