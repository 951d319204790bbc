from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from torch_imf.answers.results import Answers, Completion, Explanation, Rank, percent
from torch_imf.io import require
from torch_imf.visualize import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_decision(
    answers: Sequence[Completion],
    ax: "Axes | None" = None,
    title: str | None = None,
    labels: Mapping[str, str] | None = None,
) -> "Figure":
    r"""Plots how views decide on the answers to a query, as Figure 4 of the `"IMF: Interactive
    Multimodal Fusion Model for Link Prediction" <https://arxiv.org/abs/2303.10816>`_ paper: the
    best answers, known ones with a star, what each view adds to their score, and its weight.

    .. code-block:: python

        answers = Predictor(model, data).predict("France", "borders")
        plot_decision(answers).savefig("decision.png")

    Args:
        answers (list[Completion]): What :meth:`torch_imf.Predictor.predict` returns, with
            probabilities if it has a calibration.
        ax (matplotlib.axes.Axes, optional): Where to plot, instead of in a new figure, here as in
            all figures. (default: :obj:`None`)
        title (str, optional): The title, instead of the query. (default: :obj:`None`)
        labels (dict[str, str], optional): Names of views to show instead of their own. (default:
            :obj:`None`)

    Returns:
        The figure, which holds :obj:`ax` if that is given.

    Raises:
        ValueError: If there are no answers.
    """
    require("matplotlib", "Figures", "plot")
    from matplotlib import colormaps

    if len(answers) == 0:
        raise ValueError("There are no answers to plot")
    if title is None and isinstance(answers, Answers):
        title = _title(answers.fact)
    score = torch.tensor([[x.score, *x.parts.values()] for x in answers])
    shade = score - score.min(dim=0).values
    width = shade.max(dim=0).values.clamp(min=1e-12)
    width[1:] = width[1:].max()  # One scale of colours for all parts.
    color = colormaps["Blues"](0.05 + 0.75 * (shade / width).clamp(0, 1).numpy())

    num_rows, num_columns = score.shape
    fig, ax = style.make_axes(ax, 2.6 + 1.05 * num_columns, 1.4 + 0.32 * num_rows)
    ax.imshow(color, aspect="auto", interpolation="nearest")
    largest = float(score.abs().max())
    number = ".3f" if largest < 1 else ".2f" if largest < 100 else ".0f"
    look: Any = {"ha": "center", "va": "center", "fontsize": style.SMALL}
    for i, x in enumerate(answers):
        for j, (view, value) in enumerate([("", x.score), *x.parts.items()]):
            text = "none" if view in x.lacks else f"{value:{number}}".replace("-", "−")
            ax.text(j, i, text, color=style.ink(color[i, j, :3]), **look)
    # White lines tell cells apart, and a wider one the sum from its parts:
    for j in range(1, num_columns):
        ax.axvline(j - 0.5, color="white", linewidth=5 if j == 1 else 1.5)
    for i in range(1, num_rows):
        ax.axhline(i - 0.5, color="white", linewidth=1.5)

    best = answers[0]
    names = {view: style.label_of(view, labels, 12) for view in best.parts}
    heads = [f"{name}\n× {best.weights[view]:.2f}" for view, name in names.items()]
    ax.set_xticks(range(num_columns), ["all views", *heads])
    ax.xaxis.tick_top()
    ax.set_yticks(range(num_rows), [style.shorten(x.name) + " *" * x.known for x in answers])
    ax.tick_params(length=0)
    if best.probability is not None:
        style.beside(ax, -0.8, "probability", 72)
        for i, x in enumerate(answers):
            style.beside(ax, i, percent(x.probability), 72)
    star = "* the graph holds it   " if any(x.known for x in answers) else ""
    ax.set_xlabel(f"{star}cells: what each view adds to the score")
    style.finish(ax, title or "")
    ax.xaxis.label.set_fontsize(style.SMALL)
    return fig


def plot_explanation(
    explanation: Explanation,
    ax: "Axes | None" = None,
    title: str | None = None,
    labels: Mapping[str, str] | None = None,
) -> "Figure":
    r"""Plots what stands behind the score of a fact, as :meth:`torch_imf.Predictor.explain` returns
    it: the rank of its tail and of its head over all views, in each view alone, and if no entity
    had a modality. Other arguments are those of :meth:`plot_decision`.
    """
    colors = style.view_colors([*explanation.views, *explanation.without])
    rows: list[tuple[str, Rank, str]] = [("all views", explanation.rank, style.DARK)]
    for view, rank in explanation.views.items():
        name = f"{style.label_of(view, labels)} alone (× {explanation.weights[view]:.2f})"
        rows.append((name, rank, colors[view]))
    for view, rank in explanation.without.items():
        rows.append((f"without {style.label_of(view, labels)}", rank, colors[view]))

    fig, ax = style.make_axes(ax, 7.2, 1.3 + 0.3 * len(rows))
    # The titles of the columns at the right are the legend:
    style.beside(ax, -0.8, "● tail", 48)
    style.beside(ax, -0.8, "◇ head", 100)
    hollow: Any = {"marker": "D", "markerfacecolor": "white", "markeredgewidth": 1.6}
    for i, (_, rank, color) in enumerate(rows):
        ax.plot([rank.tail, rank.head], [i, i], color=color, linewidth=2, alpha=0.5, zorder=2)
        ax.plot(rank.tail, i, "o", color=color, markersize=8, zorder=3)
        ax.plot(rank.head, i, color=color, markersize=6, zorder=4, **hollow)
        style.beside(ax, i, f"{rank.tail:g}", 48)
        style.beside(ax, i, f"{rank.head:g}", 100)
    for i in (0, len(explanation.views)) if explanation.without else (0,):
        ax.axhline(i + 0.5, color=style.LIGHT, linewidth=0.8)
    right = 1.3 * max(10, *(x for _, rank, _ in rows for x in (rank.tail, rank.head)))
    ax.set(xscale="log", xlim=(0.8, right), ylim=(len(rows) - 0.5, -0.5))
    ticks = [10**i for i in range(8) if 10**i <= right]
    ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    ax.grid(axis="x", color=style.LIGHT, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("filtered rank among all entities (1 is best)")
    if title is None:
        state = f"{explanation.split} fact" if explanation.split else "not in the graph"
        notes = [state, *filter(None, [percent(explanation.probability)])]
        title = f"{_title(explanation.fact)}\n({', '.join(notes)})"
    style.finish(ax, title, spines=("bottom",))
    return fig


def _title(fact: Sequence[str]) -> str:
    return "  ".join(style.shorten(part, 24) for part in fact)
