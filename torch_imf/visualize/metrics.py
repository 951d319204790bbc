from collections.abc import Mapping, Sequence
from itertools import cycle
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import Module
from torch_geometric.data import Data

from torch_imf.data.graph import prepare
from torch_imf.evaluation.evaluate import fact_groups, rank_facts
from torch_imf.evaluation.ranking import metrics as rank_metrics
from torch_imf.io import require
from torch_imf.training.checkpoint import best_entry
from torch_imf.visualize import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BINS = {"1": "#08519c", "2–3": "#4292c6", "4–10": "#9ecae1", "over 10": style.LIGHT}


def plot_categories(
    model: Module,
    data: Data,
    split: str = "test",
    ax: "Axes | None" = None,
    *,
    view: str | None = None,
    title: str | None = None,
) -> "Figure":
    r"""Plots the ranks of tails and of heads by the category of relations (:obj:`1-1`, :obj:`1-N`,
    :obj:`N-1` and :obj:`N-N`: an entity has less than 1.5 tails, or heads, on average for a
    :obj:`1`): their shares and MRR, over all views or by one alone. Arguments are those of
    :meth:`torch_imf.evaluate`, and :obj:`ax` and :obj:`title` those of :meth:`plot_decision`.
    """
    data = prepare(model, data)
    rank = rank_facts(model, data, split, view=view)
    groups = fact_groups("category", data, split)
    found = [rank_metrics(side[group]) for group in groups.values() for side in rank]
    bars = []
    for row in found:
        steps = [0.0, row["hits@1"], row["hits@3"], row["hits@10"], 1.0]
        bars.append({name: 100 * (steps[i + 1] - steps[i]) for i, name in enumerate(BINS)})
    fig, ax = style.make_axes(ax, 7.2, 1.5 + 0.33 * len(bars) + 0.1 * len(groups))
    places = [i + 0.35 * (i // 2) for i in range(len(bars))]
    style.draw_bars(ax, bars, BINS, places, 0.82, ".0f")
    style.beside(ax, -0.75, "MRR", 44)
    for y, row in zip(places, found, strict=True):
        style.beside(ax, y, f"{row['mrr']:.3f}", 44)
    for y, (name, group) in zip(places[::2], groups.items(), strict=True):
        size = int(group.sum())
        style.beside(ax, y + 0.5, f"{name}\n{size:,} fact{'s' * (size > 1)}", -52, x=0)
    ax.set_yticks(places, ["tails", "heads"] * len(groups))
    heading = "filtered rank (numbers: per cent)"
    style.legend_below(ax, 4, title=heading, handlelength=1, handleheight=1)
    what = f"{split} facts by category of relation" + (f", view '{view}'" if view else "")
    style.finish(ax, f"Ranks of {what}" if title is None else title)
    return fig


def plot_cold_start(
    model: Module | Mapping[str, Module],
    data: Data,
    split: str = "test",
    ax: "Axes | None" = None,
    *,
    view: str | None = None,
    title: str | None = None,
) -> "Figure":
    r"""Plots the cold-start curve of a model, or of several by name: the MRR by the number of
    training facts of the entity to find (lines) and of the one of the query (dashed), from none on,
    above the number of queries of the former. Other arguments are those of :meth:`plot_categories`.
    """
    models = {"": model} if isinstance(model, Module) else model
    fig, ax = style.make_axes(ax, 6.4, 3.8)
    looks = {"answer_facts": ("o-", "to find"), "query_facts": ("s--", "of the query")}
    found: dict[tuple[str, str], dict[str, float]] = {}
    for label, x in models.items():
        graph = prepare(x, data)
        rank = rank_facts(x, graph, split, view=view)
        groups = {name: fact_groups(name, graph, split) for name in looks}
        for name, by in groups.items():
            mrr = {key: rank_metrics(rank[group])["mrr"] for key, group in by.items()}
            found[label, name] = mrr
    sizes = {key: int(group.sum()) for key, group in groups["answer_facts"].items()}
    steps = {key: int(key.partition("-")[0]) for mrr in found.values() for key in mrr}
    ticks = sorted(steps, key=steps.__getitem__)
    for i, label in enumerate(models):
        for name, (look, what) in looks.items():
            mrr = {key: found[label, name][key] for key in ticks if key in found[label, name]}
            text = f"{label}, {what}" if label else f"entity {what}"
            color = style.COLORS[i % len(style.COLORS)]
            places = [ticks.index(key) for key in mrr]
            ax.plot(places, list(mrr.values()), look, c=color, ms=4, lw=2, label=text)
    ax.set_xticks(range(len(ticks)), [f"{x.replace('-', '–')}\n{sizes.get(x, 0):,}" for x in ticks])
    ax.set(xlabel="training facts of the entity\n(below: queries for it)", ylabel="MRR")
    ax.set_ylim(0, None)
    ax.grid(axis="y", color=style.LIGHT, linewidth=0.6)
    ax.set_axisbelow(True)
    style.legend_below(ax, 2, -0.34)
    what = f"{split} facts by what is known of an entity" + (f", view '{view}'" if view else "")
    style.finish(ax, f"Ranks of {what}" if title is None else title, ("left", "bottom"))
    return fig


def plot_history(
    history: Sequence[Mapping[str, float]],
    ax: "Axes | None" = None,
    metrics: str | Sequence[str] = ("mrr", "hits@10"),
    title: str = "",
) -> "Figure":
    r"""Plots training curves: validation metrics over epochs, the loss at an axis of its own, and
    the best epoch by the first metric, with its value. The history is what :meth:`torch_imf.fit`
    returns; the first metric should be the one that it selects by. Raises if there is no entry.
    """
    require("matplotlib", "Figures", "plot")
    from matplotlib.ticker import MaxNLocator

    if len(history) == 0:
        raise ValueError("There is no validation in the history to plot. Train an epoch with 'fit'")
    metrics = [metrics] if isinstance(metrics, str) else metrics
    epochs = [entry["epoch"] for entry in history]
    fig, ax = style.make_axes(ax, 6.4, 3.8)
    marker = "o" if len(history) <= 40 else ""
    lines = []
    for metric, color in zip(metrics, cycle(style.COLORS), strict=False):
        values, look = [entry[metric] for entry in history], f"{marker}-"
        lines += ax.plot(epochs, values, look, c=color, ms=4, lw=2, label=_name(metric))
    other = ax.twinx()
    loss, look, color = [entry["loss"] for entry in history], f"{marker}--", style.COLORS[6]
    lines += other.plot(epochs, loss, look, c=color, ms=3, lw=1.5, label="training loss (right)")
    other.set(ylabel="training loss", ylim=(min(0.0, *loss), None))

    best = best_entry(history, metrics[0])
    x, y, late = best["epoch"], best[metrics[0]], best["epoch"] > (epochs[0] + epochs[-1]) / 2
    ax.axvline(x, color=style.LIGHT, linewidth=1.2, zorder=0)
    ax.plot(x, y, "o", markersize=10, color=style.DARK, fillstyle="none")
    text = f"best: {y:.{1 if metrics[0] == 'mr' else 3}f}, epoch {x:g}"
    place: Any = {"xytext": (-8 if late else 8, -14), "textcoords": "offset points", "va": "top"}
    place |= {"ha": "right" if late else "left", "fontsize": style.SMALL, "color": style.DARK}
    ax.annotate(text, (x, y), **place)
    top = max(entry[metric] for entry in history for metric in metrics)
    if "mr" not in metrics:
        ax.set_ylim(0, min(1.0, 1.15 * top) or 1.0)
    what = _name(metrics[0]) if len(metrics) == 1 else "metric"
    ax.set(xlabel="epoch", ylabel=f"validation {what}")
    ax.xaxis.set_major_locator(MaxNLocator(steps=[1, 2, 5, 10], integer=True))
    ax.grid(axis="y", color=style.LIGHT, linewidth=0.6)
    ax.set_axisbelow(True)
    style.legend_below(ax, len(lines), -0.18, handles=lines)
    style.finish(other, spines=("right",))
    style.finish(ax, title, spines=("left", "bottom"))
    return fig


def plot_metric(
    values: Mapping[str, Sequence[float]], ax: "Axes | None" = None, label: str = "MRR"
) -> "Figure":
    r"""Plots a metric, called :obj:`label`, of several models over seeds, the values of each model
    by its name: a bar for the mean, with one standard deviation and a dot per seed.
    """
    fig, ax = style.make_axes(ax, 1.5 + 1.5 * len(values), 3.4)
    for i, value in enumerate(values.values()):
        x = torch.tensor(value, dtype=torch.double)
        mean, std = float(x.mean()), float(x.std()) if x.numel() > 1 else 0.0
        color = style.COLORS[i % len(style.COLORS)]
        ax.bar(i, mean, yerr=std, capsize=4, width=0.6, color=color, alpha=0.6)
        ax.plot([i] * x.numel(), x.tolist(), ".", color="black", markersize=4)
        ax.text(i, mean / 2, f"{mean:.3f}", ha="center", fontsize=style.SMALL)
    ax.set_xticks(range(len(values)), [style.shorten(name, 20) for name in values])
    ax.set_ylabel(label)
    style.finish(ax, spines=("left", "bottom"))
    return fig


def _name(metric: str) -> str:
    return {"mr": "mean rank", "mrr": "MRR"}.get(metric, metric.capitalize())
