from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.nn import Module

from torch_imf.answers.results import Explanation, Rank, Reason, Support
from torch_imf.data.index import both_sides, check_triples
from torch_imf.evaluation.ranking import StreamedScores, check_finite, inference, twin
from torch_imf.nn.views import View

if TYPE_CHECKING:
    from torch_imf.answers.predictor import Predictor


def explain(predictor: "Predictor", fact: Tensor, k: int, view: str | None) -> Explanation:
    r"""Explains a fact, given by its three numbers, as :meth:`Predictor.explain`."""
    model, data, views = predictor.model, predictor.data, predictor.model.views
    trained = trained_views(predictor.scores.z)
    if view not in [None, *trained]:
        raise ValueError(f"'view' needs to be one of {trained} (got '{view}')")
    view = "fused" if view is None and "fused" in trained else view or next(iter(trained), None)
    h, r, t = fact.tolist()
    head, rel, tail = fact.split(1)
    check_triples(head, rel, tail, predictor.num_nodes, predictor.num_relations)
    head, rel, tail = both_sides(head, rel, tail, predictor.num_relations)

    def rank(score: Tensor) -> Rank:
        row = torch.arange(2, device=score.device)
        own = score[row, tail].unsqueeze(1)
        other = score.index_put(tuple(predictor.known(head, rel)), score.new_tensor(-torch.inf))
        other[row, tail] = -torch.inf
        if not predictor.has_loops[r]:  # No entity is an answer to itself, as in `predict`.
            other[row, head] = -torch.inf
        greater, equal = (other > own).sum(dim=1), (other == own).sum(dim=1)
        return Rank(*(1 + greater + equal / 2).tolist())

    score, score_dict = predictor.score(head, rel)
    lacking = {name: _lacking(predictor, name) for name in model_modalities(model)}
    edges = (data.edge_type == r).nonzero().view(-1)
    same = (data.edge_index[:, edges] == fact[::2, None]).all(dim=0)
    masks = {split: data[f"{split}_mask"][edges] for split in ("train", "val", "test")}
    probability, conditional = predictor.probabilities(score[:1], head[:1], rel[:1], tail[:1, None])
    return Explanation(
        fact=(predictor.nodes.labels[h], predictor.relations.labels[r], predictor.nodes.labels[t]),
        split=next((split for split, mask in masks.items() if bool(mask[same].any())), None),
        score=float(score[0, t]),
        probability=probability[0][0],
        rank=rank(score),
        views={v: rank(check_finite(score_dict[v])) for v in views},
        weights=model.view_weights(),
        without={name: rank(predictor.score(head, rel, x)[0]) for name, x in lacking.items()},
        neighbors=_nearest(predictor, view, fact, edges[masks["train"] & ~same], k) if view else [],
        paths=_paths(predictor, h, r, t, k),
        conditional=conditional[0][0],
        reasons=_reasons(predictor, torch.stack([head, rel, tail], dim=1), k),
    )


def model_modalities(model: Module) -> list[str]:
    r"""Returns the modalities of a model or, of an ensemble, of all its models and views."""
    parts = [model, *getattr(model, "members", [])]
    keys = ("features", "modalities")
    return list(dict.fromkeys(x for part in parts for key in keys for x in getattr(part, key, [])))


def trained_views(z: dict[str, Tensor]) -> list[str]:
    r"""Returns the views that represent entities by embeddings, and not by their number alone."""
    return [view for view, x in z.items() if x.is_floating_point()]


def without(model: Module, modality: str) -> Module:
    r"""Returns a model in which no entity has a modality, with the parameters of another one, which
    stays as it is. Each entity is represented by what the model has learned for those that lack the
    modality, or still where that started if none does; fusions leave it out.
    """
    out: Any = twin(model)
    for part in getattr(out, "members", [out]):
        if isinstance(part, View):
            part.forget(modality)
        if modality not in getattr(part, "features", {}):
            continue
        feature = part.features[modality]
        feature.row = torch.full_like(feature.row, feature.num_rows)
        feature.full = False
        raw = part._buffers.get(f"x_{modality}")
        if raw is not None:  # Of models that also compare raw features.
            setattr(part, f"x_{modality}", torch.zeros_like(raw))
    return out


def _lacking(predictor: "Predictor", modality: str) -> StreamedScores:
    # The scores if no entity had a modality. Views that do not change are kept only once.
    if modality not in predictor.without:
        with inference(predictor.model):
            scores = StreamedScores(without(predictor.model, modality))
        own = predictor.scores
        for x_dict, own_dict in ((scores.z, own.z), (scores.key, own.key)):
            x_dict |= {v: own_dict[v] for v, x in x_dict.items() if torch.equal(x, own_dict[v])}
        predictor.without[modality] = scores
    return predictor.without[modality]


def _nearest(
    predictor: "Predictor", view: str, fact: Tensor, edges: Tensor, k: int
) -> list[Support]:
    # By the cosine of heads and of tails, without what all entities share, which tells nothing.
    z, edge_index = predictor.scores.z[view], predictor.data.edge_index
    node, row = edge_index[:, edges].unique(return_inverse=True)
    mean = z.mean(dim=0, dtype=torch.float)
    x, y = (F.normalize(z[index].float() - mean, dim=-1) for index in (node, fact[::2]))
    cosine = x @ y.t()
    value, best = ((cosine[row[0], 0] + cosine[row[1], 1]) / 2).topk(min(k, edges.numel()))
    names, relation = predictor.nodes.labels, predictor.relations.labels[int(fact[1])]
    facts = zip(*edge_index[:, edges[best]].tolist(), value.tolist(), strict=True)
    return [Support(names[i], relation, names[j], similarity) for i, j, similarity in facts]


def _reasons(predictor: "Predictor", query: Tensor, k: int) -> list[Reason]:
    # Of the fact, and of its inverse.
    names, out = (predictor.nodes.labels, predictor.relations.labels), []
    for member in getattr(predictor.model, "members", []):
        if isinstance(member, View):
            found = [x for h, r, t in query.tolist() for x in member.reasons(h, r, t, k)]
            told: dict[str, float | None] = {}
            for x in sorted(found, key=lambda x: -(x.confidence or 0.0)):
                told.setdefault(x.words(*names), x.confidence)  # Both sides may tell the same.
            out += [Reason(type(member).__name__, *x) for x in told.items()][:k]
    return out


def _paths(predictor: "Predictor", h: int, r: int, t: int, k: int) -> list[tuple[str, ...]]:
    # Ways along training facts other than this one: of one fact first, then of two, by way of
    # the entities of fewest facts, as a hub says little.
    train, names, rel_names = predictor.train, predictor.nodes.labels, predictor.relations.labels
    label = [*rel_names, *(f"{name}^-1" for name in rel_names)]
    rels = torch.arange(len(label), device=predictor.device)
    first_rel, first = train(torch.full_like(rels, h), rels)
    last_rel, last = train(torch.full_like(rels, t), rels)
    last_rel = (last_rel + len(rel_names)) % len(label)  # As they lead to t.
    own = [r] if h != t else [r, r + len(rel_names)]
    direct = [rel for rel in first_rel[first == t].tolist() if rel not in own]
    out: list[tuple[str, ...]] = [(names[h], label[rel], names[t]) for rel in direct]
    middle = first[torch.isin(first, last) & (first != h) & (first != t)].unique()
    degree = train.tail_index.bincount(minlength=predictor.num_nodes)[middle]
    for x in middle[degree.argsort(stable=True)][:k].tolist():
        for a in first_rel[first == x].tolist():
            for b in last_rel[last == x].tolist():
                out.append((names[h], label[a], names[x], label[b], names[t]))
    return out[:k]
