from typing import TYPE_CHECKING

import torch
from torch.nn import Module
from torch_geometric.data import Data

from torch_imf.data.graph import prepare
from torch_imf.evaluation.evaluate import fact_groups, rank_facts
from torch_imf.evaluation.ranking import metrics
from torch_imf.visualize.style import LIGHT, SMALL, Style, beside, finish, ink, make_axes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

CATEGORIES = ("1-1", "1-N", "N-1", "N-N")
BINS = {"1": "#08519c", "2–3": "#4292c6", "4–10": "#9ecae1", "over 10": LIGHT}


def plot_categories(
    model: Module,
    data: Data,
    split: str = "test",
    ax: "Axes | None" = None,
    *,
    view: str | None = None,
    title: str | None = None,
) -> "Figure":
    r"""Plots how facts rank by the category of their relation: a pair of bars
    for each of :obj:`1-1`, :obj:`1-N`, :obj:`N-1` and :obj:`N-N` (an entity has
    less than 1.5 tails, or heads, on average for a :obj:`1`), with the shares
    of ranks of tails and of heads, their MRR and the number of facts.

    Args:
        model (torch.nn.Module): Any model that :meth:`torch_imf.evaluate`
            takes.
        data (Data): All facts with split masks.
        split (str, optional): The split to rank. (default: :obj:`"test"`)
        ax (matplotlib.axes.Axes, optional): Where to plot. If :obj:`None`, in
            a new figure. (default: :obj:`None`)
        view (str, optional): Ranks by one of the model's views alone.
            (default: :obj:`None`)
        title (str, optional): The title. If :obj:`None`, what is shown.
            (default: :obj:`None`)

    Returns:
        The figure, which holds :obj:`ax` if that is given.

    Raises:
        ValueError: If the split is unknown or empty, the graph is not sound or
            does not fit the model, or a score is NaN or infinite.
    """
    shares = rank_shares(model, data, split, view)
    rows = [(name, side, row) for name, sides in shares.items() for side, row in sides.items()]
    fig, ax = make_axes(ax, 7.2, 1.5 + 0.33 * len(rows) + 0.1 * len(shares))
    place = [i + 0.35 * (i // 2) for i in range(len(rows))]
    left = [0.0] * len(rows)
    for label, color in BINS.items():
        width = [row[label] for _, _, row in rows]
        style: Style = {"height": 0.82, "edgecolor": "white", "linewidth": 1.2}
        ax.barh(place, width, left=left, color=color, label=label, **style)
        for y, start, size in zip(place, left, width, strict=True):
            if size >= 0.07:  # A narrower one has no room for its number.
                text = f"{100 * size:.0f}"
                kwargs: Style = {"fontsize": SMALL, "color": ink(color)}
                ax.text(start + size / 2, y, text, ha="center", va="center_baseline", **kwargs)
        left = [start + size for start, size in zip(left, width, strict=True)]
    for y, (_, _, row) in zip(place, rows, strict=True):
        beside(ax, y, f"{row['mrr']:.3f}", 44)
    beside(ax, -0.75, "MRR", 44)
    for i, (name, sides) in enumerate(shares.items()):
        number = int(next(iter(sides.values()))["num_facts"])
        noun = "fact" if number == 1 else "facts"
        text = f"{name}\n{number:,} {noun}"
        beside(ax, place[2 * i] + 0.5, text, -52, x=0)
    ax.set_yticks(place, [side for _, side, _ in rows])
    ax.set_ylim(place[-1] + 0.5, -0.5)
    ax.set_xlim(0, 1)
    ax.set_xticks([])
    ax.tick_params(length=0)
    ax.legend(
        title="filtered rank (numbers: per cent)",
        title_fontsize=SMALL,
        fontsize=SMALL,
        loc="upper center",
        bbox_to_anchor=(0.5, 0),
        ncol=4,
        frameon=False,
        handlelength=1,
        handleheight=1,
    )
    what = f"{split} facts by category of relation" + (f", view '{view}'" if view else "")
    finish(ax, f"Ranks of {what}" if title is None else title)
    return fig


def rank_shares(
    model: Module, data: Data, split: str = "test", view: str | None = None
) -> dict[str, dict[str, dict[str, float]]]:
    r"""Returns the shares of ranks, :obj:`"mrr"` and :obj:`"num_facts"` of the
    tails and of the heads of the facts of each category that has any.
    """
    data = prepare(model, data)
    rank, base, mask = rank_facts(model, data, split, view=view)
    groups = dict(fact_groups("category", data, base, mask))
    out = {}
    for name in (name for name in CATEGORIES if name in groups):
        out[name] = {
            side: _shares(rank[i, groups[name]]) for i, side in enumerate(("tails", "heads"))
        }
    return out


def _shares(rank: torch.Tensor) -> dict[str, float]:
    found = metrics(rank)
    steps = [0.0, found["hits@1"], found["hits@3"], found["hits@10"], 1.0]
    shares = {name: steps[i + 1] - steps[i] for i, name in enumerate(BINS)}
    return {**shares, "mrr": found["mrr"], "num_facts": rank.numel()}
