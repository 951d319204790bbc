import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from itertools import compress
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data

from torch_imf.answers.calibration import (
    Calibration,
    calibrate_scores,
    view_scores,
    yields_probabilities,
)
from torch_imf.answers.completion import MAX_SCORES, best_facts, find_domains
from torch_imf.answers.entities import NEW, Entity
from torch_imf.answers.explanation import explain as explain_fact
from torch_imf.answers.gaps import Gaps, fit_chance
from torch_imf.answers.newcomer import Newcomer
from torch_imf.answers.results import (
    Answers,
    Completion,
    Explanation,
    Fact,
    Facts,
    table_suffix,
    write_table,
)
from torch_imf.data import TripletIndex
from torch_imf.data.decisions import refused_facts
from torch_imf.data.graph import check_tensor, loop_relations, prepare, type_pairs
from torch_imf.data.index import both_sides, check_triples
from torch_imf.data.names import Lookup, Names
from torch_imf.evaluation.ranking import StreamedScores, check_whole, inference, twin
from torch_imf.io import nearest, some, warn
from torch_imf.io.tables import JSON, Column, read_table, short, suffix, where
from torch_imf.registry import checked

FACT = ("head", "relation", "tail")
COLUMNS = ["query", *FACT, "rank", "id", "score", "probability", "conditional", "known", "error"]
Name = str | int | Tensor


class Predictor:
    r"""Answers questions about a graph by a trained model. Facts are indexed and entities encoded
    once, so that a question costs its own scores. Several threads may ask at once.

    .. code-block:: python

        predictor = Predictor(model, data, calibration=calibrate(model, data))
        print(predictor.predict(head="France", relation="borders"))
        print(predictor.explain("Argentina", "borders", "Paraguay"))
        print(predictor.complete(k=20))

    Entities and relations are given by name, identifier or number. No entity is an answer to itself
    in a relation without such a training fact.

    Args:
        model (torch.nn.Module): A model of this package. Once its parameters change, questions
            raise: make a new predictor.
        data (Data): The graph, with names of entities and relations.
        calibration (Calibration, optional): The map from scores to probabilities, of
            :meth:`~torch_imf.calibrate`. (default: :obj:`None`)
        encoders (dict, optional): The encoders of the features of the graph, to ask for entities
            that it lacks, as :meth:`~torch_imf.add_entities`. (default: :obj:`None`)

    Raises:
        ValueError: If the graph is not sound or does not fit the model. Questions raise if a name
            is unknown or ambiguous, an argument is invalid, or a score is NaN or infinite.
    """

    @checked
    def __init__(
        self,
        model: Module,
        data: Data,
        calibration: Calibration | None = None,
        encoders: Mapping[str, Any] | None = None,
    ) -> None:
        self.encoders = encoders
        self.data = prepare(model, data)
        check_whole(model)
        self.num_nodes, self.num_relations = int(data.num_nodes), int(data.num_relations)
        self.batch_size = max(1, MAX_SCORES // self.num_nodes)
        self.calibration = calibration
        self.nodes, self.relations = Lookup.of_entities(data), Lookup.of_relations(data)
        self.known = TripletIndex.from_data(self.data)
        self.device = self.known.key.device
        self.has_loops = torch.zeros(self.num_relations, dtype=torch.bool, device=self.device)
        self.has_loops[loop_relations(self.data)] = True
        self.model: Any = twin(model)
        with inference(self.model):
            self.scores = StreamedScores(self.model)
        self._version = _version(self.model)
        #: The scores if no entity had a modality, once somebody has asked for an explanation.
        self.without: dict[str, StreamedScores] = {}

    def predict(
        self,
        head: Name | Entity | None = None,
        relation: Name | None = None,
        k: int = 10,
        *,
        tail: Name | Entity | None = None,
        known: str = "mark",
        keep: Tensor | None = None,
        types: str | Sequence[str] | None = None,
    ) -> Answers:
        r"""Returns the most likely tails of a head and a relation or, given a tail instead, the
        most likely heads. Their score is a logit or, for several views with the :obj:`"bce"` loss,
        an average of probabilities; views give logits.

        Args:
            head (str, int or dict, optional): The head. A dictionary stands for an entity that the
                graph lacks, as :obj:`{"text": "...", "image": "flag.png"}`, of which
                :meth:`~torch_imf.add_entities` tells. It alone is encoded, but for the first such
                question. (default: :obj:`None`)
            relation (str or int): The relation. The number :obj:`r + num_relations` is the inverse
                of relation :obj:`r`.
            k (int, optional): The number of answers. (default: :obj:`10`)
            tail (str, int or dict, optional): The tail, in place of :obj:`head`. (default:
                :obj:`None`)
            known (str, optional): Whether to :obj:`"mark"` facts that the graph holds or to
                :obj:`"remove"` them. (default: :obj:`"mark"`)
            keep (torch.Tensor, optional): A mask over edges: the known facts to mark while all
                others are removed, *e.g.*, :obj:`data.test_mask` to see how test facts rank among
                new ones. (default: :obj:`None`)
            types (list, optional): The types of entities of which one is to be that of an answer,
                as the graph names them (:obj:`data.node_types`). (default: :obj:`None`)
        """
        if isinstance(head, Mapping) or isinstance(tail, Mapping):
            return self._predict_new(head, relation, tail, k, known, keep, types)
        rest: Any = {"tail": tail, "known": known, "keep": keep, "types": types}
        found = self.predict_many(head, relation, k, **rest)
        if len(found) != 1:
            raise ValueError("'predict' takes one query. Ask several by 'predict_many'")
        return found[0]

    @checked
    def predict_many(
        self,
        head: Names | None = None,
        relation: Names | None = None,
        k: int = 10,
        *,
        tail: Names | None = None,
        known: str = "mark",
        keep: Tensor | None = None,
        types: str | Sequence[str] | None = None,
    ) -> list[Answers]:
        r"""Returns the answers to several queries, each as :meth:`predict` does: :obj:`head` or
        :obj:`tail` is a list of names, or a list or tensor of numbers, and :obj:`relation` one per
        query or one for all.
        """
        query = self._query(head, relation, tail)
        return list(self._answers(*query, None, k, known, keep, types))

    @checked
    def predict_file(
        self,
        queries: str | os.PathLike[str],
        answers: str | os.PathLike[str],
        k: int = 10,
        known: str = "mark",
        types: str | Sequence[str] | None = None,
    ) -> int:
        r"""Answers the queries of one file in another, as :meth:`predict`, and returns the number
        of answers.

        :obj:`queries` is a table (TSV, or any other of :obj:`torch_imf.io.tables.read_table`) of a
        head, a relation and a tail per line, with a question mark for what is asked:

        .. code-block:: none

            France	borders	?
            ?	borders	country:fr

        The table of :obj:`answers` (TSV, CSV, JSON, JSONL, Parquet or Excel, by its name) has one
        row per answer, best first: the number of its query's line, the fact by names, its rank, the
        identifier of the answer, its score, probability and conditional probability (empty without
        a calibration), whether the graph holds it (:obj:`1` or :obj:`0`), and the part that each
        view has in its score. It takes its place once it is complete. A query that cannot be asked
        has one row, whose :obj:`error` says why, and a warning tells how many there are. Errors of
        the table itself name the line.
        """
        queries = os.fspath(queries)
        if os.path.realpath(answers) == os.path.realpath(queries):
            raise ValueError(f"'{queries}' cannot hold the answers, it is the file of queries")
        table_suffix(answers)
        given, rows, errors = [], [], {}
        columns = [Column(name, (name,), blank=True) for name in FACT]
        empty = "?" if suffix(queries) in JSON else ""  # What null is read as.
        for line, row in read_table(queries, columns):
            fact = [cell or empty for cell in row]
            given.append((line, fact))
            try:
                rows.append(self._query(*(None if cell == "?" else cell for cell in fact)))
            except ValueError as e:
                errors[line] = f"{e} (got {short(fact)})"
        if not given:
            raise ValueError(f"'{queries}' holds no queries")
        if errors:
            line, error = next(iter(errors.items()))
            first = f"{where(queries, line)}: {error}"
            if not rows:
                raise ValueError(first)
            count = f"{len(errors):,} of {len(given):,} queries have no answers"
            warn(f"{count}, as the column 'error' of '{os.fspath(answers)}' says. {first}")
        head_index, rel_type = (torch.cat(x) for x in zip(*rows, strict=True))
        found = self._answers(head_index, rel_type, None, k, known, None, types)

        def cells() -> Iterator[list[object]]:
            views = self.model.views
            yield [*COLUMNS, *(f"of {view}" for view in views)]
            for line, fact in given:
                if line in errors:
                    yield [line, *fact, *[None] * 6, errors[line], *[None] * len(views)]
                    continue
                completions = next(found)
                for rank, x in enumerate(completions, start=1):
                    names = [x.name if cell == "?" else cell for cell in completions.fact]
                    numbers = x.score, x.probability, x.conditional, int(x.known), None
                    parts = (None if v in x.lacks else y for v, y in x.parts.items())
                    yield [line, *names, rank, x.node_id, *numbers, *parts]

        return write_table(answers, cells()) - len(errors)

    @torch.no_grad()
    @checked
    def complete(
        self,
        k: int = 100,
        relation: Names | None = None,
        everyone: bool = False,
        progress: bool = False,
    ) -> Facts:
        r"""Returns the most likely facts that the graph does not hold, in any split, and that
        people have not refused (:meth:`~torch_imf.data.add_decisions`).

        Only entities that fit a relation are asked, and are answers: those that are head (or tail)
        of it in a training fact, and those that are head of another relation most heads of which
        are heads of it, too. Facts are ordered by their probability, see
        :meth:`~torch_imf.calibrate`, as scores of different queries need not compare. It needs
        validation facts, unless the predictor has a calibration without a :obj:`chance`.

        Args:
            k (int, optional): The number of facts. (default: :obj:`100`)
            relation (str or int or list, optional): The relation to complete, or several. If
                :obj:`None`, all of them. (default: :obj:`None`)
            everyone (bool, optional): Whether every entity is asked, and is an answer, so that
                :math:`N^2 R` facts are scored. (default: :obj:`False`)
            progress (bool, optional): Whether to show progress in a terminal. (default:
                :obj:`False`)
        """
        rels = torch.arange(self.num_relations)
        if relation is not None:
            rels = self.relations.rows("relation", relation).unique()
        is_row = not (rels.is_floating_point() or rels.dtype == torch.bool)
        if not is_row or int(rels[0]) < 0 or int(rels[-1]) >= self.num_relations:
            base = f"[0, {self.num_relations}), the base relations"
            raise ValueError(f"'relation' needs to be in {base} (got {rels.tolist()})")
        calibration = self.calibration or calibrate(self.model, self.data)
        gaps = None if calibration.chance is None else self.gaps
        rest = self.decided, gaps, everyone, progress
        best = best_facts(self, k, rels.tolist(), calibration, *rest)
        numbers = [*best[3:].long(), best[2], *best[:2].sigmoid()]
        nodes, relations = self.nodes, self.relations
        out = Facts()
        for h, r, t, score, chance, given in zip(*(x.tolist() for x in numbers), strict=True):
            labels = nodes.labels[h], relations.labels[r], nodes.labels[t]
            ids = nodes.ids[h], relations.ids[r], nodes.ids[t]
            out.append(Fact(h, r, t, *labels, score, chance, given, *ids))
        return out

    @torch.no_grad()
    @checked
    def explain(
        self, head: Name, relation: Name, tail: Name, k: int = 5, view: str | None = None
    ) -> Explanation:
        r"""Tells what stands behind the score of a fact, known or not: which view carries it, what
        it would be without each modality, and which training facts support it: the :obj:`k` nearest
        ones in a trained view (by default the fused one or, without it, the first), and :obj:`k`
        paths; and the :obj:`k` best reasons of each view that needs no training.
        """
        rows = self.nodes.rows("head", head), self.relations.rows("relation", relation)
        fact = torch.cat([*rows, self.nodes.rows("tail", tail)]).to(self.device)
        if fact.numel() != 3:
            raise ValueError("Head, relation and tail need to be one name or number each")
        return explain_fact(self, fact, k, view)

    def score(
        self, head_index: Tensor, rel_type: Tensor, scores: StreamedScores | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        r"""The scores :obj:`[B, N]` of all entities as tail, over all views and in each of them."""
        self._check_version()
        with inference(self.model):
            return view_scores(scores or self.scores, head_index, rel_type)

    @cached_property
    def train(self) -> TripletIndex:
        r"""The training facts, in both directions."""
        return TripletIndex.from_data(self.data, self.data.train_mask)

    @cached_property
    def decided(self) -> TripletIndex:
        r"""The facts of all splits, and those that people have refused, in both directions."""
        head_index, rel_type, tail_index = refused_facts(self.data).to(self.device)
        if head_index.numel() == 0:
            return self.known
        refused = both_sides(head_index, rel_type, tail_index, self.num_relations)
        return TripletIndex(*torch.cat([self.known.facts(), torch.stack(refused)], dim=1))

    @cached_property
    def domains(self) -> tuple[Tensor, ...]:
        r"""The entities that fit each relation as its head, and each inverse."""
        return find_domains(self.train, self.num_nodes, self.num_relations)

    @cached_property
    def gaps(self) -> Gaps:
        r"""How often queries miss an answer."""
        return Gaps(self.data, self.domains, self.known)

    def of_types(self, types: str | Sequence[str]) -> Tensor:
        r"""Returns which entities, :obj:`[N]`, are of one of some types. Raises a
        :class:`ValueError` if the graph knows of no such type.
        """
        names, (node, kind) = type_pairs(self.data)
        if not names:
            raise ValueError("The graph knows of no types of entities ('data.node_types')")
        wanted = [types] if isinstance(types, str) else list(types)
        if unknown := [x for x in wanted if x not in names]:
            hint = nearest(str(unknown[0]), names) or f" There are {some(names)}"
            raise ValueError(f"There is no type '{unknown[0]}'.{hint}")
        is_wanted = torch.tensor([name in wanted for name in names])
        out = torch.zeros(self.num_nodes, dtype=torch.bool)
        out[node[is_wanted[kind]]] = True
        return out.to(self.device)

    def probabilities(
        self, score: Tensor, head_index: Tensor, rel_type: Tensor, tail_index: Tensor
    ) -> tuple[list[list[float | None]], list[list[float | None]]]:
        r"""The chance that candidates :obj:`tail_index`, of shape :obj:`[B, K]`, are facts, and
        their probability if the query misses an answer, both :obj:`None` without a calibration. A
        known fact counts as if it were not known.
        """
        calibration, size = self.calibration, tail_index.size()
        if calibration is None:
            none: list[list[float | None]] = [[None] * size[1]] * size[0]
            return none, none
        logit = calibration.logit(score).gather(1, tail_index)
        chance = logit
        if calibration.chance is not None:
            head, rel = head_index[:, None], rel_type[:, None]
            inverse = (rel + self.num_relations) % (2 * self.num_relations)
            known = self.known.contains(head, rel, tail_index).long()
            gap = self.gaps(head, rel, known), self.gaps(tail_index, inverse, known)
            chance = calibration.chance_logit(logit, *gap)
        return chance.sigmoid().tolist(), logit.sigmoid().tolist()

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({type(self.model).__name__}, {self.num_nodes})"

    @cached_property
    def _spare(self) -> "tuple[Newcomer, Predictor]":
        # An entity that the graph lacks, and one who knows it.
        new = Newcomer(self.model, self.data, self.encoders)
        return new, Predictor(new.model, new.data, self.calibration)

    @torch.no_grad()
    def _predict_new(self, head: Any, relation: Name | None, tail: Any, *rest: Any) -> Answers:
        self._check_version()
        entity = next(x for x in (head, tail) if isinstance(x, Mapping))
        head, tail = (NEW if isinstance(x, Mapping) else x for x in (head, tail))
        new, predictor = self._spare
        query = predictor._query(head, relation, tail)
        scores = new.scores(predictor.scores, entity)
        found = next(predictor._answers(*query, scores, *rest))
        name = str(entity.get("name", NEW))
        found.fact = tuple(name if x == NEW else x for x in found.fact)
        return found

    def _check_version(self) -> None:
        if _version(self.model) != self._version:
            raise ValueError("The model has changed since it was encoded. Make a new 'Predictor'")

    def _query(
        self, head: Names | None, relation: Names | None, tail: Names | None
    ) -> tuple[Tensor, Tensor]:
        given = tail if head is None else head
        if given is None or relation is None or (head is not None and tail is not None):
            rest = "the other one, or '?' for it in a file, is what is asked for"
            raise ValueError(f"Give 'relation' and one of 'head' and 'tail': {rest}")
        index = self.nodes.rows("head" if tail is None else "tail", given).to(self.device)
        rel = self.relations.rows("relation", relation).to(self.device)
        rel = rel.expand_as(index) if rel.numel() == 1 else rel
        check_triples(index, rel, index, self.num_nodes, 2 * self.num_relations)
        inverse = (rel + self.num_relations) % (2 * self.num_relations)
        return index, inverse if head is None else rel

    @checked
    def _answers(
        self,
        head_index: Tensor,
        rel_type: Tensor,
        scores: StreamedScores | None,
        k: int,
        known: str,
        keep: Tensor | None,
        types: str | Sequence[str] | None,
    ) -> Iterator[Answers]:
        if known not in {"mark", "remove"}:
            raise ValueError(f"'known' needs to be 'mark' or 'remove' (got '{known}')")
        if keep is not None:
            size = list(self.data.edge_type.size())
            check_tensor("'keep', a mask over edges,", keep, size, torch.bool)
        others = None if types is None else ~self.of_types(types)
        kept = None if keep is None else TripletIndex.from_data(self.data, keep.to(self.device))
        weights, views = self.model.view_weights(), self.model.views
        is_prob = yields_probabilities(self.model)
        masks = (scores or self.scores).model.view_masks()
        for head, rel in torch.stack([head_index, rel_type]).split(self.batch_size, dim=1):
            score, score_dict = self.score(head, rel, scores)
            ranked = score.clone()
            if known == "remove" or kept is not None:
                ranked[tuple(self.known(head, rel))] = -torch.inf
            if kept is not None:
                pos = tuple(kept(head, rel))
                ranked[pos] = score[pos]
            loop = self.has_loops[rel % self.num_relations] | self.known.contains(head, rel, head)
            row = (~loop).nonzero().view(-1)
            ranked[row, head[row]] = -torch.inf
            if others is not None:
                ranked[:, others] = -torch.inf
            value, tail = ranked.topk(min(k, self.num_nodes))
            is_known = self.known.contains(head[:, None], rel[:, None], tail)
            probability = self.probabilities(score, head, rel, tail)
            alone = torch.stack([score_dict[view].gather(1, tail) for view in views], dim=-1)
            part = alone.sigmoid() if is_prob else alone
            part = part * part.new_tensor([weights[view] for view in views])
            lacking = torch.zeros(*tail.size(), len(masks), dtype=torch.bool, device=tail.device)
            for j, mask in enumerate(masks.values()):
                lacking[..., j] = ~(mask[head, None] & mask[tail])
            # With one transfer for each:
            columns = (head, rel, tail, value, is_known, alone, part, lacking)
            for h, r, *rows in zip(*(x.tolist() for x in columns), *probability, strict=True):
                fact = (self.nodes.labels[h], self.relations.labels[r % self.num_relations], "?")
                out = Answers(fact=fact if r < self.num_relations else fact[::-1])
                for i, x, held, *cells, lacks, p, given in zip(*rows, strict=True):
                    by_view, parts = (dict(zip(views, y, strict=True)) for y in cells)
                    if x > -torch.inf:
                        labels = self.nodes.labels[i], self.nodes.ids[i]
                        about = by_view, weights, parts
                        absent = tuple(compress(masks, lacks))
                        out.append(Completion(i, *labels, x, held, *about, p, given, absent))
                yield out


def _version(model: Module) -> int:
    # It changes whenever a parameter does.
    return sum(parameter._version for parameter in model.parameters())


# One question of a model: for many, make a predictor once ########################################


@checked
def calibrate(model: Module, data: Data, num_facts: int = 1024, seed: int = 0) -> Calibration:
    r"""Fits the map from scores to probabilities to validation facts, and leaves the model as it
    is.

    A probability of 0.7 means that of ten candidates like this one, about seven are facts, *if the
    graph lacks as many facts as validation holds*: nobody knows how much it lacks, so compare the
    probabilities of a graph that lacks half of what is true with each other. It counts how often
    queries like this one miss an answer: a film that has a director hardly misses another one. It
    is fitted to the best candidates that :meth:`Predictor.complete` lists when only training facts
    are known, and most reliable for the best ones.

    The other one, :obj:`conditional`, is that of an answer to a query which *has* one that is not
    known, which is what held-out queries have, and far too high for others. Test facts are never
    looked at, but for their number.

    Args:
        model (torch.nn.Module): A model of this package.
        data (Data): All facts with split masks.
        num_facts (int, optional): The number of validation facts to fit conditional probabilities
            to, drawn at random if there are more. (default: :obj:`1024`)
        seed (int, optional): The seed of the draw. (default: :obj:`0`)

    Raises:
        ValueError: If the graph does not fit the model, there are no validation facts that are new,
            or a score is NaN or infinite.
    """
    calibration = calibrate_scores(model, data, num_facts, seed)
    return fit_chance(Predictor(model, data), calibration)


def predict(
    model: Module,
    data: Data,
    head: Name | Entity | None = None,
    relation: Name | None = None,
    k: int = 10,
    *,
    tail: Name | Entity | None = None,
    known: str = "mark",
    keep: Tensor | None = None,
    calibration: Calibration | None = None,
    encoders: Mapping[str, Any] | None = None,
    types: str | Sequence[str] | None = None,
) -> Answers:
    r"""Answers a query, as :meth:`Predictor.predict` of a new predictor."""
    predictor = Predictor(model, data, calibration, encoders)
    return predictor.predict(head, relation, k, tail=tail, known=known, keep=keep, types=types)


def predict_file(
    model: Module,
    data: Data,
    queries: str | os.PathLike[str],
    answers: str | os.PathLike[str],
    k: int = 10,
    known: str = "mark",
    calibration: Calibration | None = None,
    types: str | Sequence[str] | None = None,
) -> int:
    r"""Answers the queries of a file, as :meth:`Predictor.predict_file`."""
    return Predictor(model, data, calibration).predict_file(queries, answers, k, known, types)


def complete(
    model: Module,
    data: Data,
    k: int = 100,
    relation: Names | None = None,
    calibration: Calibration | None = None,
    everyone: bool = False,
    progress: bool = False,
) -> Facts:
    r"""Returns missing facts, as :meth:`Predictor.complete`."""
    return Predictor(model, data, calibration).complete(k, relation, everyone, progress)


def explain(
    model: Module,
    data: Data,
    head: Name,
    relation: Name,
    tail: Name,
    k: int = 5,
    view: str | None = None,
    calibration: Calibration | None = None,
) -> Explanation:
    r"""Explains a fact, as :meth:`Predictor.explain` of a new predictor."""
    return Predictor(model, data, calibration).explain(head, relation, tail, k, view)
