from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch_geometric.data import Data

from torch_imf.answers.probability import Temperature, view_scores, yields_probabilities
from torch_imf.answers.tables import format_table, percent
from torch_imf.data import TripletIndex
from torch_imf.data.graph import loop_relations, prepare
from torch_imf.data.index import check_triples
from torch_imf.data.lookup import Lookup
from torch_imf.evaluation.ranking import StreamedScores, inference


@dataclass(frozen=True)
class Completion:
    r"""One answer to a query.

    Args:
        index (int): The entity.
        name (str): Its name.
        score (float): Its score over all views, which orders the answers.
        known (bool): Whether the graph holds this fact, in any split.
        views (dict[str, float]): Its score in each view.
        weights (dict[str, float]): The weight of each view.
        probability (float, optional): The probability that it is an answer,
            see :meth:`~torch_imf.fit_temperature`. (default: :obj:`None`)
        parts (dict[str, float]): What each view contributes to the score;
            these sum to it.
        node_id (str): The identifier of the entity.
    """

    index: int
    name: str
    score: float
    known: bool
    views: dict[str, float] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)
    probability: float | None = None
    parts: dict[str, float] = field(default_factory=dict)
    node_id: str = ""


class Answers(list[Completion]):
    r"""The answers to a query, best first: a list that prints as a table.

    Args:
        completions (list[Completion]): The answers.
        query (str): The query, with a question mark in place of them.
    """

    def __init__(self, completions: Iterable[Completion] = (), query: str = "") -> None:
        super().__init__(completions)
        self.query = query

    def __str__(self) -> str:
        if len(self) == 0:
            return f"{self.query}\n  no answer is left"
        views = list(self[0].parts)
        head = ["", "answer", "", "probability", "score", *(f"of {view}" for view in views)]
        rows = [
            [
                str(i),
                x.name,
                "known" if x.known else "",
                percent(x.probability),
                f"{x.score:.3f}",
                *(f"{part:.3f}" for part in x.parts.values()),
            ]
            for i, x in enumerate(self, start=1)
        ]
        return f"{self.query}\n{format_table([head, *rows], left=(1, 2))}"


Entity = str | int | Tensor | Sequence[str] | Sequence[int]


def predict(
    model: torch.nn.Module,
    data: Data,
    head: Entity | None = None,
    relation: Entity | None = None,
    k: int = 10,
    keep: Tensor | None = None,
    *,
    tail: Entity | None = None,
    known: str = "mark",
    temperature: Temperature | None = None,
    batch_size: int = 128,
) -> Answers | list[Answers]:
    r"""Returns the most likely tails of a head and a relation or, given a tail
    instead, the most likely heads.

    .. code-block:: python

        temperature = fit_temperature(model, data)
        print(predict(model, data, head="France", relation="borders", temperature=temperature))
        print(predict(model, data, tail="Europe", relation="continent", known="remove"))

    Entities and relations are given by name or identifier, one or several, or
    by number. Of a tensor of relation types, those of
    :obj:`rel_type + num_relations` are inverse relations. No entity is an
    answer to itself in a relation without such a training fact.

    Args:
        model (torch.nn.Module): A model of this package.
        data (Data): The graph, with names of entities and relations.
        head (str or int or list or torch.Tensor, optional): The heads to
            complete, of length :math:`B`. (default: :obj:`None`)
        relation (str or int or list or torch.Tensor): The relations, one per
            query or one for all.
        k (int, optional): The number of answers per query.
            (default: :obj:`10`)
        keep (torch.Tensor, optional): A mask over edges: known facts outside
            of it are left out of the answers, facts inside are kept and
            marked, *e.g.*, :obj:`data.test_mask` to see how test facts rank
            among new ones. (default: :obj:`None`)
        tail (str or int or list or torch.Tensor, optional): The tails to
            complete, in place of :obj:`head`. (default: :obj:`None`)
        known (str, optional): Without :obj:`keep`, whether to
            :obj:`"mark"` facts that the graph holds or to :obj:`"remove"`
            them from the answers. (default: :obj:`"mark"`)
        temperature (Temperature, optional): The map from scores to
            probabilities, as of :meth:`~torch_imf.fit_temperature`.
            (default: :obj:`None`)
        batch_size (int, optional): Number of queries to score at once.
            (default: :obj:`128`)

    Returns:
        The :class:`Answers` to one query that is given by name, and a list of
        them otherwise. The score is an average of probabilities in
        :obj:`[0, 1]` for several views with the :obj:`"bce"` loss, and a logit
        otherwise; those of views are logits.

    Raises:
        ValueError: If a name is unknown or ambiguous, an id is out of range,
            an argument is invalid, the graph does not fit the model, or a
            score is NaN or infinite.
    """
    if k < 1 or batch_size < 1:
        raise ValueError(f"'k' needs to be positive, as 'batch_size' (got {k} and {batch_size})")
    if known not in {"mark", "remove"}:
        raise ValueError(f"Invalid 'known' argument (got '{known}', choose 'mark', 'remove')")
    given = tail if head is None else head
    if given is None or relation is None or (head is not None and tail is not None):
        raise ValueError(
            "Give 'relation' and one of 'head' and 'tail': the other one is what is asked for"
        )
    data = prepare(model, data)
    head_index = find_rows("head" if tail is None else "tail", given, Lookup.of_entities, data)
    rel_type = find_rows("relation", relation, Lookup.of_relations, data)
    if rel_type.numel() == 1:
        rel_type = rel_type.expand_as(head_index)
    check_triples(
        head_index, rel_type, head_index, int(data.num_nodes), 2 * int(data.num_relations)
    )
    if head is None:
        rel_type = (rel_type + data.num_relations) % (2 * data.num_relations)

    index = TripletIndex.from_data(data)
    if keep is None and known == "remove":
        keep = torch.zeros_like(data.train_mask)
    shown = None if keep is None else TripletIndex.from_data(data, keep.to(head_index.device))
    out = []
    with inference(model):
        scores = StreamedScores(model)
        for batch in zip(head_index.split(batch_size), rel_type.split(batch_size), strict=True):
            out += _answers(scores, data, *batch, k, index, shown, temperature)
    return out[0] if isinstance(given, str) else out


def find_rows(name: str, value: Entity, lookup: Callable[[Data], Lookup], data: Data) -> Tensor:
    r"""Returns the rows of entities or relations that are given by name or
    identifier, or by number, on the device of the facts.

    Raises:
        ValueError: If a name is unknown or ambiguous, or the argument called
            :obj:`name` is neither names nor numbers.
    """
    values: Any = [value] if isinstance(value, str) else value
    if isinstance(values, list | tuple) and any(isinstance(x, str) for x in values):
        if not all(isinstance(x, str) for x in values):
            raise ValueError(f"'{name}' needs to hold either names or numbers (got {values})")
        find = lookup(data)
        values = [find(x) for x in values]
    try:
        out = torch.as_tensor(values, device=data.edge_index.device)
    except (TypeError, ValueError, RuntimeError) as e:
        raise ValueError(f"'{name}' needs to be names or numbers (got {value!r})") from e
    if out.numel() == 0:
        raise ValueError(f"'{name}' is empty")
    return out.view(-1)


def labels(data: Data) -> tuple[list[str], list[str]]:
    r"""Returns the names of entities and of relations to print, which are
    their numbers if there are none.
    """
    nodes = data.get("node_names") or list(map(str, range(int(data.num_nodes))))
    return nodes, data.get("rel_names") or list(map(str, range(int(data.num_relations))))


def _answers(
    scores: StreamedScores,
    data: Data,
    head_index: Tensor,
    rel_type: Tensor,
    k: int,
    index: TripletIndex,
    shown: TripletIndex | None,
    temperature: Temperature | None,
) -> list[Answers]:
    model = scores.model
    score, score_dict = view_scores(scores, head_index, rel_type)
    probability = None if temperature is None else temperature(score)
    known, hide = (torch.zeros_like(score, dtype=torch.bool) for _ in range(2))
    known[tuple(index(head_index, rel_type))] = True
    if shown is not None:
        hide |= known
        hide[tuple(shown(head_index, rel_type))] = False
    row = torch.arange(head_index.numel(), device=score.device)
    loops = torch.isin(rel_type % data.num_relations, loop_relations(data))
    hide[row, head_index] |= ~loops & ~known[row, head_index]
    score = score.masked_fill(hide, -torch.inf)

    value, tail_index = score.topk(min(k, score.size(1)))
    weights = model.view_weights()
    is_prob = yields_probabilities(model)
    views = {view: x.gather(1, tail_index) for view, x in score_dict.items()}
    parts = {v: weights[v] * (x.sigmoid() if is_prob else x) for v, x in views.items()}
    columns = {"score": value, "known": known.gather(1, tail_index)}
    if probability is not None:
        columns["probability"] = probability.gather(1, tail_index)
    # One transfer each, rather than one per answer:
    rows = {name: x.tolist() for name, x in columns.items()}
    view_rows = {view: x.tolist() for view, x in views.items()}
    part_rows = {view: x.tolist() for view, x in parts.items()}
    node_names, rel_names = labels(data)
    node_ids = data.get("node_ids") or node_names
    out = []
    for i, (head, rel) in enumerate(zip(head_index.tolist(), rel_type.tolist(), strict=True)):
        rel_name = rel_names[rel % data.num_relations]
        query = (node_names[head], rel_name, "?")
        query = query if rel < data.num_relations else query[::-1]
        out.append(
            Answers(
                (
                    Completion(
                        index=entity,
                        name=node_names[entity],
                        **{name: x[i][j] for name, x in rows.items()},
                        views={view: x[i][j] for view, x in view_rows.items()},
                        weights=weights,
                        parts={view: x[i][j] for view, x in part_rows.items()},
                        node_id=node_ids[entity],
                    )
                    for j, entity in enumerate(tail_index[i].tolist())
                    if rows["score"][i][j] > -torch.inf
                ),
                "  ".join(query),
            )
        )
    return out
