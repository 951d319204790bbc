import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from torch.nn import Module
from torch_geometric.data import Data

from torch_imf.visualize.style import (
    DARK,
    SMALL,
    finish,
    ink,
    label_of,
    make_axes,
    shorten,
    view_colors,
)
from torch_imf.visualize.weights import modality_weights, weight_kind

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_relation_weights(
    model: Module,
    data: Data,
    relations: str | Sequence[str] | Sequence[int] | None = None,
    ax: "Axes | None" = None,
    *,
    split: str | None = None,
    labels: Mapping[str, str] | None = None,
    title: str | None = None,
) -> "Figure":
    r"""Plots :meth:`modality_weights`: how much each modality, or view, weighs
    in the facts of relations.

    Args:
        model (torch.nn.Module): A model of this package with several
            modalities or views.
        data (Data): The graph.
        relations (list[str] or list[int], optional): The relations. If
            :obj:`None`, the ten that have most facts. (default: :obj:`None`)
        ax (matplotlib.axes.Axes, optional): Where to plot. If :obj:`None`, in
            a new figure. (default: :obj:`None`)
        split (str, optional): The split that holds the facts. If :obj:`None`,
            those of all splits. (default: :obj:`None`)
        labels (dict[str, str], optional): Names of modalities to show instead
            of their own. (default: :obj:`None`)
        title (str, optional): The title. If :obj:`None`, what the weights are.
            (default: :obj:`None`)

    Returns:
        The figure, which holds :obj:`ax` if that is given.

    Raises:
        ValueError: See :meth:`modality_weights`.
    """
    weights = modality_weights(model, data, relations, split)
    kind = f"{model.__class__.__name__}: {weight_kind(model)}"
    return plot_modality_weights(weights, ax, kind if title is None else title, labels)


def plot_modality_weights(
    weights: Mapping[str, Mapping[str, float]],
    ax: "Axes | None" = None,
    title: str = "",
    labels: Mapping[str, str] | None = None,
) -> "Figure":
    r"""Plots the weight of each modality, as Figure 5 of the `"Unleashing the
    Power of Imbalanced Modality Information for Multi-modal Knowledge Graph
    Completion" <https://arxiv.org/abs/2402.15444>`_ paper: one bar per row,
    such as a relation, divided by weights.

    Args:
        weights (dict[str, dict[str, float]]): The weight of each modality, in
            each row; the same modalities in all of them.
        ax (matplotlib.axes.Axes, optional): Where to plot. If :obj:`None`, in
            a new figure. (default: :obj:`None`)
        title (str, optional): The title. (default: :obj:`""`)
        labels (dict[str, str], optional): Names of modalities to show instead
            of their own. (default: :obj:`None`)

    Returns:
        The figure, which holds :obj:`ax` if that is given.

    Raises:
        ValueError: If there are no rows, they differ in modalities, or a
            weight is negative, NaN or infinite.
    """
    rows = [list(row) for row in weights.values()]
    if len(rows) == 0 or len(rows[0]) == 0 or any(row != rows[0] for row in rows):
        raise ValueError(f"Expected rows of the same modalities, and at least one (got {rows})")
    if not all(0 <= value < math.inf for row in weights.values() for value in row.values()):
        raise ValueError(f"Weights need to be finite, and positive or zero (got {dict(weights)})")
    fig, ax = make_axes(ax, 7.2, 1.5 + 0.34 * len(weights))
    left = [0.0] * len(weights)
    total = max(sum(row.values()) for row in weights.values()) or 1.0
    for name, color in view_colors(rows[0]).items():
        width = [row[name] for row in weights.values()]
        label = label_of(name, labels)
        ax.barh(
            range(len(width)),
            width,
            left=left,
            height=0.74,
            color=color,
            label=label,
            edgecolor="white",
            linewidth=1.2,
        )
        for row, (start, size) in enumerate(zip(left, width, strict=True)):
            if size / total >= 0.06:  # A narrower one has no room for its number.
                ax.text(
                    start + size / 2,
                    row,
                    f"{size:.2f}",
                    ha="center",
                    va="center_baseline",
                    fontsize=SMALL,
                    color=ink(color),
                )
        left = [start + size for start, size in zip(left, width, strict=True)]
    for row, size in enumerate(left):
        if size == 0:
            ax.text(0, row, " no view helps", va="center", fontsize=SMALL, color=DARK)
    ax.set_yticks(range(len(weights)), [shorten(name) for name in weights])
    ax.set_ylim(len(weights) - 0.4, -0.6)
    ax.set_xlim(0, total)
    ax.set_xticks([])
    ax.tick_params(length=0)
    legend = ax.legend(
        fontsize=SMALL,
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        ncol=min(5, len(rows[0])),
        frameon=False,
        handlelength=1,
        handleheight=1,
        columnspacing=1.4,
    )
    legend.set_in_layout(True)
    finish(ax, title)
    return fig
