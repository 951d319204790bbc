from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data

from torch_imf.answers.probability import view_scores, yields_probabilities
from torch_imf.data.graph import prepare
from torch_imf.data.index import both_sides
from torch_imf.data.lookup import Lookup
from torch_imf.evaluation.ranking import StreamedScores, inference

NUM_RELATIONS = 10


def modality_weights(
    model: Module,
    data: Data,
    relations: str | Sequence[str] | Sequence[int] | None = None,
    split: str | None = None,
    num_facts: int = 512,
    seed: int = 0,
) -> dict[str, dict[str, float]]:
    r"""Returns how much each modality weighs in the facts of relations, by the
    names of these.

    Where a fusion weighs the modalities of each entity (such as
    :class:`~torch_imf.nn.AdaMFFusion`), it is the mean of these weights over
    heads and tails. Where views are scored apart, as of
    :class:`~torch_imf.nn.IMF`, a relation has no weights of its own, and it is
    the share of each view in what lifts the score of a fact above that of all
    entities on average, over both sides, as those parts sum to the whole; a
    view that lowers it has a share of zero, and if all of them do, all have.

    Args:
        model (torch.nn.Module): A model of this package with several
            modalities or views.
        data (Data): The graph.
        relations (list[str] or list[int], optional): The relations, by name,
            identifier or number. If :obj:`None`, the ten that have most facts.
            (default: :obj:`None`)
        split (str, optional): The split that holds the facts. If :obj:`None`,
            those of all splits. (default: :obj:`None`)
        num_facts (int, optional): The number of facts of each relation to look
            at where views are scored apart, drawn at random if there are more.
            (default: :obj:`512`)
        seed (int, optional): The seed of the draw. (default: :obj:`0`)

    Raises:
        ValueError: If the model has one view and no fusion that weighs, a
            relation is unknown or has no facts, or an argument is invalid.
    """
    if split not in {None, "train", "val", "test"} or num_facts < 1:
        raise ValueError(
            f"'split' needs to be 'train', 'val', 'test' or nothing, and 'num_facts' positive (got "
            f"'{split}' and {num_facts})"
        )
    data = prepare(model, data)
    mask = data.edge_type < data.num_relations
    mask = mask if split is None else mask & data[f"{split}_mask"]
    edge_index, edge_type = data.edge_index[:, mask], data.edge_type[mask]
    count = edge_type.bincount(minlength=data.num_relations)
    if relations is None:
        rows = count.argsort(descending=True, stable=True)[:NUM_RELATIONS]
        rows = rows[count[rows] > 0]
    else:
        rows = Lookup.of_relations(data).rows("relations", relations)
    if rows.numel() == 0 or int(rows.min()) < 0 or int(rows.max()) >= data.num_relations:
        raise ValueError(
            f"'relations' needs to be of {data.num_relations} base relations (got {rows.tolist()})"
        )
    names = Lookup.of_relations(data).names
    absent = [names[r] for r in rows.tolist() if count[r] == 0]
    if absent:
        held = "graph" if split is None else f"'{split}' split"
        raise ValueError(f"The {held} holds no facts of {absent}. Leave them out of 'relations'")

    out: dict[str, dict[str, float]] = {}
    with inference(model):
        gate = _gate(model)
        scores = None if gate is not None else _scores(model)
        views: list[str] = list(model.fusion.in_channels if scores is None else model.views)  # type: ignore
        for r in rows.tolist():
            fact = edge_index[:, edge_type == r]
            if scores is None:
                assert gate is not None
                share = gate[fact.view(-1)].mean(dim=0)
            else:
                perm = torch.randperm(fact.size(1), generator=torch.Generator().manual_seed(seed))
                fact = fact[:, perm[:num_facts].to(fact.device)]
                share = _shares(scores, fact, r, int(data.num_relations))
            key = names[r] if names[r] not in out else f"{names[r]} ({r})"
            out[key] = dict(zip(views, share.tolist(), strict=True))
    return out


def weight_kind(model: Module) -> str:
    r"""Tells what :meth:`modality_weights` are of a model, for titles."""
    if _weighs(model):
        return "mean weight of each modality in fusion"
    return "share of each view in what lifts facts above others"


def _weighs(model: Any) -> bool:
    weighs = hasattr(getattr(model, "fusion", None), "attention") and hasattr(model, "embed")
    return weighs and len(model.fusion.in_channels) > 1


def _gate(model: Any) -> Tensor | None:
    # The weight of each modality of each entity, of shape [N, M].
    if not _weighs(model):
        return None
    _, alpha = model.fusion(model.embed(), model.masks(), return_attention_weights=True)
    return alpha.mean(dim=-1) if alpha.dim() == 3 else alpha  # [N, M, C], if element-wise.


def _scores(model: Any) -> StreamedScores:
    if len(getattr(model, "views", [])) < 2:
        raise ValueError(
            f"{model.__class__.__name__} has neither several views nor a fusion that weighs several"
            f" modalities, so that there is nothing to compare"
        )
    return StreamedScores(model)


def _shares(scores: StreamedScores, fact: Tensor, rel: int, num_relations: int) -> Tensor:
    model = scores.model
    rel_type = torch.full_like(fact[0], rel)
    triples = both_sides(fact[0], rel_type, fact[1], num_relations)
    lift: Mapping[str, list[Tensor]] = {view: [] for view in model.views}
    for head_index, rel_type, tail_index in zip(*(x.split(128) for x in triples), strict=True):
        for view, score in view_scores(scores, head_index, rel_type)[1].items():
            score = score.sigmoid() if yields_probabilities(model) else score
            true = score.gather(1, tail_index.unsqueeze(1)).squeeze(1)
            lift[view].append(true - score.mean(dim=1))
    weights = model.view_weights()
    share = torch.stack([weights[view] * torch.cat(x).mean() for view, x in lift.items()])
    share = share.clamp(min=0)
    return share / share.sum().clamp(min=1e-12)
