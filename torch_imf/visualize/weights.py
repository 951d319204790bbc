from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data

from torch_imf.answers.calibration import view_scores, yields_probabilities
from torch_imf.data.graph import prepare
from torch_imf.data.index import both_sides
from torch_imf.data.names import Lookup, Names
from torch_imf.evaluation.ranking import StreamedScores, inference
from torch_imf.visualize import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: The number of facts of each relation to score.
NUM_FACTS = 512


def plot_relation_weights(
    model: Module,
    data: Data,
    relations: Names | None = None,
    ax: "Axes | None" = None,
    title: str | None = None,
    labels: Mapping[str, str] | None = None,
) -> "Figure":
    r"""Plots the :meth:`modality_weights` of a model by :meth:`plot_modality_weights`, and says in
    the title what they are.
    """
    if title is None:
        shares = "share of each view in what lifts facts above others"
        kind = "mean weight of each modality in fusion" if _weighs(model) else shares
        title = f"{model.__class__.__name__}: {kind}"
    return plot_modality_weights(modality_weights(model, data, relations), ax, title, labels)


def plot_modality_weights(
    weights: Mapping[str, Mapping[str, float]],
    ax: "Axes | None" = None,
    title: str = "",
    labels: Mapping[str, str] | None = None,
) -> "Figure":
    r"""Plots the weight of each modality, as Figure 5 of the `"Unleashing the Power of Imbalanced
    Modality Information for Multi-modal Knowledge Graph Completion"
    <https://arxiv.org/abs/2402.15444>`_ paper: one bar per row, such as a relation, divided by
    weights.

    Args:
        weights (dict[str, dict[str, float]]): The weight of each modality, in each row; the same
            modalities in all of them.
        ax (matplotlib.axes.Axes, optional): See :meth:`plot_decision`.
        title (str, optional): The title. (default: :obj:`""`)
        labels (dict[str, str], optional): See :meth:`plot_decision`.
    """
    fig, ax = style.make_axes(ax, 7.2, 1.5 + 0.34 * len(weights))
    places = range(len(weights))
    colors = style.view_colors(next(iter(weights.values())))
    style.draw_bars(ax, list(weights.values()), colors, places, 0.74, labels=labels)
    for y, row in zip(places, weights.values(), strict=True):
        if sum(row.values()) == 0:
            ax.text(0, y, " no view helps", va="center", fontsize=style.SMALL, color=style.DARK)
    ax.set_yticks(places, [style.shorten(name) for name in weights])
    style.legend_below(ax, min(5, len(colors)), handlelength=1, handleheight=1)
    style.finish(ax, title)
    return fig


def modality_weights(
    model: Module, data: Data, relations: Names | None = None, split: str | None = None
) -> dict[str, dict[str, float]]:
    r"""Returns how much each modality weighs in the facts of relations, by the names of these.

    Where a fusion weighs the modalities of each entity (such as
    :class:`~torch_imf.nn.AdaMFFusion`), it is the mean of these weights over heads and tails. Where
    views are scored apart (:class:`~torch_imf.nn.IMF`), it is the share of each view in what lifts
    the score of a fact above that of all entities on average, over both sides of up to 512 facts
    drawn at random; a view that lowers it has none.

    Args:
        model (torch.nn.Module): A model with several modalities or views.
        data (Data): The graph.
        relations (list[str] or list[int], optional): The relations, by name, identifier or number.
            If :obj:`None`, the ten that have most facts. (default: :obj:`None`)
        split (str, optional): The split that holds the facts. If :obj:`None`, those of all splits.
            (default: :obj:`None`)

    Raises:
        ValueError: If the model has one view and no fusion that weighs, a relation is unknown or
            has no facts, or an argument is invalid.
    """
    if split not in {None, "train", "val", "test"}:
        raise ValueError(f"Invalid 'split' argument (got '{split}', choose 'train', 'val', 'test')")
    if not _weighs(model) and len(getattr(model, "views", [])) < 2:  # type: ignore[arg-type]
        raise ValueError(
            f"{model.__class__.__name__} has neither several views nor a fusion that weighs several"
            f" modalities, so that there is nothing to compare"
        )
    data = prepare(model, data)
    mask = data.edge_type < data.num_relations
    mask = mask if split is None else mask & data[f"{split}_mask"]
    edge_index, edge_type = data.edge_index[:, mask], data.edge_type[mask]
    count = edge_type.bincount(minlength=data.num_relations)
    if relations is None:
        most = count.argsort(descending=True, stable=True)[:10]
        relations = most[count[most] > 0]
    rows, names = find_relations(relations, data), Lookup.of_relations(data).names
    absent = [names[r] for r in rows if count[r] == 0]
    if absent:
        held = "graph" if split is None else f"'{split}' split"
        raise ValueError(f"The {held} holds no facts of {absent}. Leave them out of 'relations'")
    out: dict[str, dict[str, float]] = {}
    with inference(model):
        share = _fusion_weights(model) if _weighs(model) else _view_shares(model)
        for r in rows:
            key = names[r] if names[r] not in out else f"{names[r]} ({r})"
            out[key] = share(edge_index[:, edge_type == r], r)
    return out


def find_relations(relations: Names, data: Data) -> list[int]:
    r"""Returns the rows of base relations."""
    rows = Lookup.of_relations(data).rows("relations", relations).tolist()
    if not all(0 <= r < data.num_relations for r in rows):
        raise ValueError(
            f"'relations' needs to be of {data.num_relations} base relations (got {rows})"
        )
    return rows


def _weighs(model: Any) -> bool:
    weighs = hasattr(getattr(model, "fusion", None), "attention") and hasattr(model, "embed")
    return weighs and len(model.fusion.in_channels) > 1


def _fusion_weights(model: Any) -> Callable[[Tensor, int], dict[str, float]]:
    _, alpha = model.fusion(model.embed(), model.masks(), return_attention_weights=True)
    alpha = alpha.mean(dim=-1) if alpha.dim() == 3 else alpha  # [N, M, C], if element-wise.

    def share(fact: Tensor, rel: int) -> dict[str, float]:
        mean = alpha[fact.view(-1)].mean(dim=0)
        return dict(zip(model.fusion.in_channels, mean.tolist(), strict=True))

    return share


def _view_shares(model: Any) -> Callable[[Tensor, int], dict[str, float]]:
    scores, weights = StreamedScores(model), model.view_weights()

    def share(fact: Tensor, rel: int) -> dict[str, float]:
        perm = torch.randperm(fact.size(1), generator=torch.Generator().manual_seed(0))
        head, tail = fact[:, perm[:NUM_FACTS].to(fact.device)]
        triples = both_sides(head, torch.full_like(head, rel), tail, model.num_relations)
        lift: dict[str, list[Tensor]] = {view: [] for view in model.views}
        for head_index, rel_type, tail_index in zip(*(x.split(128) for x in triples), strict=True):
            for view, score in view_scores(scores, head_index, rel_type)[1].items():
                score = score.sigmoid() if yields_probabilities(model) else score
                true = score.gather(1, tail_index.unsqueeze(1)).squeeze(1)
                lift[view].append(true - score.mean(dim=1))
        parts = torch.stack([weights[view] * torch.cat(x).mean() for view, x in lift.items()])
        parts = parts.clamp(min=0)
        return dict(zip(lift, (parts / parts.sum().clamp(min=1e-12)).tolist(), strict=True))

    return share
