from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import Module
from torch_geometric.data import Data

from torch_imf.data.graph import prepare
from torch_imf.data.names import Lookup
from torch_imf.evaluation.ranking import inference
from torch_imf.visualize import style
from torch_imf.visualize.weights import find_relations

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class ContextualEmbeddings(NamedTuple):
    r"""Head entities before and after the transformation under a relation."""

    relation: str
    before: Tensor
    """Their embeddings in a view, of shape :obj:`[M, C]`."""
    after: Tensor
    """Their queries under the relation, of shape :obj:`[M, Q]`."""
    label: Tensor
    """The tail of a fact of each, of shape :obj:`[M]`."""
    held_out: Tensor
    """Whether this fact is no training fact, of shape :obj:`[M]`."""


def plot_contextual(
    model: Module,
    data: Data,
    relations: str | Sequence[str] | Sequence[int],
    view: str | None = None,
    *,
    num_classes: int = 5,
    num_nodes: int = 500,
    labels: Mapping[str, str] | None = None,
    seed: int = 0,
) -> "Figure":
    r"""Plots the head entities of relations by t-SNE, before and after the
    contextual transformation, as Figure 7 of the `"IMF: Interactive Multimodal
    Fusion Model for Link Prediction" <https://arxiv.org/abs/2303.10816>`_
    paper: one row of two panels per relation, a colour per tail. Heads whose
    fact is held out have an outline, and the silhouette of tails in the title
    is theirs: those of training facts were pulled to their tails.

    Args:
        model (torch.nn.Module): A model of this package.
        data (Data): The graph.
        relations (list[str] or list[int]): The relations, by name, identifier
            or number: such that many heads share a tail.
        view (str, optional): The view. If :obj:`None`, the fused one or,
            without it, the first. (default: :obj:`None`)
        num_classes (int, optional): The number of tails to show, those with
            most heads. (default: :obj:`5`)
        num_nodes (int, optional): The number of heads to show per relation,
            drawn at random. (default: :obj:`500`)
        labels (dict[str, str], optional): See :meth:`plot_decision`.
        seed (int, optional): The seed of the draw and of t-SNE.
            (default: :obj:`0`)

    Raises:
        ValueError: If a relation is unknown or has fewer than four heads with
            one of these tails, or an argument is invalid.
    """
    view = view or _default_view(model)
    found = contextual_embeddings(model, data, relations, view, num_classes, num_nodes, seed)
    node_names = Lookup.of_entities(data).names
    # Many marks make a large file:
    fig = style.make_figure(7.6, 0.3 + 4.4 * len(found), dpi=120)
    parts = fig.subfigures(len(found), 1, squeeze=False, hspace=0.04)[:, 0]
    for part, item in zip(parts, found, strict=True):
        axes = part.subplots(1, 2)
        classes = [node_names[i] for i in item.label.tolist()]
        for ax, x, text in zip(axes, (item.before, item.after), ("before", "after"), strict=True):
            title = f"{text} the transformation{_silhouette(x, item)}"
            plot_tsne(x, classes, ax, title, item.held_out, seed, legend=False)
            ax.title.set_fontsize(style.TEXT)
        part.suptitle(style.shorten(item.relation, 60), fontsize=style.TITLE, color=style.DARK)
        marks: Any = {"fontsize": style.SMALL, "frameon": False, "handletextpad": 0.1}
        handles = axes[0].get_legend_handles_labels()
        part.legend(*handles, loc="outside lower center", ncol=3, **marks)
        style.make_plain(part)
    note = "view; outlined, and in silhouettes: facts that training does not hold"
    fig.supxlabel(f"{style.label_of(view, labels)} {note}", fontsize=style.SMALL, color=style.DARK)
    return fig


def contextual_embeddings(
    model: Any,
    data: Data,
    relations: str | Sequence[str] | Sequence[int],
    view: str | None = None,
    num_classes: int = 5,
    num_nodes: int = 500,
    seed: int = 0,
) -> list[ContextualEmbeddings]:
    r"""Returns the embeddings of head entities in a view before and after the
    contextual transformation under relations; the arguments are those of
    :meth:`plot_contextual`. A head of several of the tails counts for that
    which most heads have.
    """
    view = view or _default_view(model)
    if view not in model.views or min(num_classes, num_nodes) < 1:
        raise ValueError(
            f"'view' needs to be one of {list(model.views)}, and 'num_classes' and 'num_nodes' "
            f"positive (got '{view}', {num_classes} and {num_nodes})"
        )
    data = prepare(model, data)
    rows, names = find_relations(relations, data), Lookup.of_relations(data).names
    out = []
    with inference(model):
        z = model.encode()
        for r in rows:
            fact = _facts_of_largest_tails(data, r, num_classes)
            if fact.numel() < 4:
                raise ValueError(
                    f"'{names[r]}' has {fact.numel()} heads with one of its {num_classes} largest "
                    f"tails, but t-SNE needs at least four. Choose another relation"
                )
            perm = torch.randperm(fact.numel(), generator=torch.Generator().manual_seed(seed))
            fact = fact[perm[:num_nodes].sort().values.to(fact.device)]
            head, tail = data.edge_index[:, fact]
            query = model.query({v: x[head] for v, x in z.items()}, torch.full_like(head, r))
            after, held_out = query[view].flatten(1), ~data.train_mask[fact]
            out.append(ContextualEmbeddings(names[r], z[view][head], after, tail, held_out))
    return out


def plot_tsne(
    x: Tensor,
    classes: Sequence[str],
    ax: "Axes | None" = None,
    title: str = "",
    outline: Tensor | None = None,
    seed: int = 0,
    legend: bool = True,
) -> "Figure":
    r"""Plots embeddings :obj:`[M, C]` in two dimensions by t-SNE: a mark per
    entity (those of the mask :obj:`outline` with one), a colour and a shape per
    class. Of more than eight classes, the seven largest have a colour, and the
    others are grey.

    Raises:
        ValueError: If there are fewer than four embeddings, not one class
            each, or embeddings are all the same, NaN or infinite.
    """
    from sklearn.manifold import TSNE

    if x.dim() != 2 or x.size(0) < 4 or x.size(0) != len(classes):
        raise ValueError(
            f"t-SNE needs a matrix of at least four embeddings and a class each (got one of shape "
            f"{list(x.size())} and {len(classes)} classes)"
        )
    x = x.detach().cpu().float()
    if not bool(x.isfinite().all()) or bool((x == x[0]).all()):
        raise ValueError("t-SNE needs finite embeddings that are not all the same")
    perplexity, init = min(30.0, (x.size(0) - 1) / 3), "pca" if x.size(1) > 1 else "random"
    position = TSNE(perplexity=perplexity, init=init, random_state=seed).fit_transform(x.numpy())

    fig, ax = style.make_axes(ax, 5.4, 4.6)
    edge = np.zeros(len(x), dtype=bool) if outline is None else outline.cpu().numpy()
    order = sorted(Counter(classes).items(), key=lambda item: (-item[1], item[0]))
    kept = sorted(name for name, _ in order[: 8 if len(order) <= 8 else 7])
    others = f"{len(order) - len(kept)} others"
    group = np.array([kept.index(name) if name in kept else len(kept) for name in classes])
    for i in np.unique(group).tolist():
        name, color = (kept[i], style.COLORS[i]) if i < len(kept) else (others, style.LIGHT)
        marks: Any = {"color": color, "marker": style.MARKERS[i], "label": style.shorten(name, 22)}
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
    r"""The mean silhouette by cosine distance of embeddings :obj:`[M, C]` of
    classes :obj:`label`, of shape :obj:`[M]`, in :obj:`[-1, 1]`: one if classes
    are far apart and tight, zero if they overlap.

    Raises:
        ValueError: If there are no two classes, or as many as embeddings.
    """
    from sklearn.metrics import silhouette_score

    return float(silhouette_score(x.detach().cpu().float(), label.cpu(), metric="cosine"))


def _default_view(model: Any) -> str:
    return "fused" if "fused" in model.views else list(model.views)[0]


def _facts_of_largest_tails(data: Data, rel: int, num_tails: int) -> Tensor:
    # A fact of each head of the tails that most heads share, in their order: that of the largest.
    fact = (data.edge_type == rel).nonzero().view(-1)
    _, group, count = data.edge_index[1, fact].unique(return_inverse=True, return_counts=True)
    place = count.argsort(descending=True, stable=True).argsort()[group]
    fact, place = fact[place < num_tails], place[place < num_tails]
    fact = fact[place.argsort(stable=True)]
    first = np.unique(data.edge_index[0, fact].cpu().numpy(), return_index=True)[1]
    return fact[torch.from_numpy(first).sort().values.to(fact.device)]


def _silhouette(x: Tensor, item: ContextualEmbeddings) -> str:
    label = item.label[item.held_out]
    if not 2 <= label.unique().numel() < label.numel():
        return ""
    return f", silhouette {silhouette(x[item.held_out], label):.2f}".replace("-", "−")
