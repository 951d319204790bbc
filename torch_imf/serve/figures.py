from collections.abc import Mapping, Sequence
from math import cos, pi, sin
from typing import TYPE_CHECKING, Any

from torch_imf.visualize import style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from torch_imf.serve.explorer import Explorer


def plot_neighbors(explorer: "Explorer", row: int) -> "Figure":
    r"""Draws an entity among those that it shares a fact with, and the relations between them."""
    fig, ax = style.make_axes(None, 7.2, 4.8)
    near = explorer.neighbors(row)
    rels = list(dict.fromkeys(rel for _, rel, _ in near))
    colors = {rel: style.COLORS[i % len(style.COLORS)] for i, rel in enumerate(rels)}
    box: Any = {"boxstyle": "round,pad=0.3", "facecolor": "white", "edgecolor": style.DARK}
    look: Any = {"ha": "center", "va": "center", "fontsize": style.SMALL}
    for i, (other, rel, is_tail) in enumerate(near):
        angle = 2 * pi * (i + 0.5) / len(near)
        x, y = 1.6 * cos(angle), sin(angle)
        ax.plot([0, x], [0, y], color=colors[rel], lw=1.6, zorder=1)
        start, end = (0.5, 0.62) if is_tail else (0.62, 0.5)  # Of an arrow in the middle.
        arrow: Any = {"arrowstyle": "-|>", "color": colors[rel], "mutation_scale": 16}
        ax.annotate("", (end * x, end * y), (start * x, start * y), arrowprops=arrow)
        name = style.shorten(explorer.labels[other], 20)
        ax.text(x, y, name, bbox={**box, "edgecolor": colors[rel]}, **look)
    name = style.shorten(explorer.labels[row], 24)
    ax.text(0, 0, name, bbox={**box, "facecolor": style.LIGHT}, weight="bold", **look)
    for rel, color in colors.items():
        ax.plot([], [], color=color, label=style.shorten(explorer.rel_labels[rel], 24))
    ax.set(xlim=(-2.1, 2.1), ylim=(-1.2, 1.2), xticks=[], yticks=[])
    if near:
        style.legend_below(ax, min(4, len(rels)))
    style.finish(ax)
    if legend := ax.get_legend():
        style.make_plain(legend)
    return fig


def plot_curves(histories: Mapping[str, Sequence[Mapping[str, float]]]) -> "Figure":
    r"""Draws the validation MRR of several models over their epochs."""
    fig, ax = style.make_axes(None, 6.4, 3.8)
    for i, (name, history) in enumerate(histories.items()):
        points = [(x["epoch"], x["mrr"]) for x in history if "mrr" in x]
        color = style.COLORS[i % len(style.COLORS)]
        ax.plot(*zip(*points, strict=True), "o-", ms=4, c=color, label=style.shorten(name))
    ax.set(xlabel="epoch", ylabel="validation MRR")
    ax.set_ylim(0, None)
    ax.grid(axis="y", color=style.LIGHT, linewidth=0.6)
    style.legend_below(ax, 2, -0.18)
    style.finish(ax, spines=("left", "bottom"))
    return fig
