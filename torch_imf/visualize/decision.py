from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import Module
from torch_geometric.data import Data

from torch_imf.answers.predictor import predict
from torch_imf.answers.probability import Calibration
from torch_imf.answers.results import Completion, Explanation, Rank
from torch_imf.answers.tables import percent
from torch_imf.visualize import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_decision(
    model: Module,
    data: Data,
    head: str | int | None = None,
    relation: str | int | None = None,
    k: int = 10,
    ax: "Axes | None" = None,
    *,
    tail: str | int | None = None,
    known: str = "mark",
    calibration: Calibration | None = None,
    labels: Mapping[str, str] | None = None,
    title: str | None = None,
) -> "Figure":
    r"""Plots how views decide on the answers to a query, as Figure 4 of the
    `"IMF: Interactive Multimodal Fusion Model for Link Prediction"
    <https://arxiv.org/abs/2303.10816>`_ paper: the best answers, what each
    view adds to their score, and its weight.

    .. code-block:: python

        plot_decision(model, data, "France", "borders").savefig("decision.png")

    Args:
        model (torch.nn.Module): A model of this package.
        data (Data): The graph, with names of entities and relations.
        head (str or int, optional): As in :meth:`torch_imf.predict`.
        relation (str or int): As in :meth:`torch_imf.predict`.
        k (int, optional): The number of answers. (default: :obj:`10`)
        ax (matplotlib.axes.Axes, optional): Where to plot, instead of in a new
            figure. (default: :obj:`None`)
        tail (str or int, optional): As in :meth:`torch_imf.predict`.
        known (str, optional): As in :meth:`torch_imf.predict`.
        calibration (Calibration, optional): As in :meth:`torch_imf.predict`.
            Probabilities are then shown as well. (default: :obj:`None`)
        labels (dict[str, str], optional): Names of views to show instead of
            their own. (default: :obj:`None`)
        title (str, optional): The title, instead of the query.
            (default: :obj:`None`)

    Returns:
        The figure, which holds :obj:`ax` if that is given.

    Raises:
        ValueError: If :meth:`~torch_imf.predict` does not accept the query, or
            no answer is left.
    """
    kwargs: Any = {"k": k, "known": known, "calibration": calibration}
    answers = predict(model, data, head, relation, tail=tail, **kwargs)
    query = "  ".join(style.shorten(part, 24) for part in answers.query.split("  "))
    return plot_completions(answers, ax, query if title is None else title, labels, parts=True)


def plot_completions(
    completions: Sequence[Completion],
    ax: "Axes | None" = None,
    title: str = "",
    labels: Mapping[str, str] | None = None,
    parts: bool = False,
) -> "Figure":
    r"""Plots the answers to a query, as :meth:`plot_decision` does: one row per
    answer, best first, known ones with a star, and one column per view.

    Args:
        completions (list[Completion]): The answers to one query, as
            :meth:`torch_imf.predict` gives them.
        ax (matplotlib.axes.Axes, optional): See :meth:`plot_decision`.
        title (str, optional): See :meth:`plot_decision`.
        labels (dict[str, str], optional): See :meth:`plot_decision`.
        parts (bool, optional): If set to :obj:`True`, cells hold what each view
            adds to the score, with one scale of colours. Otherwise, they hold
            scores, each column with its own. (default: :obj:`False`)

    Raises:
        ValueError: If there are no completions, or their parts are not known.
    """
    from matplotlib import colormaps

    if len(completions) == 0:
        raise ValueError("There are no completions to plot")
    if parts and not all(c.parts for c in completions):
        raise ValueError("'parts' needs completions of 'predict', which know what each view adds")
    columns = [c.parts if parts else c.views for c in completions]
    rows = [[c.score, *x.values()] for c, x in zip(completions, columns, strict=True)]
    score = torch.tensor(rows)
    shade = score - score.min(dim=0).values
    width = shade.max(dim=0).values.clamp(min=1e-12)
    if parts:
        width[1:] = width[1:].max()
    color = colormaps["Blues"](0.05 + 0.75 * (shade / width).clamp(0, 1).numpy())

    fig, ax = style.make_axes(ax, 2.6 + 1.05 * score.size(1), 1.4 + 0.32 * len(rows))
    ax.imshow(color, aspect="auto", interpolation="nearest")
    largest = float(score.abs().max())
    number = ".3f" if largest < 1 else ".2f" if largest < 100 else ".0f"
    for i, row in enumerate(rows):
        for j, value in enumerate(row):
            text, cell = f"{value:{number}}".replace("-", "−"), style.ink(color[i, j, :3])
            ax.text(j, i, text, ha="center", va="center", fontsize=style.SMALL, color=cell)
    # White lines tell cells apart, and a wider one the sum from its parts:
    for j in range(1, score.size(1)):
        ax.axvline(j - 0.5, color="white", linewidth=5 if j == 1 else 1.5)
    for i in range(1, score.size(0)):
        ax.axhline(i - 0.5, color="white", linewidth=1.5)

    heads = ["all views" if parts else "all"]
    for view in columns[0]:
        weight = f"\n× {completions[0].weights[view]:.2f}" if parts else ""
        heads.append(style.label_of(view, labels, 12) + weight)
    ax.set_xticks(range(len(heads)), heads)
    ax.xaxis.tick_top()
    names = [style.shorten(c.name) + " *" * c.known for c in completions]
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(length=0)
    if completions[0].probability is not None:
        style.beside(ax, -0.8, "probability", 72)
        for i, c in enumerate(completions):
            style.beside(ax, i, percent(c.probability), 72)
    notes = ["* the graph holds it"] if any(c.known for c in completions) else []
    notes += ["cells: what each view adds to the score"] if parts else []
    ax.set_xlabel("   ".join(notes))
    style.finish(ax, title)
    ax.xaxis.label.set_fontsize(style.SMALL)
    return fig


def plot_explanation(
    explanation: Explanation,
    ax: "Axes | None" = None,
    labels: Mapping[str, str] | None = None,
    title: str | None = None,
) -> "Figure":
    r"""Plots what stands behind the score of a fact: the rank of its tail and
    of its head over all views, in each view alone, and if no entity had a
    modality.

    Args:
        explanation (Explanation): What :meth:`torch_imf.explain` returns.
        ax (matplotlib.axes.Axes, optional): See :meth:`plot_decision`.
        labels (dict[str, str], optional): See :meth:`plot_decision`.
        title (str, optional): See :meth:`plot_decision`.
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
    ax.set_xscale("log")
    ax.set_xlim(0.8, right)
    ticks = [10**i for i in range(8) if 10**i <= right]
    ax.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    ax.grid(axis="x", color=style.LIGHT, linewidth=0.8)
    ax.set_axisbelow(True)
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_yticks(range(len(rows)), [name for name, _, _ in rows])
    ax.tick_params(axis="y", length=0)
    ax.set_xlabel("filtered rank among all entities (1 is best)")
    if title is None:
        state = f"{explanation.split} fact" if explanation.split else "not in the graph"
        notes = [state, *filter(None, [percent(explanation.probability)])]
        title = "  ".join(style.shorten(part, 24) for part in explanation.fact)
        title += f"\n({', '.join(notes)})"
    style.finish(ax, title, spines=("bottom",))
    return fig
