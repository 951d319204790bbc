import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module, ModuleDict
from torch_geometric.data import Data

from torch_imf.answers.predict import find_rows, labels
from torch_imf.answers.probability import Temperature, view_scores
from torch_imf.answers.support import Support, find_paths, nearest_facts
from torch_imf.answers.tables import format_table, percent
from torch_imf.data import TripletIndex
from torch_imf.data.graph import prepare
from torch_imf.data.index import both_sides, check_triples
from torch_imf.data.lookup import Lookup
from torch_imf.evaluation.ranking import StreamedScores, inference, rank_tails


@dataclass(frozen=True)
class Rank:
    r"""The filtered rank of a fact, as of :meth:`~torch_imf.evaluate`.

    Args:
        tail (float): That of its tail among all entities.
        head (float): That of its head among all entities.
    """

    tail: float
    head: float


@dataclass(frozen=True)
class Explanation:
    r"""What stands behind the score of a fact. It prints as a short report.

    Args:
        fact (tuple[str, str, str]): The names of head, relation and tail.
        split (str, optional): The split that holds the fact, if any does.
        score (float): Its score over all views.
        probability (float, optional): Its probability.
        rank (Rank): Its rank over all views.
        views (dict[str, Rank]): Its rank in each view alone.
        weights (dict[str, float]): The weight of each view in the decision.
        without (dict[str, Rank]): Its rank over all views if no entity had a
            modality.
        neighbors (list[Support]): The training facts of its relation that are
            nearest to it, nearest first.
        paths (list[tuple[str, ...]]): The ways from head to tail along one or
            two training facts: names of entities and, between them, of
            relations, with :obj:`^-1` where they are followed backwards.
    """

    fact: tuple[str, str, str]
    split: str | None
    score: float
    probability: float | None
    rank: Rank
    views: dict[str, Rank]
    weights: dict[str, float]
    without: dict[str, Rank]
    neighbors: list[Support] = field(default_factory=list)
    paths: list[tuple[str, ...]] = field(default_factory=list)

    def __str__(self) -> str:
        chance = (
            f", probability {percent(self.probability)}" if self.probability is not None else ""
        )
        held = f"a fact of '{self.split}'" if self.split else "no known fact"
        rows = [["", "rank of tail", "of head", "weight"]]
        rows.append(["all views", f"{self.rank.tail:g}", f"{self.rank.head:g}", ""])
        for view, rank in self.views.items():
            rows.append(
                [f"{view} alone", f"{rank.tail:g}", f"{rank.head:g}", f"{self.weights[view]:.2f}"]
            )
        for name, rank in self.without.items():
            rows.append([f"without {name}", f"{rank.tail:g}", f"{rank.head:g}", ""])
        lines = [
            f"{'  '.join(self.fact)}  ({held})",
            f"score {self.score:.3f}{chance}",
            "",
            format_table(rows, left=(0,)),
            "",
            "Nearest training facts of the relation:",
            *(f"  {x.similarity:.2f}  {x.head}  {x.relation}  {x.tail}" for x in self.neighbors),
            *(["  there are none"] if not self.neighbors else []),
            "",
            "Paths along training facts:",
            *(f"  {'  '.join(path)}" for path in self.paths),
            *(["  there are none of one or two facts"] if not self.paths else []),
        ]
        return "\n".join(lines)


def explain(
    model: Module,
    data: Data,
    head: str | int,
    relation: str | int,
    tail: str | int,
    k: int = 5,
    view: str | None = None,
    temperature: Temperature | None = None,
) -> Explanation:
    r"""Tells what stands behind the score of a fact, known or not: which view
    carries it, what it would be without each modality, and which training
    facts support it.

    Args:
        model (torch.nn.Module): A model of this package, which stays as it is.
        data (Data): The graph.
        head (str or int): The head, by name, identifier or number.
        relation (str or int): The relation, likewise.
        tail (str or int): The tail, likewise.
        k (int, optional): The number of nearest training facts, and of paths.
            (default: :obj:`5`)
        view (str, optional): The view in which to look for the nearest facts.
            If :obj:`None`, the fused one or, without it, the first.
            (default: :obj:`None`)
        temperature (Temperature, optional): The map from scores to
            probabilities. (default: :obj:`None`)

    Raises:
        ValueError: If a name is unknown or ambiguous, an id is out of range,
            an argument is invalid, the graph does not fit the model, or a
            score is NaN or infinite.
    """
    views: list[str] = list(model.views)  # type: ignore[arg-type]
    view = ("fused" if "fused" in views else views[0]) if view is None else view
    if k < 1 or view not in views:
        raise ValueError(
            f"'k' needs to be positive and 'view' one of {views} (got {k} and '{view}')"
        )
    data = prepare(model, data)
    triple = (
        find_one("head", head, Lookup.of_entities, data),
        find_one("relation", relation, Lookup.of_relations, data),
        find_one("tail", tail, Lookup.of_entities, data),
    )
    check_triples(*triple, int(data.num_nodes), int(data.num_relations))
    index = TripletIndex.from_data(data)
    sides = both_sides(*triple, int(data.num_relations))

    def rank(model: Module, view: str | None = None) -> Rank:
        greater, equal = rank_tails(model, *sides, index, int(data.num_nodes), view=view)
        return Rank(*(1 + greater + equal / 2).tolist())

    with inference(model):
        scores = StreamedScores(model)
        score, _ = view_scores(scores, triple[0], triple[1])
        z = scores.z[view]
    node_names, rel_names = labels(data)
    h, r, t = (int(x) for x in triple)
    probability = None if temperature is None else float(temperature(score)[0, t])
    return Explanation(
        fact=(node_names[h], rel_names[r], node_names[t]),
        split=_split(data, triple),
        score=float(score[0, t]),
        probability=probability,
        rank=rank(model),
        views={view: rank(model, view) for view in views},
        weights=model.view_weights(),  # type: ignore[operator]
        without={name: rank(without(model, name)) for name in _features(model)},
        neighbors=nearest_facts(data, z, h, r, t, k),
        paths=find_paths(data, h, r, t, k),
    )


def without(model: Module, modality: str) -> Module:
    r"""Returns a model in which no entity has a modality, with the parameters
    of another model, which stays as it is. Each entity is represented by what
    the model has learned for those that lack the modality. If none did, that
    is still where it started; fusions leave it out, and in the view of the
    modality itself, entities no longer differ.

    Args:
        model (torch.nn.Module): A model with frozen features.
        modality (str): The modality to leave out.

    Raises:
        ValueError: If the model has no such modality.
    """
    names = list(_features(model))
    if modality not in names:
        raise ValueError(f"Invalid 'modality' argument (got '{modality}', the model has {names})")
    out: Any = _copy(model)
    feature: Any = _copy(out.features[modality])
    feature.row = torch.full_like(feature.row, feature.x.size(0))
    feature.full = False
    modules = {**out.features, modality: feature}
    out.features = ModuleDict(modules)
    raw = out._buffers.get(f"x_{modality}")
    if raw is not None:  # Of models that also compare raw features.
        setattr(out, f"x_{modality}", torch.zeros_like(raw))
    return out


def find_one(name: str, value: str | int, lookup: Callable[[Data], Lookup], data: Data) -> Tensor:
    r"""Returns the row of one entity or relation, of shape :obj:`[1]`."""
    row = find_rows(name, value, lookup, data)
    if row.numel() != 1:
        raise ValueError(f"'{name}' needs to be one name or number (got {value})")
    return row


def _features(model: Any) -> dict[str, Module]:
    return dict(getattr(model, "features", {}).items())


def _copy(module: Module) -> Module:
    # With parameters and sub-modules of the other one, but with lists of them of its own.
    out = copy.copy(module)
    for name in ("_parameters", "_buffers", "_modules"):
        out.__dict__[name] = dict(module.__dict__[name])
    return out


def _split(data: Data, triple: tuple[Tensor, Tensor, Tensor]) -> str | None:
    for split in ("train", "val", "test"):
        index = TripletIndex.from_data(data, data[f"{split}_mask"])
        if bool(index.contains(*triple)):
            return split
    return None
