from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

import torch_imf
from torch_imf.answers.predictor import NEW, Predictor
from torch_imf.answers.results import (
    Answers,
    Completion,
    Explanation,
    percent,
    shown,
    shown_views,
)
from torch_imf.serve.content import Content
from torch_imf.serve.search import Search

#: How many facts of an entity are shown, and neighbours drawn.
MOST_FACTS, MOST_NEIGHBORS = 200, 12
#: How many entities there are to begin with.
MOST_FIRST = 8


class Explorer:
    r"""What people look at and ask for in a graph: entities as they are known, relations, and the
    answers of a model, as rows of text for pages. It reads, and never writes.

    Args:
        predictor (Predictor): What answers questions.
        content (Content, optional): Texts, numbers and pictures of entities, as far as there are
            any. (default: :obj:`None`)
        metrics (dict, optional): The metrics of the model, as of :meth:`~torch_imf.evaluate`.
            (default: :obj:`None`)
        history (list, optional): Its history, as of :meth:`~torch_imf.fit`. (default: :obj:`()`)
    """

    def __init__(
        self,
        predictor: Predictor,
        content: Content | None = None,
        metrics: Mapping[str, Any] | None = None,
        history: Sequence[Mapping[str, float]] = (),
    ) -> None:
        self.predictor, self.metrics, self.history = predictor, metrics or {}, history
        self.labels = [shown(" ".join(x.split())) for x in predictor.nodes.labels]
        self.rel_labels = [shown(" ".join(x.split())) for x in predictor.relations.labels]
        self.content = content or Content(predictor.nodes.ids)
        self.search = Search(predictor.nodes)
        data = predictor.data
        self.base = (data.edge_type < predictor.num_relations).nonzero().view(-1).cpu()
        self.edges = torch.stack([*data.edge_index.cpu(), data.edge_type.cpu()])[:, self.base]
        masks = ("train", "val", "test")
        self.splits = {x: data[f"{x}_mask"].cpu()[self.base] for x in masks}

    # Look ########################################################################################

    def facts(self, row: int) -> list[tuple[int, int, int, str]]:
        r"""Returns the known facts of an entity: head, relation, tail and split."""
        head, tail, _ = self.edges
        return self._facts(((head == row) | (tail == row)).nonzero().view(-1)[:MOST_FACTS])

    def about(self, row: int) -> dict[str, Any]:
        r"""Returns what is known of an entity, in rows of text."""
        facts, ids = self.facts(row), self.predictor.nodes.ids
        numbers = self.content.numbers.get(ids[row], {})
        head, tail, _ = self.edges
        count = int(((head == row) | (tail == row)).sum())
        more = f" (the first {MOST_FACTS})" if count > MOST_FACTS else ""
        return {
            "name": self.labels[row],
            "id": shown(ids[row]),
            "text": shown(self.content.text(row)),
            "numbers": [[shown(name), f"{value:,.10g}"] for name, value in numbers.items()],
            "count": f"{count:,} known facts{more}",
            "facts": [self.words(*fact) for fact in facts],
        }

    @cached_property
    def first(self) -> list[int]:
        r"""Returns entities to begin with, those of most facts, with a picture if there are any."""
        count = self.edges[:2].reshape(-1).bincount(minlength=len(self.labels))
        ids, images = self.predictor.nodes.ids, self.content.images
        seen = torch.tensor([node in images for node in ids])
        return (count + seen * len(self.base)).topk(min(MOST_FIRST, len(ids))).indices.tolist()

    def words(self, head: int, rel: int, tail: int, split: str) -> list[str]:
        r"""Writes a fact by names."""
        return [self.labels[head], self.rel_labels[rel], self.labels[tail], split]

    def neighbors(self, row: int) -> list[tuple[int, int, bool]]:
        r"""Returns other entities that share a fact with one, each once: the entity, the relation,
        and whether it is the tail. Those of different relations come first.
        """
        found: dict[int, tuple[int, int, bool]] = {}
        for head, rel, tail, _ in self.facts(row):
            other = tail if head == row else head
            if other != row:
                found.setdefault(other, (other, rel, head == row))
        by_rel: dict[tuple[int, bool], int] = {}
        turns = []
        for entry in found.values():
            turn = by_rel[entry[1:]] = by_rel.get(entry[1:], -1) + 1
            turns.append((turn, entry))
        return [entry for _, entry in sorted(turns, key=lambda x: x[0])][:MOST_NEIGHBORS]

    @cached_property
    def relations(self) -> list[list[str]]:
        r"""The name of each relation, and how many facts, heads and tails it has, as text."""
        head, tail, rel = self.edges
        size = self.predictor.num_relations
        facts = rel.bincount(minlength=size)
        sides = [
            torch.stack([rel, x]).unique(dim=1)[0].bincount(minlength=size) for x in (head, tail)
        ]
        counts = torch.stack([facts, *sides], dim=1).tolist()
        return [[x, *map("{:,}".format, y)] for x, y in zip(self.rel_labels, counts, strict=True)]

    def examples(self, rel: int, k: int = 10) -> list[list[str]]:
        r"""Returns some facts of a relation by names, from all over it."""
        edges = (self.edges[2] == rel).nonzero().view(-1)
        step = max(1, edges.numel() // k)
        return [self.words(*fact) for fact in self._facts(edges[::step][:k])]

    def way(self, other: int, rel: int, is_tail: bool) -> str:
        r"""Writes the way to a neighbour, along a fact or backwards."""
        return f"{self.rel_labels[rel]} {'→' if is_tail else '←'} {self.labels[other]}"

    def _facts(self, edges: Tensor) -> list[tuple[int, int, int, str]]:
        head, tail, rel = self.edges[:, edges].tolist()
        masks = {name: mask[edges].tolist() for name, mask in self.splits.items()}
        splits = [next((x for x in masks if masks[x][i]), "") for i in range(len(head))]
        return list(zip(head, rel, tail, splits, strict=True))

    # Ask #########################################################################################

    def sensible(self, row: int | None, asks_tail: bool = True) -> list[int]:
        r"""Returns all relations, those first that an entity has facts of on its side, then those
        that fit it, and each time by their number of facts. For a new entity, that is their number.
        """
        predictor, size = self.predictor, self.predictor.num_relations
        head, tail, rel = self.edges
        count = rel.bincount(minlength=size).tolist()
        own: set[int] = set()
        fit: set[int] = set()
        if row is not None:
            own = set(rel[(head if asks_tail else tail) == row].tolist())
            domains = predictor.domains[:size] if asks_tail else predictor.domains[size:]
            fit = {r for r, domain in enumerate(domains) if bool((domain == row).any())}
        return sorted(range(size), key=lambda r: (r not in own, r not in fit, -count[r]))

    def ask(
        self,
        entity: int | Mapping[str, Any],
        rel: int,
        asks_tail: bool = True,
        k: int = 10,
        known: str = "mark",
    ) -> Answers:
        r"""Returns the answers to a question about an entity, or a new one that is described."""
        side: Any = {"head" if asks_tail else "tail": self._given(entity)}
        return self.predictor.predict(relation=torch.tensor([rel]), k=k, known=known, **side)

    def explain(
        self, entity: int | Mapping[str, Any], rel: int, answer: int, asks_tail: bool = True
    ) -> Explanation:
        r"""Returns what stands behind an answer."""
        predictor, given = self.predictor, self._given(entity)
        if isinstance(entity, Mapping):
            described = [{**entity, "name": NEW}]
            encoders = predictor.encoders
            model, data = torch_imf.add_entities(
                predictor.model, predictor.data, described, (), encoders
            )
            predictor = Predictor(model, data, predictor.calibration)
            given = torch.tensor([data.num_nodes - 1])
        pair: list[Any] = [given, torch.tensor([answer])]
        head, tail = pair if asks_tail else pair[::-1]
        return predictor.explain(head, torch.tensor([rel]), tail)

    def _given(self, entity: int | Mapping[str, Any]) -> Any:
        return dict(entity) if isinstance(entity, Mapping) else torch.tensor([entity])


def parts_in_words(answer: Completion) -> str:
    r"""Writes the parts that views have in the score of an answer, the largest ones first."""
    most, rest = shown_views([answer])
    said = {view: answer.parts[view] for view in most if view not in answer.lacks}
    said |= {"others": sum(answer.parts[view] for view in rest)} if rest else {}
    text = ", ".join(f"{view} {x:+.2f}" for view, x in said.items())
    return text + (f"; without {', '.join(answer.lacks)}" if answer.lacks else "")


def bar(probability: float | None) -> str:
    r"""Draws a probability as a bar of ten, and writes it in per cent."""
    if probability is None:
        return ""
    full = round(10 * probability)
    # Numbers align by spaces as wide as a digit:
    return f"{percent(probability):\u2007>7} {'█' * full}{'░' * (10 - full)}"
