r"""Figures by relation: what views and modalities weigh, and where entities move."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data

from torch_imf.answers.calibration import view_scores, yields_probabilities
from torch_imf.answers.explanation import trained_views
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
    weights, which are of the same modalities in each row. Other arguments are those of
    :meth:`plot_decision`.
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
        kind = "neither several views nor a fusion that weighs several modalities"
        raise ValueError(f"{model.__class__.__name__} has {kind}, so there is nothing to compare")
    data = prepare(model, data)
    mask = data.edge_type < data.num_relations
    mask = mask if split is None else mask & data[f"{split}_mask"]
    edge_index, edge_type = data.edge_index[:, mask], data.edge_type[mask]
    count = edge_type.bincount(minlength=data.num_relations)
    if relations is None:
        most = count.argsort(descending=True, stable=True)[:10]
        relations = most[count[most] > 0]
    rows, names = find_relations(relations, data)
    absent = [names[r] for r in rows if count[r] == 0]
    if absent:
        held = "graph" if split is None else f"'{split}' split"
        raise ValueError(f"The {held} holds no facts of {absent}. Leave them out of 'relations'")
    out: dict[str, dict[str, float]] = {}
    with inference(model) as model:
        views, share = _fusion_weights(model) if _weighs(model) else _view_shares(model)
        for r in rows:
            weight = share(edge_index[:, edge_type == r], r).tolist()
            out[names[r]] = dict(zip(views, weight, strict=True))
    return out


def find_relations(relations: Names, data: Data) -> tuple[list[int], Sequence[str]]:
    r"""Returns the rows of base relations, and the names of all."""
    lookup, size = Lookup.of_relations(data), data.num_relations
    rows = lookup.rows("relations", relations).tolist()
    if not all(0 <= r < size for r in rows):
        raise ValueError(f"'relations' needs to be of {size} base relations (got {rows})")
    return rows, lookup.labels


def _weighs(model: Any) -> bool:
    weighs = hasattr(getattr(model, "fusion", None), "attention") and hasattr(model, "embed")
    return weighs and len(model.fusion.in_channels) > 1


# What weighs, and a function that returns its weights in facts [2, E] of a relation:
Weights = tuple[Iterable[str], Callable[[Tensor, int], Tensor]]


def _fusion_weights(model: Any) -> Weights:
    _, alpha = model.fusion(model.embed(), model.masks(), return_attention_weights=True)
    alpha = alpha.mean(dim=-1) if alpha.dim() == 3 else alpha  # [N, M, C], if element-wise.
    return model.fusion.in_channels, lambda fact, rel: alpha[fact.view(-1)].mean(dim=0)


def _view_shares(model: Any) -> Weights:
    scores, weights = StreamedScores(model), model.view_weights()

    def share(fact: Tensor, rel: int) -> Tensor:
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
        return parts / parts.sum().clamp(min=1e-12)

    return model.views, share


def plot_contextual(
    model: Any,
    data: Data,
    relations: Names,
    view: str | None = None,
    *,
    num_classes: int = 5,
    num_nodes: int = 500,
    labels: Mapping[str, str] | None = None,
) -> "Figure":
    r"""Plots the head entities of relations by t-SNE, before and after the contextual
    transformation, as Figure 7 of the `"IMF: Interactive Multimodal Fusion Model for Link
    Prediction" <https://arxiv.org/abs/2303.10816>`_ paper: two panels per relation, a colour per
    tail. Heads whose fact is held out have an outline, and the silhouette of tails in the title is
    theirs: others were pulled to their tails. A head of several tails counts for the largest.

    Args:
        model (torch.nn.Module): A model of this package.
        data (Data): The graph.
        relations (list[str] or list[int]): The relations, of which many heads share a tail.
        view (str, optional): The view, a trained one. If :obj:`None`, the fused one or, without it,
            the first. (default: :obj:`None`)
        num_classes (int, optional): The number of tails, those of most heads. (default: :obj:`5`)
        num_nodes (int, optional): The number of heads per relation, drawn at random. (default:
            :obj:`500`)
        labels (dict[str, str], optional): As in :meth:`plot_decision`.

    Raises:
        ValueError: If a relation is unknown or has fewer than four such heads, or an argument is
            invalid.
    """
    from matplotlib.figure import Figure

    with inference(model) as scored:
        z = scored.encode()
    views = trained_views(z)
    view = view or ("fused" if "fused" in views else next(iter(views), None))
    if view not in views or min(num_classes, num_nodes) < 1:
        needs = f"'view' needs to be one of {views}, 'num_classes' and 'num_nodes'"
        raise ValueError(f"{needs} positive (got '{view}', {num_classes} and {num_nodes})")
    data = prepare(model, data)
    rows, names = find_relations(relations, data)
    facts = [_facts_of_largest_tails(data, r, num_classes) for r in rows]
    for r, fact in zip(rows, facts, strict=True):
        if fact.numel() < 4:
            few = f"{fact.numel()} heads with one of its {num_classes} largest tails"
            raise ValueError(f"'{names[r]}' has {few}, and t-SNE needs four. Choose another one")
    node_names = Lookup.of_entities(data).labels
    # Many marks make a large file:
    fig = Figure(figsize=(7.6, 0.3 + 4.4 * len(rows)), dpi=120, layout="constrained")
    parts = fig.subfigures(len(rows), 1, squeeze=False, hspace=0.04)[:, 0]
    for part, r, fact in zip(parts, rows, facts, strict=True):
        perm = torch.randperm(fact.numel(), generator=torch.Generator().manual_seed(0))
        fact = fact[perm[:num_nodes].sort().values.to(fact.device)]
        (head, tail), held_out = data.edge_index[:, fact], ~data.train_mask[fact]
        with inference(model) as scored:
            query = scored.query({v: x[head] for v, x in z.items()}, torch.full_like(head, r))
        classes, axes = [node_names[i] for i in tail.tolist()], part.subplots(1, 2)
        shown = {"before": z[view][head], "after": query[view].flatten(1)}
        for ax, (when, x) in zip(axes, shown.items(), strict=True):
            title, label = f"{when} the transformation", tail[held_out]
            if 2 <= label.unique().numel() < label.numel():
                title += f", silhouette {silhouette(x[held_out], label):.2f}".replace("-", "−")
            plot_tsne(x, classes, ax, title, held_out, legend=False)
            ax.title.set_fontsize(style.TEXT)
        part.suptitle(style.shorten(names[r], 60), fontsize=style.TITLE, color=style.DARK)
        marks: Any = {"fontsize": style.SMALL, "frameon": False, "handletextpad": 0.1}
        handles = axes[0].get_legend_handles_labels()
        part.legend(*handles, loc="outside lower center", ncol=3, **marks)
        style.make_plain(part)
    note = "view; outlined, and in silhouettes: facts that training does not hold"
    fig.supxlabel(f"{style.label_of(view, labels)} {note}", fontsize=style.SMALL, color=style.DARK)
    return fig


def plot_tsne(
    x: Tensor,
    classes: Sequence[str],
    ax: "Axes | None" = None,
    title: str = "",
    outline: Tensor | None = None,
    legend: bool = True,
) -> "Figure":
    r"""Plots embeddings :obj:`[M, C]` in two dimensions by t-SNE: a mark per entity (those of the
    mask :obj:`outline` with one), a colour and a shape per class.
    """
    from sklearn.manifold import TSNE

    tsne = TSNE(perplexity=min(30.0, (x.size(0) - 1) / 3), init="pca", random_state=0)
    position = tsne.fit_transform(x.detach().cpu().float().numpy())
    fig, ax = style.make_axes(ax, 5.4, 4.6)
    edge = np.zeros(len(x), dtype=bool) if outline is None else outline.cpu().numpy()
    names, group = np.unique(classes, return_inverse=True)
    for i, name in enumerate(names.tolist()):
        color, marker = style.COLORS[i % len(style.COLORS)], style.MARKERS[i % len(style.MARKERS)]
        marks: Any = {"color": color, "marker": marker, "label": style.shorten(name, 22)}
        left, up = position[group == i].T
        ax.scatter(left, up, s=22, linewidths=0, alpha=0.85, **marks)
        marks = {"facecolors": "none", "edgecolors": "black", "linewidths": 0.9}
        left, up = position[(group == i) & edge].T
        ax.scatter(left, up, s=52, zorder=3, **marks)
    ax.set(xticks=[], yticks=[])
    ax.margins(0.06)
    if legend:
        style.legend_below(ax, 3, handletextpad=0.1, columnspacing=1)
    style.finish(ax, title, spines=ax.spines)
    ax.spines[:].set_color(style.LIGHT)
    return fig


def silhouette(x: Tensor, label: Tensor) -> float:
    r"""The mean silhouette by cosine distance of embeddings :obj:`[M, C]` of classes :obj:`label`,
    of shape :obj:`[M]`: one if classes are far apart and tight, zero if they overlap. Raises if
    there are not two classes.
    """
    from sklearn.metrics import silhouette_score

    return float(silhouette_score(x.detach().cpu().float(), label.cpu(), metric="cosine"))


def _facts_of_largest_tails(data: Data, rel: int, num_tails: int) -> Tensor:
    # A fact of each head of the tails that most heads share, in their order: that of the largest.
    fact = (data.edge_type == rel).nonzero().view(-1)
    _, group, count = data.edge_index[1, fact].unique(return_inverse=True, return_counts=True)
    place = count.argsort(descending=True, stable=True).argsort()[group]
    fact, place = fact[place < num_tails], place[place < num_tails]
    fact = fact[place.argsort(stable=True)]
    first = np.unique(data.edge_index[0, fact].cpu().numpy(), return_index=True)[1]
    return fact[torch.from_numpy(first).sort().values.to(fact.device)]
