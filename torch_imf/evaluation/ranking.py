from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module

from torch_imf.data import TripletIndex
from torch_imf.data.distributed import Shard, shared, summed, world
from torch_imf.data.graph import is_finite
from torch_imf.data.index import check_triples
from torch_imf.io.progress import watched

#: The number of scores to compare at once on a CPU, so that they stay in its cache. Those that are
#: no products take longer, and are computed in chunks of their own.
MAX_SCORES = 2**18
#: The number of entities to encode at once.
CHUNK = 2**17
#: The number of values of keys to gather at once.
MAX_KEYS = 2**24


def rank_tails(
    model: Module,
    head_index: Tensor,
    rel_type: Tensor,
    tail_index: Tensor,
    index: TripletIndex,
    num_nodes: int | None = None,
    batch_size: int = 512,
    chunk_size: int = 2**15,
    view: str | None = None,
    progress: bool = False,
) -> tuple[Tensor, Tensor]:
    r"""Counts, for the tail of each triple, the entities that score higher and those that score the
    same, leaving out the known tails in :obj:`index` and the tail itself. It is the core of
    :meth:`torch_imf.evaluate`, whose arguments and errors it has; candidates are all entities of
    the model unless :obj:`num_nodes` is given. Returns both counts, of shape :obj:`[E]` as the
    triples. The realistic rank is :obj:`1 + greater + equal / 2`.
    """
    if head_index.numel() == 0:
        raise ValueError("There are no triples to rank")
    if min(batch_size, chunk_size) < 1:
        raise ValueError(
            f"'batch_size' and 'chunk_size' need to be positive (got {batch_size}, {chunk_size})"
        )
    views = getattr(model, "views", [])
    if view is not None and view not in views:
        raise ValueError(f"Invalid 'view' argument (got '{view}', the model has {views})")
    num_nodes = int(model.num_nodes) if num_nodes is None else num_nodes  # type: ignore[arg-type]
    num_types = 2 * int(getattr(model, "num_relations", 0)) or None  # type: ignore[arg-type]
    check_triples(head_index, rel_type, tail_index, num_nodes, num_types)

    # Each query is scored once for all of its answers. Those with most answers come first, as no
    # score needs to be copied in the many batches of queries with one answer each:
    num_rels = int(rel_type.max()) + 1
    key, group, count = (head_index.long() * num_rels + rel_type).unique(
        return_inverse=True, return_counts=True
    )
    count, order = count.sort(descending=True, stable=True)
    queries = torch.stack([key // num_rels, key % num_rels])[:, order].split(batch_size, dim=1)
    perm = order.argsort()[group].argsort(stable=True)
    row = torch.arange(order.numel(), device=order.device).repeat_interleave(count)
    num_facts = (row // batch_size).bincount().tolist()
    batches = list(zip(queries, perm.split(num_facts), row.split(num_facts), strict=True))
    greater = torch.zeros(row.numel(), device=row.device)
    equal = torch.zeros_like(greater)
    shard: Shard | None = getattr(model, "shard", None)
    with inference(model) as model, shared(shard):
        streams = hasattr(model, "similarity")
        scorer: Any = StreamedScores(model, view) if streams else _Dense(model, num_nodes)
        is_small = head_index.device.type == "cpu" and not scorer.in_chunks
        limit = MAX_SCORES if is_small else batch_size * chunk_size
        rank, size = world()  # Processes share candidates, if each holds some, or else queries.
        own = batches if shard else batches[rank::size]
        for query, facts, row in watched(own, "Ranking", progress):
            score_fn = partial(scorer.score, scorer.query(*query))
            answers = row - row[0], tail_index[facts], index(*query)
            sizes = num_nodes, chunk_size, limit
            greater[facts], equal[facts] = _count(score_fn, *answers, *sizes, shard)
    greater, equal = summed(torch.stack([greater, equal]))
    # A tail that is no known fact does not leave by the filter, so it does by hand:
    equal -= (~index.contains(head_index, rel_type, tail_index)).to(equal.dtype)
    return greater, equal


def rank_given(
    model: Module,
    head_index: Tensor,
    rel_type: Tensor,
    tail_index: Tensor,
    neg_index: Tensor,
    batch_size: int = 512,
    view: str | None = None,
    progress: bool = False,
) -> tuple[Tensor, Tensor]:
    r"""Counts as :meth:`rank_tails`, but among given candidates :obj:`[E, K]` of each triple
    (:obj:`-1` for none) alone, of which none is filtered.
    """
    shard: Shard | None = getattr(model, "shard", None)
    counts = torch.zeros(2, head_index.numel(), device=head_index.device)
    with inference(model) as model, shared(shard):
        scores = StreamedScores(model, view)
        width = sum(x[:1].numel() for x in scores.key.values()) * (1 + neg_index.size(1))
        batches = torch.arange(head_index.numel(), device=head_index.device).split(
            max(1, min(batch_size, MAX_KEYS // width))
        )
        rank, size = world()  # Processes share queries, unless each holds some candidates.
        own = batches if shard else batches[rank::size]
        for row in watched(own, "Ranking", progress):
            neg = neg_index[row]
            key_index = torch.cat([tail_index[row].unsqueeze(1), neg.clamp(min=0)], dim=1)
            score = scores.of(scores.query(head_index[row], rel_type[row]), key_index)
            true, other = score[:, :1], score[:, 1:].masked_fill(neg < 0, -torch.inf)
            counts[0, row] = (other > true).sum(dim=1).float()
            counts[1, row] = (other == true).sum(dim=1).float()
    greater, equal = counts if shard else summed(counts)
    return greater, equal


def metrics(rank: Tensor, ks: Sequence[int] = (1, 3, 10), prefix: str = "") -> dict[str, float]:
    r"""Summarises ranks of any shape, which start at one: the mean rank :obj:`'mr'`, the mean
    reciprocal rank :obj:`'mrr'`, and :obj:`'hits@k'`, each behind a prefix.
    """
    rank = rank.double()
    out = {"mr": float(rank.mean()), "mrr": float(rank.reciprocal().mean())}
    out |= {f"hits@{k}": float((rank <= k).double().mean()) for k in ks}
    return {f"{prefix}{name}": x for name, x in out.items()}


@contextmanager
def inference(model: Module) -> Iterator[Any]:
    r"""Returns the :meth:`twin` of a model, to score with it in a block without gradients and
    autocast. The mode of the model stays as it is, as another thread may be scoring, too.
    """
    with torch.no_grad(), torch.autocast(_device_of(model).type, enabled=False):
        yield twin(model)


def _device_of(model: Module) -> torch.device:
    return next((p.device for p in model.parameters()), torch.device("cpu"))


def twin(module: Module) -> Module:
    r"""Returns the same parameters and buffers in modules of their own, in evaluation mode."""
    module = getattr(module, "_orig_mod", module)  # What `torch.compile` has wrapped.
    out = module.__class__.__new__(module.__class__)
    out.__dict__.update(module.__dict__)
    for name in ("_parameters", "_buffers"):
        out.__dict__[name] = dict(module.__dict__[name])
    children = module._modules.items()
    out.__dict__["_modules"] = {name: None if x is None else twin(x) for name, x in children}
    out.training = False
    return out


class NotFinite(ValueError):
    r"""Scores are NaN or infinite, and have no rank."""


def check_finite(score: Tensor) -> Tensor:
    r"""Returns scores in :obj:`float32` at least, or raises :class:`NotFinite`."""
    dtype = torch.promote_types(score.dtype, torch.float32)
    if not is_finite(score):
        raise NotFinite(
            f"The model yields {int((~score.isfinite()).sum())} NaN or infinite scores, which have "
            f"no rank. Training may have diverged: lower the learning rate"
        )
    return score.to(dtype)


def check_model(model: Any) -> None:
    r"""Raises a :class:`ValueError` if a model has no scores of views, as those of others."""
    if not hasattr(model, "view_similarity"):
        name = type(model).__name__
        raise ValueError(f"The model needs to be one of this package (got a '{name}')")


def check_whole(model: Any) -> None:
    r"""Raises as :meth:`check_model`, and if this process holds only some entities of a model."""
    check_model(model)
    if getattr(model, "shard", None) is not None:
        raise ValueError(
            "Each process holds some entities of this model only ('torch_imf.shard'). Save it by "
            "'save_pretrained', which all of them call, and load it in one process to ask it"
        )


class StreamedScores:
    r"""The scores of a model of this package, whose keys are computed once. Of large graphs, some
    entities at a time, so that nothing but keys is held of all.
    """

    def __init__(self, model: Any, view: str | None = None) -> None:
        check_model(model)
        self.model, self.view = model, view
        self.in_chunks = any(not getattr(x, "dot_product", True) for x in model.modules())
        self.shard: Shard | None = getattr(model, "shard", None)
        self.is_large = self.shard is None and model.num_nodes > CHUNK
        self.key: dict[str, Tensor] = self._keys() if self.is_large else model.key(self.z)

    @cached_property
    def z(self) -> dict[str, Tensor]:
        r"""All entities as the model represents them in each view."""
        with inference(self.model) as model:
            return model.encode()

    def query(self, head_index: Tensor, rel_type: Tensor) -> dict[str, Tensor]:
        if self.is_large and "z" not in self.__dict__:
            return self.model.query(self.model.encode(head_index), rel_type)
        return self.model.query(self._rows(self.z, head_index), rel_type)

    def score(self, query: dict[str, Tensor], start: int, end: int) -> Tensor:
        return self._similarity(query, {view: x[start:end] for view, x in self.key.items()})

    def of(self, query: dict[str, Tensor], key_index: Tensor) -> Tensor:
        r"""Scores candidates :obj:`[B, K]` of each query."""
        return self._similarity(query, self._rows(self.key, key_index))

    def _rows(self, x_dict: dict[str, Tensor], index: Tensor) -> dict[str, Tensor]:
        # Those of entities, wherever they are.
        def rows(index: Tensor) -> dict[str, Tensor]:
            return {view: x[index] for view, x in x_dict.items()}

        if self.shard is None:
            return rows(index)
        found = self.shard.fetch(rows, index.flatten())
        return {view: x.unflatten(0, index.size()) for view, x in found.items()}

    def _similarity(self, query: dict[str, Tensor], key: dict[str, Tensor]) -> Tensor:
        if self.view is None:
            return check_finite(self.model.similarity(query, key))
        return check_finite(self.model.view_similarity(query, key)[self.view])

    def _keys(self) -> dict[str, Tensor]:
        size, device = self.model.num_nodes, _device_of(self.model)
        out: dict[str, Tensor] = {}
        for index in torch.arange(size, device=device).split(CHUNK):
            for view, x in self.model.key(self.model.encode(index)).items():
                out.setdefault(view, x.new_empty(size, *x.size()[1:]))[index] = x
        return out


class _Dense:
    # A model that scores all candidates at once, or single triples, of base relations only.
    in_chunks = False

    def __init__(self, model: Any, num_nodes: int) -> None:
        if not hasattr(model, "predict") and not hasattr(model, "num_relations"):
            kind = type(model).__name__
            raise ValueError(
                f"A model needs 'predict(head_index, rel_type)', or to be one of "
                f"'torch_geometric.nn.kge' (got a '{kind}')"
            )
        self.model, self.num_nodes = model, num_nodes

    def query(self, head_index: Tensor, rel_type: Tensor) -> Tensor:
        if hasattr(self.model, "predict"):
            return check_finite(self.model.predict(head_index, rel_type))
        size = max(1, 2**20 // self.num_nodes)  # Queries to write out as triples at once.
        scores = []
        for head, rel in zip(head_index.split(size), rel_type.split(size), strict=True):
            index = torch.arange(self.num_nodes, device=head.device).repeat(head.numel())
            given, rel = (x.repeat_interleave(self.num_nodes) for x in (head, rel))
            is_base, rel = rel < self.model.num_relations, rel % self.model.num_relations
            triples = given.where(is_base, index), rel, index.where(is_base, given)
            scores.append(self.model(*triples).view(-1, self.num_nodes))
        return check_finite(torch.cat(scores))

    def score(self, query: Tensor, start: int, end: int) -> Tensor:
        return query[:, start:end]


def _count(
    score_fn: Callable[[int, int], Tensor],
    row: Tensor,
    tail_index: Tensor,
    pos_index: Tensor,
    num_nodes: int,
    chunk_size: int,
    limit: int,
    shard: Shard | None = None,
) -> tuple[Tensor, Tensor]:
    # The counts of some facts, given the rows of their queries in the scores, in ascending order
    # and without a gap, and the known answers of each row; of a shard, among its entities.
    num_facts, num_queries = row.numel(), int(row[-1]) + 1
    if shard is not None:
        num_nodes, tail_index = len(shard), tail_index - shard.start
        pos_index = pos_index - torch.tensor([[0], [shard.start]], device=row.device)
    size = min(chunk_size, max(1, limit // num_queries))
    starts = range(0, num_nodes, size)

    def block(i: int) -> Tensor:  # All of one width: another one may round equal scores apart.
        start = max(0, min(i, num_nodes - size))
        return score_fn(start, min(start + size, num_nodes))[:, i - start :]

    kept: dict[int, Tensor] = {}
    true = score_fn(0, 1).new_zeros(num_facts)
    inside = tail_index[(tail_index >= 0) & (tail_index < num_nodes)]
    for i in starts if num_nodes <= chunk_size else (inside // size * size).unique().tolist():
        score = block(i)
        here = ((tail_index >= i) & (tail_index < min(i + size, num_nodes))).nonzero().view(-1)
        true[here] = score[row[here], tail_index[here] - i]
        if num_nodes <= chunk_size:
            kept[i] = score
    true = true if shard is None else summed(true)
    greater, equal = torch.zeros(2, num_facts, device=row.device)
    # The known answers among each of the candidates to score at once:
    pos_index = pos_index[:, pos_index[1].argsort()]
    bounds = torch.tensor([*starts, num_nodes], device=row.device)
    slots = torch.searchsorted(pos_index[1].contiguous(), bounds).tolist()
    for i, first, last in zip(starts, slots, slots[1:], strict=False):
        # The same product as above, so that equal scores are equal.
        score = kept.pop(i) if i in kept else block(i)
        known = pos_index[:, first:last]
        score = score.index_put((known[0], known[1] - i), score.new_tensor(-torch.inf))
        for j in range(0, num_facts, num_queries):
            part = slice(j, j + num_queries)
            other = score if num_facts == num_queries else score.index_select(0, row[part])
            # Numbers in place of booleans, which torch compares and sums one by one:
            own, mask = true[part, None], torch.empty_like(other)
            count = torch.gt(other, own, out=mask).sum(dim=-1)
            greater[part] += count
            equal[part] += torch.ge(other, own, out=mask).sum(dim=-1) - count
    return greater, equal
