from collections.abc import Mapping
from typing import TYPE_CHECKING

from torch_imf.answers.results import Explanation, Rank
from torch_imf.answers.tables import percent
from torch_imf.visualize.style import (
    DARK,
    LIGHT,
    Style,
    beside,
    finish,
    label_of,
    make_axes,
    shorten,
    view_colors,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_explanation(
    explanation: Explanation,
    ax: "Axes | None" = None,
    labels: Mapping[str, str] | None = None,
    title: str | None = None,
) -> "Figure":
    r"""Plots what stands behind the score of a fact: the rank of its tail and
    of its head over all views, in each view alone, and if no entity had a
    modality.

    .. code-block:: python

        plot_explanation(explain(model, data, "Argentina", "borders", "Paraguay"))

    Args:
        explanation (Explanation): What :meth:`torch_imf.explain` returns.
        ax (matplotlib.axes.Axes, optional): Where to plot. If :obj:`None`, in
            a new figure. (default: :obj:`None`)
        labels (dict[str, str], optional): Names of views to show instead of
            their own. (default: :obj:`None`)
        title (str, optional): The title. If :obj:`None`, the fact.
            (default: :obj:`None`)

    Returns:
        The figure, which holds :obj:`ax` if that is given.
    """
    colors = view_colors([*explanation.views, *explanation.without])
    rows: list[tuple[str, Rank, str]] = [("all views", explanation.rank, DARK)]
    for view, rank in explanation.views.items():
        name = label_of(view, labels)
        rows.append((f"{name} alone (× {explanation.weights[view]:.2f})", rank, colors[view]))
    for name, rank in explanation.without.items():
        rows.append((f"without {label_of(name, labels)}", rank, colors[name]))

    fig, ax = make_axes(ax, 7.2, 1.3 + 0.3 * len(rows))
    # The titles of the columns at the right are the legend:
    beside(ax, -0.8, "● tail", 48)
    beside(ax, -0.8, "◇ head", 100)
    hollow: Style = {"marker": "D", "markerfacecolor": "white", "markeredgewidth": 1.6}
    for i, (_, rank, color) in enumerate(rows):
        ax.plot([rank.tail, rank.head], [i, i], color=color, linewidth=2, alpha=0.5, zorder=2)
        ax.plot(rank.tail, i, "o", color=color, markersize=8, zorder=3)
        ax.plot(rank.head, i, color=color, markersize=6, zorder=4, **hollow)
        beside(ax, i, f"{rank.tail:g}", 48)
        beside(ax, i, f"{rank.head:g}", 100)
    for i in (0, len(explanation.views)) if explanation.without else (0,):
        ax.axhline(i + 0.5, color=LIGHT, linewidth=0.8)
    ranks = [x for _, rank, _ in rows for x in (rank.tail, rank.head)]
    ax.set_xscale("log")
    ax.set_xlim(0.8, max(10, *ranks) * 1.3)
    ticks = [10**i for i in range(8) if 10**i <= max(10, *ranks) * 1.3]
    ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    ax.grid(axis="x", color=LIGHT, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("filtered rank among all entities (1 is best)")
    if title is None:
        head, relation, tail = (shorten(part, 24) for part in explanation.fact)
        state = f"{explanation.split} fact" if explanation.split else "not in the graph"
        chance = percent(explanation.probability)
        title = f"{head}  {relation}  {tail}\n({state}{', ' if chance else ''}{chance})"
    finish(ax, title, spines=("bottom",))
    return fig
