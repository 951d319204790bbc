from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data
from tqdm import tqdm

from torch_imf.answers.predict import find_rows, labels
from torch_imf.answers.probability import Temperature, fit_temperature, view_scores
from torch_imf.answers.tables import format_table, percent
from torch_imf.data import TripletIndex
from torch_imf.data.graph import loop_relations, prepare
from torch_imf.data.lookup import Lookup
from torch_imf.evaluation.ranking import StreamedScores, inference

#: The number of scores to hold at once, unless a single query has more.
MAX_SCORES = 2**22


@dataclass(frozen=True)
class Fact:
    r"""A fact that the graph does not hold.

    Args:
        head_index (int): Its head.
        rel_type (int): Its relation.
        tail_index (int): Its tail.
        head (str): The name of its head.
        relation (str): The name of its relation.
        tail (str): The name of its tail.
        score (float): Its score over all views.
        probability (float): Its probability.
    """

    head_index: int
    rel_type: int
    tail_index: int
    head: str
    relation: str
    tail: str
    score: float
    probability: float


class Facts(list[Fact]):
    r"""Facts, most likely first: a list that prints as a table."""

    def __str__(self) -> str:
        head = ["", "head", "relation", "tail", "probability", "score"]
        rows = [
            [str(i), x.head, x.relation, x.tail, percent(x.probability), f"{x.score:.3f}"]
            for i, x in enumerate(self, start=1)
        ]
        return format_table([head, *rows], left=(1, 2, 3)) if rows else "No fact is missing"


def complete(
    model: torch.nn.Module,
    data: Data,
    k: int = 100,
    relation: str | int | list[str] | list[int] | None = None,
    temperature: Temperature | None = None,
    seen: bool = False,
    batch_size: int | None = None,
    progress: bool = False,
) -> Facts:
    r"""Returns the most likely facts that a graph does not hold, in any split.

    Every entity is asked for its tails in every relation. Queries are scored
    some at a time, and no more than :obj:`k` facts are kept, so memory does
    not grow with the number of queries; time does, as :math:`N^2 R` facts are
    scored. Facts are ordered by their probability, as scores of different
    queries need not compare: with the :obj:`"ce"` loss, they mean something
    beside other candidates of the same query only. It is the probability of an
    answer to a query that misses one, see :meth:`~torch_imf.fit_temperature`,
    so it is too high where most queries have none. No entity is an answer to
    itself in a relation without such a training fact.

    Args:
        model (torch.nn.Module): A model of this package.
        data (Data): The graph.
        k (int, optional): The number of facts. (default: :obj:`100`)
        relation (str or int or list, optional): The relation to complete, or
            several, by name, identifier or number. If :obj:`None`, all of
            them. (default: :obj:`None`)
        temperature (Temperature, optional): The map from scores to
            probabilities. If :obj:`None`, it is fitted to the validation
            facts. (default: :obj:`None`)
        seen (bool, optional): If set to :obj:`True`, only entities that are a
            head of the relation in a training fact are asked, and only those
            that are a tail of it are answers, which is faster and leaves out
            facts of the wrong kind of entity, but also first facts.
            (default: :obj:`False`)
        batch_size (int, optional): Number of queries to score at once. If
            :obj:`None`, as many as make about four million scores.
            (default: :obj:`None`)
        progress (bool, optional): If set to :obj:`True`, shows a progress bar
            in a terminal. (default: :obj:`False`)

    Raises:
        ValueError: If a name is unknown or ambiguous, an argument is invalid,
            the graph does not fit the model, or a score is NaN or infinite;
            without a temperature, also if there are no validation facts.
    """
    num_nodes, num_relations = int(data.num_nodes), int(data.num_relations)
    size = max(1, MAX_SCORES // num_nodes) if batch_size is None else batch_size
    if k < 1 or size < 1:
        raise ValueError(f"'k' and 'batch_size' need to be positive (got {k} and {batch_size})")
    data = prepare(model, data)
    device = data.edge_index.device
    rels = torch.arange(num_relations, device=device)
    if relation is not None:
        rels = find_rows("relation", relation, Lookup.of_relations, data).unique()
        if int(rels[0]) < 0 or int(rels[-1]) >= num_relations:
            raise ValueError(
                f"'relation' needs to be in [0, {num_relations}), the base relations (got "
                f"{rels.tolist()})"
            )
    if temperature is None:
        temperature = fit_temperature(model, data)
    index = TripletIndex.from_data(data)
    pairs = _seen_pairs(data) if seen else None
    with_loops = set(loop_relations(data).tolist())

    value = torch.empty(0, device=device)
    fact, score = torch.empty(3, 0, dtype=torch.long, device=device), torch.empty(0, device=device)
    everyone = torch.arange(num_nodes, device=device)
    with inference(model):
        scores = StreamedScores(model)
        bar = tqdm(rels.tolist(), "Completing", disable=None if progress else True, leave=False)
        for rel in bar:
            heads, out = everyone, None
            if pairs is not None:
                heads, tails = pairs[0][1, pairs[0][0] == rel], pairs[1][1, pairs[1][0] == rel]
                out = torch.ones(num_nodes, dtype=torch.bool, device=device)
                out[tails] = False
            for head in heads.split(size):
                y = view_scores(scores, head, torch.full_like(head, rel))[0]
                z = temperature.logit(y)
                z[tuple(index(head, torch.full_like(head, rel)))] = -torch.inf
                z = z if out is None else z.masked_fill(out, -torch.inf)
                if rel not in with_loops:
                    z[torch.arange(head.numel(), device=device), head] = -torch.inf
                top, pos = z.view(-1).topk(min(k, z.numel()))
                row, tail = pos // num_nodes, pos % num_nodes
                new = torch.stack([head[row], torch.full_like(row, rel), tail])
                value, order = torch.cat([value, top]).sort(descending=True, stable=True)
                value, order = value[:k], order[:k]
                fact = torch.cat([fact, new], dim=1)[:, order]
                score = torch.cat([score, y.view(-1)[pos]])[order]
    found = value > -torch.inf
    return _facts(data, fact[:, found], score[found], value[found].sigmoid())


def _seen_pairs(data: Data) -> tuple[Tensor, Tensor]:
    # The distinct pairs of relation and head, and of relation and tail, of training facts.
    mask = data.train_mask & (data.edge_type < data.num_relations)
    (head, tail), rel = data.edge_index[:, mask], data.edge_type[mask]
    return torch.stack([rel, head]).unique(dim=1), torch.stack([rel, tail]).unique(dim=1)


def _facts(data: Data, fact: Tensor, score: Tensor, probability: Tensor) -> Facts:
    node_names, rel_names = labels(data)
    rows: Any = zip(*fact.tolist(), score.tolist(), probability.tolist(), strict=True)
    return Facts(
        Fact(h, r, t, node_names[h], rel_names[r], node_names[t], *numbers)
        for h, r, t, *numbers in rows
    )
