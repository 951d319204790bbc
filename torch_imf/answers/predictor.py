import copy
import os
from collections.abc import Iterator
from functools import cached_property
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data
from tqdm import tqdm

from torch_imf.answers.domains import Domains
from torch_imf.answers.probability import Calibration, calibrate, view_scores, yields_probabilities
from torch_imf.answers.results import Answers, Completion, Explanation, Fact, Facts, Rank, Support
from torch_imf.answers.tables import tsv_line
from torch_imf.data import TripletIndex
from torch_imf.data.graph import loop_relations, prepare
from torch_imf.data.index import both_sides, check_triples
from torch_imf.data.names import Lookup, Names
from torch_imf.evaluation.ranking import StreamedScores, check_finite, inference
from torch_imf.io.atomic import read_bytes, replacing

#: The number of scores to hold at once, unless a single query has more.
MAX_SCORES = 2**22
COLUMNS = ("query", "head", "relation", "tail", "rank", "id", "score", "probability", "known")
Name = str | int


class Predictor:
    r"""Answers questions about a graph by a trained model. Facts are indexed
    and entities are encoded once, so that a question costs its own scores.

    .. code-block:: python

        predictor = Predictor(model, data, calibration=calibrate(model, data))
        print(predictor.predict(head="France", relation="borders"))
        print(predictor.explain("Argentina", "borders", "Paraguay"))
        print(predictor.complete(k=20))

    Entities and relations are given by name, identifier or number. No entity is
    an answer to itself in a relation without such a training fact. Several
    threads may ask at once, also while the model is in training mode.

    Args:
        model (torch.nn.Module): A model of this package. Once its parameters
            change, questions raise: make a new predictor.
        data (Data): The graph, with names of entities and relations.
        calibration (Calibration, optional): The map from scores to
            probabilities, as of :meth:`~torch_imf.calibrate`.
            (default: :obj:`None`)
        batch_size (int, optional): Number of queries to score at once. If
            :obj:`None`, as many as make about four million scores.
            (default: :obj:`None`)

    Raises:
        ValueError: If the graph is not sound or does not fit the model.
            Questions raise if a name is unknown or ambiguous, a number is out
            of range, an argument is invalid, or a score is NaN or infinite.
    """

    def __init__(
        self,
        model: Module,
        data: Data,
        calibration: Calibration | None = None,
        batch_size: int | None = None,
    ) -> None:
        self.data = prepare(model, data)
        self.num_nodes, self.num_relations = int(data.num_nodes), int(data.num_relations)
        self.batch_size = max(1, MAX_SCORES // self.num_nodes) if batch_size is None else batch_size
        if self.batch_size < 1:
            raise ValueError(f"'batch_size' needs to be positive (got {batch_size})")
        self.calibration = calibration
        self.nodes, self.relations = Lookup.of_entities(data), Lookup.of_relations(data)
        self.known = TripletIndex.from_data(self.data)
        self.device = self.known.key.device
        self.has_loops = torch.zeros(self.num_relations, dtype=torch.bool, device=self.device)
        self.has_loops[loop_relations(self.data)] = True
        self.model: Any = _twin(model)
        with inference(self.model):
            self.scores = StreamedScores(self.model)
        self._version = _version(self.model)
        self._without: dict[str, StreamedScores] = {}

    def predict(
        self,
        head: Name | None = None,
        relation: Name | None = None,
        k: int = 10,
        *,
        tail: Name | None = None,
        known: str = "mark",
        keep: Tensor | None = None,
    ) -> Answers:
        r"""Returns the most likely tails of a head and a relation or, given a
        tail instead, the most likely heads.

        Args:
            head (str or int, optional): The head. (default: :obj:`None`)
            relation (str or int): The relation. The number
                :obj:`r + num_relations` is the inverse of relation :obj:`r`.
            k (int, optional): The number of answers. (default: :obj:`10`)
            tail (str or int, optional): The tail, in place of :obj:`head`.
                (default: :obj:`None`)
            known (str, optional): Whether to :obj:`"mark"` facts that the graph
                holds or to :obj:`"remove"` them. (default: :obj:`"mark"`)
            keep (torch.Tensor, optional): A mask over edges: the facts that
                :obj:`known="remove"` leaves in and marks, *e.g.*,
                :obj:`data.test_mask` to see how test facts rank among new ones.
                (default: :obj:`None`)

        Returns:
            The answers. Their score is an average of probabilities for several
            views with the :obj:`"bce"` loss, and a logit otherwise; those of
            views are logits.
        """
        query = self._query(head, relation, tail)
        if query[0].numel() != 1:
            raise ValueError("'predict' takes one query. Ask several by 'predict_many'")
        return next(self._answers(*query, k, known, keep))

    def predict_many(
        self,
        head: Names | None = None,
        relation: Names | None = None,
        k: int = 10,
        *,
        tail: Names | None = None,
        known: str = "mark",
        keep: Tensor | None = None,
    ) -> list[Answers]:
        r"""Returns the answers to several queries, each as :meth:`predict` does:
        :obj:`head` or :obj:`tail` is a list of names, or a list or tensor of
        numbers, and :obj:`relation` one per query or one for all.
        """
        return list(self._answers(*self._query(head, relation, tail), k, known, keep))

    def predict_file(
        self,
        queries: str | os.PathLike[str],
        answers: str | os.PathLike[str],
        k: int = 10,
        known: str = "mark",
    ) -> int:
        r"""Answers the queries of one file in another, as :meth:`predict`, and
        returns the number of answers.

        A line of :obj:`queries`, in UTF-8, is a head, a relation and a tail,
        with tabs between them and a question mark for what is asked; empty
        lines, and a first one of :obj:`head`, :obj:`relation`, :obj:`tail`, are
        passed over:

        .. code-block:: none

            France	borders	?
            ?	borders	country:fr

        The table of :obj:`answers` has one line per answer, best first: the
        number of its query's line, the fact by names, its rank, the identifier
        of the answer, its score and probability (empty without a calibration),
        whether the graph holds it (:obj:`1` or :obj:`0`), and the part that
        each view has in its score. It takes its place once it is complete.

        Raises:
            ValueError: If the file of queries cannot be read, or a line of it
                is no query, naming the line.
        """
        queries, answers = os.fspath(queries), os.fspath(answers)
        if os.path.isdir(answers) or os.path.realpath(answers) == os.path.realpath(queries):
            raise ValueError(
                f"'{answers}' cannot hold the answers: it is a folder, or the file of queries"
            )
        lines = _read_queries(queries, self.nodes, self.relations)
        query = torch.tensor([line[2:] for line in lines], device=self.device)
        found = self._answers(query[:, 0], query[:, 1], k, known, None)
        count = 0
        with replacing(answers) as file:
            file.write(tsv_line([*COLUMNS, *(f"of {view}" for view in self.model.views)]))
            for (number, fact, *_), completions in zip(lines, found, strict=True):
                for rank, x in enumerate(completions, start=1):
                    names = [x.name if cell == "?" else cell for cell in fact]
                    numbers = [x.score, x.probability, *x.parts.values()]
                    cells = ["" if y is None else f"{y:.6g}" for y in numbers]
                    row = [number, *names, rank, x.node_id, *cells[:2], int(x.known), *cells[2:]]
                    file.write(tsv_line(map(str, row)))
                count += len(completions)
        return count

    @torch.no_grad()
    def complete(
        self,
        k: int = 100,
        relation: Names | None = None,
        everyone: bool = False,
        progress: bool = False,
    ) -> Facts:
        r"""Returns the most likely facts that the graph does not hold, in any
        split.

        Only entities that fit a relation (:class:`Domains`) are asked, and are
        answers. Facts are ordered by their probability, as scores of different
        queries need not compare. It is that of an answer to a query that misses
        one (:meth:`~torch_imf.calibrate`), so it is too high where most queries
        have none. Memory does not grow with the number of queries.

        Args:
            k (int, optional): The number of facts. (default: :obj:`100`)
            relation (str or int or list, optional): The relation to complete,
                or several. If :obj:`None`, all of them. (default: :obj:`None`)
            everyone (bool, optional): If set to :obj:`True`, every entity is
                asked, and is an answer, so that :math:`N^2 R` facts are scored.
                (default: :obj:`False`)
            progress (bool, optional): If set to :obj:`True`, shows a progress
                bar in a terminal. (default: :obj:`False`)

        Raises:
            ValueError: Without a calibration, also if there are no validation
                facts to fit one to.
        """
        rels = torch.arange(self.num_relations)
        if relation is not None:
            rels = self.relations.rows("relation", relation).unique()
        if k < 1 or int(rels[0]) < 0 or int(rels[-1]) >= self.num_relations:
            raise ValueError(
                f"'k' needs to be positive, and 'relation' in [0, {self.num_relations}), the base "
                f"relations (got {k} and {rels.tolist()})"
            )
        calibration = self.calibration or calibrate(self.model, self.data)
        # The log-odds of the best facts so far, their scores, heads, relations and tails:
        best = torch.empty(5, 0, dtype=torch.double, device=self.device)
        heads = tails = torch.arange(self.num_nodes, device=self.device)
        bar = tqdm(rels.tolist(), "Completing", disable=None if progress else True, leave=False)
        for rel in bar:
            if not everyone:
                heads, tails = self._domains(rel), self._domains(rel + self.num_relations)
            if min(heads.numel(), tails.numel()) > 0:
                best = self._add_best(best, k, heads, rel, tails, calibration)
        names, node_names = self.relations.names, self.nodes.names
        columns = [*best[2:].long().tolist(), best[1].tolist(), best[0].sigmoid().tolist()]
        return Facts(
            Fact(h, r, t, node_names[h], names[r], node_names[t], score, probability)
            for h, r, t, score, probability in zip(*columns, strict=True)
        )

    @torch.no_grad()
    def explain(
        self, head: Name, relation: Name, tail: Name, k: int = 5, view: str | None = None
    ) -> Explanation:
        r"""Tells what stands behind the score of a fact, known or not: which
        view carries it, what it would be without each modality, and which
        training facts support it.

        Args:
            head (str or int): The head.
            relation (str or int): The relation.
            tail (str or int): The tail.
            k (int, optional): The number of nearest training facts, and of
                paths. (default: :obj:`5`)
            view (str, optional): The view in which to look for the nearest
                facts. If :obj:`None`, the fused one or, without it, the first.
                (default: :obj:`None`)
        """
        views = self.model.views
        view = ("fused" if "fused" in views else views[0]) if view is None else view
        if k < 1 or view not in views:
            raise ValueError(
                f"'k' needs to be positive and 'view' one of {views} (got {k} and '{view}')"
            )
        rows = self.nodes.rows("head", head), self.relations.rows("relation", relation)
        fact = torch.cat([*rows, self.nodes.rows("tail", tail)]).to(self.device)
        if fact.numel() != 3:
            raise ValueError("Head, relation and tail need to be one name or number each")
        head_index, rel_type, tail_index = fact.split(1)
        check_triples(head_index, rel_type, tail_index, self.num_nodes, self.num_relations)
        h, r, t = fact.tolist()
        sides = both_sides(head_index, rel_type, tail_index, self.num_relations)
        score, score_dict = self._score(self.scores, *sides[:2])
        calibration = self.calibration
        edges = self._edges[r]
        same = (self.data.edge_index[:, edges] == fact[::2, None]).all(dim=0)
        masks = {split: self.data[f"{split}_mask"][edges] for split in ("train", "val", "test")}
        return Explanation(
            fact=(self.nodes.names[h], self.relations.names[r], self.nodes.names[t]),
            split=next((split for split, mask in masks.items() if bool(mask[same].any())), None),
            score=float(score[0, t]),
            probability=None if calibration is None else float(calibration(score)[0, t]),
            rank=self._rank(score, *sides),
            views={view: self._rank(check_finite(score_dict[view]), *sides) for view in views},
            weights=self.model.view_weights(),
            without={
                name: self._rank(self._score(self._lacking(name), *sides[:2])[0], *sides)
                for name in _features(self.model)
            },
            neighbors=self._nearest(view, h, r, t, edges[masks["train"] & ~same], k),
            paths=self._paths(h, r, t, k),
        )

    def __repr__(self) -> str:
        return f"{self.__class__.__name__}({type(self.model).__name__}, {self.num_nodes})"

    # What questions share ########################################################################

    @cached_property
    def _train(self) -> TripletIndex:
        return TripletIndex.from_data(self.data, self.data.train_mask)

    @cached_property
    def _degree(self) -> Tensor:
        return self._train.tail_index.bincount(minlength=self.num_nodes)

    @cached_property
    def _domains(self) -> Domains:
        return Domains(self._train, self.num_nodes, self.num_relations)

    @cached_property
    def _edges(self) -> tuple[Tensor, ...]:
        # The edges of each relation.
        count = self.data.edge_type.bincount(minlength=self.num_relations)
        return self.data.edge_type.argsort(stable=True).split(count.tolist())

    def _lacking(self, modality: str) -> StreamedScores:
        # The scores if no entity had a modality. Views that do not change are kept only once.
        if modality not in self._without:
            with inference(self.model):
                scores = StreamedScores(without(self.model, modality))
            for own, other in ((self.scores.z, scores.z), (self.scores.key, scores.key)):
                other.update({v: own[v] for v, x in other.items() if torch.equal(x, own[v])})
            self._without[modality] = scores
        return self._without[modality]

    def _query(
        self, head: Names | None, relation: Names | None, tail: Names | None
    ) -> tuple[Tensor, Tensor]:
        given = tail if head is None else head
        if given is None or relation is None or (head is not None and tail is not None):
            raise ValueError(
                "Give 'relation' and one of 'head' and 'tail': the other one is what is asked for"
            )
        index = self.nodes.rows("head" if tail is None else "tail", given).to(self.device)
        rel = self.relations.rows("relation", relation).to(self.device)
        rel = rel.expand_as(index) if rel.numel() == 1 else rel
        check_triples(index, rel, index, self.num_nodes, 2 * self.num_relations)
        inverse = (rel + self.num_relations) % (2 * self.num_relations)
        return index, inverse if head is None else rel

    def _score(
        self, scores: StreamedScores, head_index: Tensor, rel_type: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        if _version(self.model) != self._version:
            raise ValueError("The model has changed since it was encoded. Make a new 'Predictor'")
        with inference(self.model):
            return view_scores(scores, head_index, rel_type)

    # Answers to queries ##########################################################################

    def _answers(
        self, head_index: Tensor, rel_type: Tensor, k: int, known: str, keep: Tensor | None
    ) -> Iterator[Answers]:
        if k < 1:
            raise ValueError(f"'k' needs to be positive (got {k})")
        if known not in {"mark", "remove"}:
            raise ValueError(f"Invalid 'known' argument (got '{known}', choose 'mark', 'remove')")
        if keep is not None and known == "mark":
            raise ValueError("'keep' says which known facts stay: give known='remove', too")
        kept = None if keep is None else TripletIndex.from_data(self.data, keep.to(self.device))
        size = self.batch_size
        for head, rel in zip(head_index.split(size), rel_type.split(size), strict=True):
            score, score_dict = self._score(self.scores, head, rel)
            ranked = score.clone()
            if known == "remove":
                ranked[tuple(self.known(head, rel))] = -torch.inf
            if kept is not None:
                pos = tuple(kept(head, rel))
                ranked[pos] = score[pos]
            loop = self.has_loops[rel % self.num_relations] | self.known.contains(head, rel, head)
            row = (~loop).nonzero().view(-1)
            ranked[row, head[row]] = -torch.inf
            value, tail = ranked.topk(min(k, self.num_nodes))
            columns = {"index": tail, "score": value}
            columns["known"] = self.known.contains(head[:, None], rel[:, None], tail)
            if self.calibration is not None:
                columns["probability"] = self.calibration(score).gather(1, tail)
            views = {view: x.gather(1, tail) for view, x in score_dict.items()}
            yield from self._rows(head, rel, columns, views)

    def _rows(
        self, head: Tensor, rel: Tensor, columns: dict[str, Tensor], views: dict[str, Tensor]
    ) -> Iterator[Answers]:
        # The answers of a batch, given their columns, of shape [B, k], with one transfer for each.
        weights, is_prob = self.model.view_weights(), yields_probabilities(self.model)
        parts = {v: weights[v] * (x.sigmoid() if is_prob else x) for v, x in views.items()}

        def rows(columns: dict[str, Tensor]) -> list[list[dict[str, Any]]]:
            table = zip(*(x.tolist() for x in columns.values()), strict=True)
            return [
                [dict(zip(columns, cells, strict=True)) for cells in zip(*row, strict=True)]
                for row in table
            ]

        queries = zip(head.tolist(), rel.tolist(), strict=True)
        for (h, r), *row in zip(queries, rows(columns), rows(views), rows(parts), strict=True):
            names = (self.nodes.names[h], self.relations.names[r % self.num_relations], "?")
            query = "  ".join(names if r < self.num_relations else names[::-1])
            out = Answers(query=query)
            for cells, scores, shares in zip(*row, strict=True):
                i = cells["index"]
                label = {"name": self.nodes.names[i], "node_id": self.nodes.ids[i]}
                if cells["score"] > -torch.inf:
                    x = Completion(views=scores, weights=weights, parts=shares, **label, **cells)
                    out.append(x)
            yield out

    # Missing facts ###############################################################################

    def _add_best(
        self, best: Tensor, k: int, heads: Tensor, rel: int, tails: Tensor, calibration: Calibration
    ) -> Tensor:
        # The scores of all entities have a share in a probability. As others only lower it, queries
        # are scored against tails that fit first, and against all if this may be enough.
        key = {view: x[tails] for view, x in self.scores.key.items()}
        column = torch.full((self.num_nodes,), -1, device=self.device)
        column[tails] = torch.arange(tails.numel(), device=self.device)

        def new(logit: Tensor, head: Tensor, rel_type: Tensor) -> Tensor:
            # The log-odds of tails, but for known ones and the head itself.
            row, col = self.known(head, rel_type)
            if not self.has_loops[rel]:
                row = torch.cat([row, torch.arange(head.numel(), device=self.device)])
                col = torch.cat([col, head])
            row, col = row[column[col] >= 0], column[col][column[col] >= 0]
            return logit.index_put((row, col), logit.new_tensor(-torch.inf))

        def floor() -> float:
            return float(best[0, -1]) if best.size(1) == k else -torch.inf

        for head in heads.split(max(1, MAX_SCORES // max(tails.numel(), 1024))):
            rel_type = torch.full_like(head, rel)
            with inference(self.model):
                score = self.model.similarity(self.scores.query(head, rel_type), key)
            bound = new(calibration.logit(check_finite(score)), head, rel_type).amax(dim=1)
            bound = bound if calibration.norm >= 0 else bound.fill_(torch.inf)
            for i in bound.argsort(descending=True).split(self.batch_size):
                i = i[bound[i] > floor()]
                if i.numel() == 0:
                    break
                score = self._score(self.scores, head[i], rel_type[i])[0]
                logit = new(calibration.logit(score)[:, tails], head[i], rel_type[i]).view(-1)
                pos = (logit > floor()).nonzero().view(-1)
                pos = pos[logit[pos].topk(min(k, pos.numel())).indices]
                row, tail = pos // tails.numel(), tails[pos % tails.numel()]
                found = [logit[pos], score[row, tail], head[i[row]], rel_type[i[row]], tail]
                best = torch.cat([best, torch.stack([x.double() for x in found])], dim=1)
                best = best[:, best[0].argsort(descending=True, stable=True)[:k]]
        return best

    # What stands behind a fact ###################################################################

    def _rank(self, score: Tensor, head: Tensor, rel: Tensor, tail: Tensor) -> Rank:
        row = torch.arange(2, device=self.device)
        own = score[row, tail].unsqueeze(1)
        other = score.index_put(tuple(self.known(head, rel)), score.new_tensor(-torch.inf))
        other[row, tail] = -torch.inf
        greater, equal = (other > own).sum(dim=1), (other == own).sum(dim=1)
        return Rank(*(1 + greater + equal / 2).tolist())

    def _nearest(self, view: str, h: int, r: int, t: int, edges: Tensor, k: int) -> list[Support]:
        z = self.scores.z[view]
        node, row = self.data.edge_index[:, edges].unique(return_inverse=True)
        # What all entities share tells nothing:
        mean = z.mean(dim=0, dtype=torch.float)
        x, y = (F.normalize(part.float() - mean, dim=-1) for part in (z[node], z[[h, t]]))
        cosine = x @ y.t()
        similarity = (cosine[row[0], 0] + cosine[row[1], 1]) / 2
        value, best = similarity.topk(min(k, similarity.numel()))
        names, facts = self.nodes.names, self.data.edge_index[:, edges[best]].t().tolist()
        return [
            Support(names[i], self.relations.names[r], names[j], similar)
            for (i, j), similar in zip(facts, value.tolist(), strict=True)
        ]

    def _paths(self, h: int, r: int, t: int, k: int) -> list[tuple[str, ...]]:
        # Ways along training facts other than this one: of one fact first, then of two, by way of
        # the entities of fewest facts, as a hub says little.
        names, rel_names = self.nodes.names, self.relations.names
        label = [*rel_names, *(f"{name}^-1" for name in rel_names)]
        rels = torch.arange(len(label), device=self.device)
        first_rel, first = self._train(torch.full_like(rels, h), rels)
        last_rel, last = self._train(torch.full_like(rels, t), rels)
        last_rel = (last_rel + self.num_relations) % len(label)  # As they lead to t.
        own = [r] if h != t else [r, r + self.num_relations]
        direct = [rel for rel in first_rel[first == t].tolist() if rel not in own]
        out: list[tuple[str, ...]] = [(names[h], label[rel], names[t]) for rel in direct]
        middle = first[torch.isin(first, last) & (first != h) & (first != t)].unique()
        for x in middle[self._degree[middle].argsort(stable=True)][:k].tolist():
            for a in first_rel[first == x].tolist():
                for b in last_rel[last == x].tolist():
                    out.append((names[h], label[a], names[x], label[b], names[t]))
        return out[:k]


def without(model: Module, modality: str) -> Module:
    r"""Returns a model in which no entity has a modality, with the parameters
    of another one, which stays as it is. Each entity is represented by what the
    model has learned for those that lack the modality, or still where that
    started if none does; fusions leave it out.
    """
    if modality not in _features(model):
        names = list(_features(model))
        raise ValueError(f"Invalid 'modality' argument (got '{modality}', the model has {names})")
    out: Any = _twin(model)
    feature = out.features[modality]
    feature.row = torch.full_like(feature.row, feature.x.size(0))
    feature.full = False
    raw = out._buffers.get(f"x_{modality}")
    if raw is not None:  # Of models that also compare raw features.
        setattr(out, f"x_{modality}", torch.zeros_like(raw))
    return out


def _features(model: Any) -> dict[str, Module]:
    return dict(getattr(model, "features", {}).items())


def _twin(module: Module) -> Module:
    # The same parameters and buffers in modules of their own, in evaluation mode.
    out = copy.copy(module)
    for name in ("_parameters", "_buffers", "_modules"):
        out.__dict__[name] = dict(module.__dict__[name])
    for name, child in module._modules.items():
        out._modules[name] = None if child is None else _twin(child)
    out.training = False
    return out


def _version(model: Module) -> int:
    # It changes whenever a parameter does.
    return sum(parameter._version for parameter in model.parameters())


def _read_queries(
    path: str, nodes: Lookup, relations: Lookup
) -> list[tuple[int, tuple[str, str, str], int, int]]:
    # The number of each line, its cells by names, and its query as a tail query.
    try:
        lines = read_bytes(path).split(b"\n")
    except FileNotFoundError as e:
        raise ValueError(f"There is no file of queries '{path}'") from e
    out: list[tuple[int, tuple[str, str, str], int, int]] = []
    header = ["head", "relation", "tail"]
    for number, line in enumerate(lines, start=1):
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
            cells = [cell.strip() for cell in text.split("\t")]
            passed = not text.strip() or [cell.lower() for cell in cells] == header
            header = header if not text.strip() else []  # Only the first line may be one.
            if passed:
                continue
            if len(cells) != 3 or "" in cells or [cells[0], cells[2]].count("?") != 1:
                raise ValueError(
                    f"Expected a head, a relation and a tail with tabs between them, and '?' for "
                    f"either head or tail (got {cells})"
                )
            rel, is_tail = relations(cells[1]), cells[2] == "?"
            node = nodes(cells[0] if is_tail else cells[2])
            name, relation = nodes.names[node], relations.names[rel]
            fact = (name, relation, "?") if is_tail else ("?", relation, name)
            out.append((number, fact, node, rel if is_tail else rel + len(relations)))
        except ValueError as e:  # That of decoding, too.
            raise ValueError(f"'{path}', line {number}: {e}") from e
    if not out:
        raise ValueError(f"'{path}' holds no queries")
    return out


# One question of a model: for many, make a predictor once ########################################


def predict(
    model: Module,
    data: Data,
    head: Name | None = None,
    relation: Name | None = None,
    k: int = 10,
    *,
    tail: Name | None = None,
    known: str = "mark",
    keep: Tensor | None = None,
    calibration: Calibration | None = None,
) -> Answers:
    r"""Answers a query, as :meth:`Predictor.predict` of a new predictor."""
    predictor = Predictor(model, data, calibration)
    return predictor.predict(head, relation, k, tail=tail, known=known, keep=keep)


def predict_file(
    model: Module,
    data: Data,
    queries: str | os.PathLike[str],
    answers: str | os.PathLike[str],
    k: int = 10,
    known: str = "mark",
    calibration: Calibration | None = None,
) -> int:
    r"""Answers the queries of a file, as :meth:`Predictor.predict_file`."""
    return Predictor(model, data, calibration).predict_file(queries, answers, k, known)


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
