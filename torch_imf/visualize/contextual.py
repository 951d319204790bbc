from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch_geometric.data import Data

from torch_imf.data.graph import prepare
from torch_imf.data.names import Lookup, Names
from torch_imf.evaluation.ranking import inference
from torch_imf.visualize import style
from torch_imf.visualize.weights import find_relations

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


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
    Prediction" <https://arxiv.org/abs/2303.10816>`_ paper: one row of two panels per relation, a
    colour per tail. Heads whose fact is held out have an outline, and the silhouette of tails in
    the title is theirs: those of training facts were pulled to their tails. A head of several of
    the tails counts for that which most heads have.

    Args:
        model (torch.nn.Module): A model of this package.
        data (Data): The graph.
        relations (list[str] or list[int]): The relations, by name, identifier or number: such that
            many heads share a tail.
        view (str, optional): The view. If :obj:`None`, the fused one or, without it, the first.
            (default: :obj:`None`)
        num_classes (int, optional): The number of tails to show, those with most heads. (default:
            :obj:`5`)
        num_nodes (int, optional): The number of heads to show per relation, drawn at random.
            (default: :obj:`500`)
        labels (dict[str, str], optional): As in :meth:`plot_decision`.

    Raises:
        ValueError: If a relation is unknown or has fewer than four heads with one of these tails,
            or an argument is invalid.
    """
    view = view or ("fused" if "fused" in model.views else model.views[0])
    if view not in model.views or min(num_classes, num_nodes) < 1:
        raise ValueError(
            f"'view' needs to be one of {list(model.views)}, and 'num_classes' and 'num_nodes' "
            f"positive (got '{view}', {num_classes} and {num_nodes})"
        )
    data = prepare(model, data)
    rows, names = find_relations(relations, data), Lookup.of_relations(data).names
    facts = []
    for r in rows:
        fact = _facts_of_largest_tails(data, r, num_classes)
        if fact.numel() < 4:
            raise ValueError(
                f"'{names[r]}' has {fact.numel()} heads with one of its {num_classes} largest "
                f"tails, but t-SNE needs at least four. Choose another relation"
            )
        perm = torch.randperm(fact.numel(), generator=torch.Generator().manual_seed(0))
        facts.append(fact[perm[:num_nodes].sort().values.to(fact.device)])
    with inference(model):
        z = model.encode()
    node_names = Lookup.of_entities(data).names
    # Many marks make a large file:
    fig = style.make_figure(7.6, 0.3 + 4.4 * len(rows), dpi=120)
    parts = fig.subfigures(len(rows), 1, squeeze=False, hspace=0.04)[:, 0]
    for part, r, fact in zip(parts, rows, facts, strict=True):
        (head, tail), held_out = data.edge_index[:, fact], ~data.train_mask[fact]
        with inference(model):
            query = model.query({v: x[head] for v, x in z.items()}, torch.full_like(head, r))
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
    ax.set_xticks([])
    ax.set_yticks([])
    ax.margins(0.06)
    if legend:
        style.legend_below(ax, 3, handletextpad=0.1, columnspacing=1)
    style.finish(ax, title, spines=ax.spines)
    for spine in ax.spines.values():
        spine.set_color(style.LIGHT)
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
