from collections.abc import Mapping, Sequence
from functools import partial

import torch
from torch import Tensor
from torch_geometric.data import Data

from torch_imf.data import TripletIndex
from torch_imf.data.graph import (
    modality_mask,
    prepare,
    split_facts,
    warn_of_leaks,
    warn_of_other_facts,
)
from torch_imf.data.index import check_range, mark
from torch_imf.data.names import Lookup
from torch_imf.evaluation.ranking import metrics, rank_given, rank_tails
from torch_imf.registry import checked

#: The share of the facts of equal score that a fact ranks behind.
TIES = {"optimistic": 0.0, "realistic": 0.5, "pessimistic": 1.0}
#: The break-downs that any graph has.
GROUPS = ("relation", "category", "seen", "new", "query_facts", "answer_facts")


@checked
def evaluate(
    model: torch.nn.Module,
    data: Data,
    split: str = "test",
    batch_size: int = 512,
    chunk_size: int = 2**15,
    tie: str = "realistic",
    by: str | Sequence[str] = (),
    view: str | None = None,
    progress: bool = False,
    negatives: Mapping[str, Tensor] | None = None,
) -> dict[str, float | dict]:
    r"""Ranks the true head and the true tail of every fact of a split among all entities, ignoring
    other answers that are known to be true in *any* split (the filtered setting). Warns if test
    facts are training facts, or the model was trained or selected by other facts.

    The head of :math:`(h, r, t)` is ranked as the tail of its inverse :math:`(t, r + |\mathcal{R}|,
    h)`. There are never more than :obj:`batch_size * chunk_size` scores.

    Args:
        model (torch.nn.Module): A model of this package, a
            :class:`torch_geometric.nn.kge.KGEModel`, or any other with :obj:`predict(head_index,
            rel_type) -> [B, N]` over inverse relations as well.
        data (Data): All facts with split masks over edges, with or without inverse triples.
        split (str, optional): The split to rank: :obj:`"train"`, :obj:`"val"` or :obj:`"test"`.
            (default: :obj:`"test"`)
        batch_size (int, optional): Queries to score at once. (default: :obj:`512`)
        chunk_size (int, optional): Candidates to score at once. (default: :obj:`32768`)
        tie (str, optional): The rank among :math:`e` others of equal score, with :math:`g` better
            ones: :obj:`"realistic"` (:math:`1 + g + e / 2`), :obj:`"optimistic"` (:math:`1 + g`) or
            :obj:`"pessimistic"` (:math:`1 + g + e`). (default: :obj:`"realistic"`)
        by (str or Sequence[str], optional): Further break-downs: :obj:`"relation"`,
            :obj:`"category"` (:obj:`1-1`, :obj:`1-N`, :obj:`N-1`, :obj:`N-N`), :obj:`"seen"`
            (whether both entities occur in training), :obj:`"new"` (which entity does not: that of
            the :obj:`query`, the :obj:`answer`, :obj:`both` or :obj:`neither`),
            :obj:`"query_facts"` and :obj:`"answer_facts"` (the number of training facts of that
            entity: :obj:`0`, :obj:`1`, :obj:`2-3`, :obj:`4-7` and so on), or the name of a modality
            (whether both entities have it). (default: :obj:`()`)
        view (str, optional): The only one of the model's views to rank by, *e.g.*, :obj:`"text"`.
            (default: :obj:`None`)
        progress (bool, optional): Whether to show progress in a terminal. (default: :obj:`False`)
        negatives (dict[str, torch.Tensor], optional): Candidates that stand for all entities, under
            :obj:`"head"` and :obj:`"tail"`, of shape :obj:`[M, K]` each: a row per fact of the
            split, in their order, with :obj:`-1` for none. They are ranked as they are, without a
            filter: that is the protocol of the large graphs of OGB. As their metrics are no metrics
            among all entities, they have other names, :obj:`'sampled_mrr'` and so on. (default:
            :obj:`None`)

    Returns:
        The mean rank :obj:`'mr'` (from 1), the mean reciprocal rank :obj:`'mrr'` and
        :obj:`'hits@1'`, :obj:`'hits@3'`, :obj:`'hits@10'` as fractions, over both sides; the same
        of each side under :obj:`'head'` and :obj:`'tail'`; and of each group under the names in
        :obj:`by`.

    Raises:
        ValueError: If the split is unknown or empty, the graph is not sound or does not fit the
            model, in sizes or names, or a score is NaN or infinite.
    """
    if tie not in TIES:
        raise ValueError(f"Invalid 'tie' argument (got '{tie}', choose of {list(TIES)})")
    data = prepare(model, data)
    if split == "test":
        warn_of_leaks(data, "test")
        warn_of_other_facts(model, data)
    rest = TIES[tie], view, progress
    if negatives is None:
        rank = rank_facts(model, data, split, batch_size, chunk_size, *rest)
    else:
        rank = _rank_among(negatives, model, data, split, batch_size, *rest)
    summary = partial(metrics, prefix="" if negatives is None else "sampled_")
    out: dict = {**summary(rank), "head": summary(rank[1]), "tail": summary(rank[0])}
    for name in [by] if isinstance(by, str) else by:
        groups = fact_groups(name, data, split)
        out[name] = {key: summary(rank[group.expand_as(rank)]) for key, group in groups.items()}
    return out


def rank_facts(
    model: torch.nn.Module,
    data: Data,
    split: str,
    batch_size: int = 512,
    chunk_size: int = 2**15,
    share: float = 0.5,
    view: str | None = None,
    progress: bool = False,
) -> Tensor:
    r"""Returns the ranks of tails and heads of a split, of shape :obj:`[2, M]`, behind a
    :obj:`share` of ties.
    """
    facts = split_facts(data, split)
    known = TripletIndex.from_data(data), int(data.num_nodes)
    greater, equal = rank_tails(model, *facts, *known, batch_size, chunk_size, view, progress)
    return (1 + greater + share * equal).view(2, -1)


def _rank_among(
    negatives: Mapping[str, Tensor],
    model: torch.nn.Module,
    data: Data,
    split: str,
    batch_size: int,
    share: float,
    view: str | None,
    progress: bool,
) -> Tensor:
    # As `rank_facts`, among given candidates.
    facts = split_facts(data, split)
    size = facts[0].numel() // 2
    shapes = {name: list(x.size()) for name, x in negatives.items()}
    if set(shapes) != {"head", "tail"} or any(len(x) != 2 or x[0] != size for x in shapes.values()):
        raise ValueError(
            f"'negatives' need to be a dictionary of candidates for 'head' and 'tail', with a row "
            f"for each of the {size:,} facts of '{split}' (got {shapes})"
        )
    both = []
    for i, name in enumerate(("tail", "head")):
        head_index, rel_type, tail_index = (x.chunk(2)[i] for x in facts)
        neg_index = negatives[name].to(facts[0].device)
        check_range(f"negatives['{name}']", neg_index + 1, int(data.num_nodes) + 1)
        fact = head_index, rel_type, tail_index, neg_index
        greater, equal = rank_given(model, *fact, batch_size, view, progress)
        both.append(1 + greater + share * equal)
    return torch.stack(both)


def fact_groups(name: str, data: Data, split: str) -> dict[str, Tensor]:
    r"""Returns the groups of a break-down that hold facts as masks over the facts :obj:`[M]` of a
    split, or over its queries :obj:`[2, M]`, for tails and for heads.
    """
    base = data.edge_type < data.num_relations
    mask = data[f"{split}_mask"][base]
    (head, tail), rel = data.edge_index[:, base], data.edge_type[base]
    pair = data.edge_index[:, base][:, mask]  # The entity of each query, for tails and for heads.
    if name == "relation":
        names = Lookup.of_relations(data).labels
        groups = {names[r]: rel[mask] == r for r in rel[mask].unique().tolist()}
    elif name == "category":
        tails = _mean_degree(head, rel, data.num_relations)[rel[mask]] >= 1.5
        heads = _mean_degree(tail, rel, data.num_relations)[rel[mask]] >= 1.5
        groups = {"1-1": ~heads & ~tails, "1-N": ~heads & tails, "N-1": heads & ~tails}
        groups["N-N"] = heads & tails
    elif name == "new":
        query, answer = (num_facts(data)[x] == 0 for x in (pair, pair.flip(0)))
        groups = {"neither": ~query & ~answer, "query": query & ~answer}
        groups |= {"answer": answer & ~query, "both": query & answer}
    elif name in ("query_facts", "answer_facts"):
        count = num_facts(data)[pair if name == "query_facts" else pair.flip(0)]
        groups = {"0": count == 0, "1": count == 1}
        for power in range(1, int(count.max()).bit_length()):
            low, high = 2**power, 2 ** (power + 1) - 1
            groups[f"{low}-{high}"] = (count >= low) & (count <= high)
    elif name == "seen" or f"x_{name}" in data:
        seen = data.edge_index[:, data.train_mask].view(-1)
        has = mark(seen, int(data.num_nodes)) if name == "seen" else modality_mask(data, name)
        both = has.to(head.device)[head[mask]] & has.to(head.device)[tail[mask]]
        groups = {"yes": both, "no": ~both}
    else:
        known = [*GROUPS, *(key[2:] for key in data.keys() if key[:2] == "x_")]
        raise ValueError(f"Invalid 'by' argument (got '{name}', choose of {known})")
    return {label: group for label, group in groups.items() if bool(group.any())}


def num_facts(data: Data) -> Tensor:
    r"""Returns in how many training facts each entity is, of shape :obj:`[N]`."""
    mask = data.train_mask & (data.edge_type < data.num_relations)
    return data.edge_index[:, mask].view(-1).bincount(minlength=int(data.num_nodes))


def _mean_degree(index: Tensor, rel: Tensor, num_relations: int) -> Tensor:
    # How many facts an entity takes part in on average, per relation, of shape [R].
    pair = torch.stack([index, rel]).unique(dim=1)[1]
    count = torch.bincount(rel, minlength=num_relations).float()
    return count / torch.bincount(pair, minlength=num_relations).clamp(min=1)
