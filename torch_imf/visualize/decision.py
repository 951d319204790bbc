from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import Module
from torch_geometric.data import Data

from torch_imf.answers.predictor import predict
from torch_imf.answers.probability import Calibration
from torch_imf.answers.results import Completion
from torch_imf.answers.tables import percent
from torch_imf.visualize.style import (
    SMALL,
    beside,
    finish,
    ink,
    label_of,
    make_axes,
    shorten,
)

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
        plot_decision(model, data, tail="Europe", relation="continent")

    Args:
        model (torch.nn.Module): A model of this package.
        data (Data): The graph, with names of entities and relations.
        head (str or int, optional): The head of the query, by name, identifier
            or number. (default: :obj:`None`)
        relation (str or int): The relation, likewise.
        k (int, optional): The number of answers. (default: :obj:`10`)
        ax (matplotlib.axes.Axes, optional): Where to plot. If :obj:`None`, in
            a new figure. (default: :obj:`None`)
        tail (str or int, optional): The tail of the query, in place of
            :obj:`head`. (default: :obj:`None`)
        known (str, optional): Whether to :obj:`"mark"` facts that the graph
            holds or to :obj:`"remove"` them. (default: :obj:`"mark"`)
        calibration (Calibration, optional): The map from scores to
            probabilities, which are then shown as well.
            (default: :obj:`None`)
        labels (dict[str, str], optional): Names of views to show instead of
            their own. (default: :obj:`None`)
        title (str, optional): The title. If :obj:`None`, the query.
            (default: :obj:`None`)

    Returns:
        The figure, which holds :obj:`ax` if that is given.

    Raises:
        ValueError: If :meth:`~torch_imf.predict` does not accept the query, or
            no answer is left.
    """
    if (head is None) == (tail is None) or relation is None:
        raise ValueError(
            "Give 'relation' and one of 'head' and 'tail': the other one is what is asked for"
        )
    kwargs: Any = {"k": k, "known": known, "calibration": calibration}
    answers = predict(model, data, head, relation, tail=tail, **kwargs)
    query = "  ".join(shorten(part, 24) for part in answers.query.split("  "))
    return plot_completions(answers, ax, query if title is None else title, labels, parts=True)


def plot_completions(
    completions: Sequence[Completion],
    ax: "Axes | None" = None,
    title: str = "",
    labels: Mapping[str, str] | None = None,
    parts: bool = False,
) -> "Figure":
    r"""Plots the part that each view plays in the answers to a query: one row
    per answer, best first, known ones with a star, and one column per view.
    See :meth:`plot_decision`, which asks the query as well.

    Args:
        completions (list[Completion]): The answers to one query, as
            :meth:`torch_imf.predict` gives them.
        ax (matplotlib.axes.Axes, optional): Where to plot. If :obj:`None`, in
            a new figure. (default: :obj:`None`)
        title (str, optional): The query. (default: :obj:`""`)
        labels (dict[str, str], optional): Names of views to show instead of
            their own. (default: :obj:`None`)
        parts (bool, optional): If set to :obj:`True`, cells hold what each view
            adds to the score, and share one scale of colours: a column of one
            shade is that of a view to which the answers are alike. Otherwise,
            they hold scores, each column with a scale of its own.
            (default: :obj:`False`)

    Returns:
        The figure, which holds :obj:`ax` if that is given.

    Raises:
        ValueError: If there are no completions, or their parts are not known.
    """
    if len(completions) == 0:
        raise ValueError("There are no completions to plot")
    if parts and not all(c.parts for c in completions):
        raise ValueError("'parts' needs completions of 'predict', which know what each view adds")
    columns = [c.parts if parts else c.views for c in completions]
    views = list(columns[0])
    score = torch.tensor(
        [[c.score, *x.values()] for c, x in zip(completions, columns, strict=True)]
    )
    shade = score - score.min(dim=0).values
    width = shade.max(dim=0).values.clamp(min=1e-12)
    if parts:
        width[1:] = width[1:].max()
    names = [f"{shorten(c.name)} *" if c.known else shorten(c.name) for c in completions]
    fig, ax = make_axes(ax, 2.6 + 1.05 * (len(views) + 1), 1.4 + 0.32 * len(names))
    _draw_cells(ax, score, (shade / width).clamp(0, 1))
    heads = ["all views" if parts else "all"]
    for view in views:
        head = label_of(view, labels, 12)
        heads.append(f"{head}\n× {completions[0].weights[view]:.2f}" if parts else head)
    ax.set_xticks(range(len(heads)), heads)
    ax.xaxis.tick_top()
    ax.set_yticks(range(len(names)), names)
    ax.tick_params(length=0)
    if completions[0].probability is not None:
        beside(ax, -0.8, "probability", 72)
        for i, c in enumerate(completions):
            beside(ax, i, percent(c.probability), 72)
    notes = ["* the graph holds it"] if any(c.known for c in completions) else []
    notes += ["cells: what each view adds to the score"] if parts else []
    ax.set_xlabel("   ".join(notes))
    finish(ax, title)
    ax.xaxis.label.set_fontsize(SMALL)
    return fig


def _draw_cells(ax: "Axes", score: torch.Tensor, shade: torch.Tensor) -> None:
    from matplotlib import colormaps

    color = colormaps["Blues"](0.05 + 0.75 * shade.numpy())
    ax.imshow(color, aspect="auto", interpolation="nearest")
    largest = float(score.abs().max())
    places = 3 if largest < 1 else 2 if largest < 100 else 0
    for i, row in enumerate(score.tolist()):
        for j, value in enumerate(row):
            text = f"{value:.{places}f}".replace("-", "−")
            ax.text(
                j, i, text, ha="center", va="center", fontsize=SMALL, color=ink(color[i, j, :3])
            )
    # White lines tell cells apart, and a wider one the sum from its parts:
    for j in range(1, score.size(1)):
        ax.axvline(j - 0.5, color="white", linewidth=5 if j == 1 else 1.5)
    for i in range(1, score.size(0)):
        ax.axhline(i - 0.5, color="white", linewidth=1.5)
