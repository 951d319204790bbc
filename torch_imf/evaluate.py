from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import torch
from torch import Tensor
from torch_geometric.data import Data
from tqdm import tqdm

from torch_imf.data import TripletIndex
from torch_imf.data.index import check_triples

Metrics = dict[str, float]


@torch.no_grad()
def evaluate(
    model: torch.nn.Module,
    data: Data,
    split: str = "test",
    batch_size: int = 512,
    chunk_size: int = 2**15,
    tie: str = "realistic",
    by: Sequence[str] = (),
    view: str | None = None,
    progress: bool = False,
) -> dict[str, float | dict]:
    r"""Ranks the true head and the true tail of every fact of a split among
    all entities, ignoring other answers that are known to be true in *any*
    split (the filtered setting).

    The head of :math:`(h, r, t)` is ranked as the tail of its inverse
    :math:`(t, r + |\mathcal{R}|, h)`. Candidates are scored in chunks and only
    counts are kept, so memory does not grow with their number. Scores are
    compared in :obj:`float32`.

    Args:
        model (torch.nn.Module): Any model of this package; any other with
            :obj:`predict(head_index, rel_type) -> [B, N]` over inverse
            relations; or any :class:`torch_geometric.nn.kge.KGEModel`, whose
            head side is scored triple by triple.
        data (Data): All facts, with :obj:`train_mask`, :obj:`val_mask` and
            :obj:`test_mask` over edges, with or without inverse triples.
        split (str, optional): The split to rank: :obj:`"train"`,
            :obj:`"val"` or :obj:`"test"`. (default: :obj:`"test"`)
        batch_size (int, optional): Number of facts to rank at once.
            (default: :obj:`512`)
        chunk_size (int, optional): Number of candidates to score at once.
            (default: :obj:`32768`)
        tie (str, optional): Where a fact ranks among :math:`e` others of equal
            score, with :math:`g` better ones: :obj:`"realistic"` (:math:`1 + g
            + e / 2`), :obj:`"optimistic"` (:math:`1 + g`) or
            :obj:`"pessimistic"` (:math:`1 + g + e`).
            (default: :obj:`"realistic"`)
        by (Sequence[str], optional): Further break-downs: :obj:`"relation"`,
            :obj:`"category"` (:obj:`1-1`, :obj:`1-N`, :obj:`N-1`,
            :obj:`N-N`), :obj:`"seen"` (whether both entities occur in
            training), or the name of a modality (whether both entities have
            it). (default: :obj:`()`)
        view (str, optional): Ranks by the scores of one of the model's views
            alone, *e.g.*, :obj:`"text"`. (default: :obj:`None`)
        progress (bool, optional): If set to :obj:`True`, shows a progress bar
            in a terminal. (default: :obj:`False`)

    Returns:
        The mean rank :obj:`'mr'` (from 1), the mean reciprocal rank
        :obj:`'mrr'` and :obj:`'hits@1'`, :obj:`'hits@3'`, :obj:`'hits@10'` as
        fractions in :obj:`[0, 1]`, over both sides; the same of each side
        under :obj:`'head'` and :obj:`'tail'`; and of each group under the
        names in :obj:`by`.

    Raises:
        ValueError: If the split is unknown or empty, ids do not fit the model,
            or a score is NaN or infinite.
    """
    if split not in {"train", "val", "test"}:
        raise ValueError(f"Invalid 'split' argument (got '{split}', choose 'train', 'val', 'test')")
    if tie not in {"realistic", "optimistic", "pessimistic"}:
        raise ValueError(
            f"Invalid 'tie' argument (got '{tie}', choose 'realistic', 'optimistic', 'pessimistic')"
        )
    if getattr(model, "num_nodes", data.num_nodes) != data.num_nodes:
        raise ValueError(
            f"The model expects {model.num_nodes} entities, but the graph holds {data.num_nodes}"
        )
    base = data.edge_type < data.num_relations
    (head, tail), rel = data.edge_index[:, base], data.edge_type[base]
    check_triples(head, rel, tail, data.num_nodes, data.num_relations)
    mask = data[f"{split}_mask"][base]
    if not bool(mask.any()):
        raise ValueError(f"The '{split}' split holds no facts")

    # Both sides as tails: (h, r, t) and (t, r + R, h).
    inv = rel + data.num_relations
    index = TripletIndex(torch.cat([head, tail]), torch.cat([rel, inv]), torch.cat([tail, head]))
    greater, equal = rank_tails(
        model,
        torch.cat([head[mask], tail[mask]]),
        torch.cat([rel[mask], inv[mask]]),
        torch.cat([tail[mask], head[mask]]),
        index,
        num_nodes=int(data.num_nodes),
        batch_size=batch_size,
        chunk_size=chunk_size,
        view=view,
        progress=progress,
    )
    share = {"optimistic": 0.0, "realistic": 0.5, "pessimistic": 1.0}[tie]
    rank = (1 + greater + share * equal).view(2, -1)

    out: dict[str, float | dict] = {**metrics(rank.view(-1))}
    out["head"], out["tail"] = metrics(rank[1]), metrics(rank[0])
    for name in by:
        groups = _groups(name, data, base, mask)
        out[name] = {key: metrics(rank[:, i].view(-1)) for key, i in groups}
    return out


@torch.no_grad()
def rank_tails(
    model: torch.nn.Module,
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
    r"""Counts, for the tail of each triple, the entities that score higher and
    those that score the same, leaving out the known tails in :obj:`index` and
    the tail itself.

    Returns:
        The counts :obj:`greater` and :obj:`equal`, of shape :obj:`[E]`, from
        which every kind of rank follows: :obj:`1 + greater + equal / 2` is
        the realistic one.
    """
    views = getattr(model, "views", [])
    if view is not None and view not in views:
        raise ValueError(f"Invalid 'view' argument (got '{view}', the model has {views})")
    num_nodes = int(model.num_nodes) if num_nodes is None else num_nodes  # type: ignore[arg-type]
    check_triples(head_index, rel_type, tail_index, num_nodes)
    training = model.training
    model.eval()
    scorer: _Scores = _Dense(model, num_nodes)
    if hasattr(model, "similarity"):
        scorer = _Streamed(model, view)
    chunks = [(i, min(i + chunk_size, num_nodes)) for i in range(0, num_nodes, chunk_size)]

    # Sorted by query, so that each is scored once for all of its answers:
    perm = (head_index * (int(rel_type.max()) + 1) + rel_type).argsort(stable=True)
    greater = torch.zeros(perm.numel(), dtype=torch.float, device=perm.device)
    equal = torch.zeros_like(greater)
    batches = perm.split(batch_size)
    for i in tqdm(batches, desc="Ranking", disable=None if progress else True, leave=False):
        h, r, t = head_index[i], rel_type[i], tail_index[i]
        pos_index = index(h, r)
        # A tail that is no known fact does not leave by the filter, so it does by hand:
        equal[i] -= (~index.contains(h, r, t)).to(equal.dtype)
        (h, r), group = torch.stack([h, r]).unique_consecutive(dim=1, return_inverse=True)
        query = scorer.query(h, r)

        true = torch.zeros(i.numel(), device=i.device)
        for start, end in chunks:  # The same product as below, so that equal scores are equal.
            score = scorer.score(query, start, end)
            row = ((t >= start) & (t < end)).nonzero().view(-1)
            true[row] = score[group[row], t[row] - start]
        for start, end in chunks:
            if len(chunks) > 1:
                score = scorer.score(query, start, end)
            row, col = pos_index[:, (pos_index[1] >= start) & (pos_index[1] < end)]
            known, score = score[group[row], col - start], score[group]
            for count, compare in ((greater, torch.gt), (equal, torch.eq)):
                total = compare(score, true.unsqueeze(-1)).sum(dim=-1).to(count.dtype)
                minus = compare(known, true[row]).to(count.dtype)
                count[i] += total.index_add_(0, row, minus, alpha=-1)
    model.train(training)
    return greater, equal


def metrics(rank: Tensor, ks: Sequence[int] = (1, 3, 10)) -> Metrics:
    r"""Summarises ranks: mean rank, mean reciprocal rank and Hits@:math:`k`."""
    rank = rank.double()
    out = {"mr": float(rank.mean()), "mrr": float(rank.reciprocal().mean())}
    return {**out, **{f"hits@{k}": float((rank <= k).double().mean()) for k in ks}}


class _Scores(Protocol):
    # Scores of queries against a range of candidates; a query is whatever the model makes it.
    def query(self, head_index: Tensor, rel_type: Tensor) -> Any: ...

    def score(self, query: Any, start: int, end: int) -> Tensor: ...


class _Streamed:
    # A model with the scoring contract: every candidate is encoded once, before the first query.
    def __init__(self, model: Any, view: str | None) -> None:
        self.model = model
        self.view = view
        self.z: dict[str, Tensor] = model.encode()
        self.key: dict[str, Tensor] = model.key(self.z)

    def query(self, head_index: Tensor, rel_type: Tensor) -> dict[str, Tensor]:
        return self.model.query({view: x[head_index] for view, x in self.z.items()}, rel_type)

    def score(self, query: dict[str, Tensor], start: int, end: int) -> Tensor:
        key = {view: x[start:end] for view, x in self.key.items()}
        if self.view is None:
            return check_finite(self.model.similarity(query, key).float())
        return check_finite(self.model.view_similarity(query, key)[self.view].float())


class _Dense:
    # A model that scores all candidates at once, or single triples, of base relations only.
    def __init__(self, model: Any, num_nodes: int) -> None:
        self.model = model
        self.num_nodes = num_nodes

    def query(self, head_index: Tensor, rel_type: Tensor) -> Tensor:
        if hasattr(self.model, "predict"):
            return check_finite(self.model.predict(head_index, rel_type).float())
        num_relations = self.model.num_relations
        index = torch.arange(self.num_nodes, device=head_index.device)
        index = index.repeat(head_index.numel())
        given = head_index.repeat_interleave(self.num_nodes)
        rel = rel_type.repeat_interleave(self.num_nodes)
        inverse = rel >= num_relations
        head, tail = given.where(~inverse, index), index.where(~inverse, given)
        out = [
            self.model(*triples)
            for triples in zip(
                *(x.split(2**18) for x in (head, rel % num_relations, tail)), strict=True
            )
        ]
        return check_finite(torch.cat(out).view(-1, self.num_nodes).float())

    def score(self, query: Tensor, start: int, end: int) -> Tensor:
        return query[:, start:end]


def check_finite(score: Tensor) -> Tensor:
    r"""Returns :obj:`score`, or raises a :class:`ValueError` if it holds NaN
    or infinite values.
    """
    if not bool(score.isfinite().all()):
        raise ValueError(
            f"The model yields {int((~score.isfinite()).sum())} NaN or infinite scores, which "
            f"have no rank. Training may have diverged: lower the learning rate"
        )
    return score


def _groups(name: str, data: Data, base: Tensor, mask: Tensor) -> Iterator[tuple[str, Tensor]]:
    (head, tail), rel = data.edge_index[:, base], data.edge_type[base]
    if name == "relation":
        for r in rel[mask].unique().tolist():
            label = data.rel_names[r] if "rel_names" in data else str(r)
            yield label, rel[mask] == r
    elif name == "category":
        tails = _mean_degree(head, rel, data.num_relations)[rel[mask]] >= 1.5
        heads = _mean_degree(tail, rel, data.num_relations)[rel[mask]] >= 1.5
        for label, many in (("1-1", (0, 0)), ("1-N", (0, 1)), ("N-1", (1, 0)), ("N-N", (1, 1))):
            group = (heads == bool(many[0])) & (tails == bool(many[1]))
            if bool(group.any()):
                yield label, group
    elif name == "seen" or f"{name}_mask" in data and f"x_{name}" in data:
        if name == "seen":
            has = torch.zeros(data.num_nodes, dtype=torch.bool, device=head.device)
            has[data.edge_index[:, data.train_mask].view(-1)] = True
        else:
            has = data[f"{name}_mask"]
        group = has[head[mask]] & has[tail[mask]]
        for label, part in (("yes", group), ("no", ~group)):
            if bool(part.any()):
                yield label, part
    else:
        known = ["relation", "category", "seen", *(k[2:] for k in data.keys() if k[:2] == "x_")]
        raise ValueError(f"Invalid 'by' argument (got '{name}', choose of {known})")


def _mean_degree(index: Tensor, rel: Tensor, num_relations: int) -> Tensor:
    # How many facts an entity takes part in on average, per relation, of shape [R].
    pair = torch.stack([index, rel]).unique(dim=1)[1]
    count = torch.bincount(rel, minlength=num_relations).float()
    return count / torch.bincount(pair, minlength=num_relations).clamp(min=1)
